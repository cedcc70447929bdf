//! Reductions of a tensor along neighboring axes: folds, and positions of extremes.

use crate::kernels::axis_view::AxisView;
use crate::kernels::simd::{Vectorized, vectorized};

/// Number of partial results of a long row, one per SIMD lane.
const LANES: usize = 16;

pub fn folded<T: Copy>(x: &[T], around: AxisView, step: impl Fn(T, T) -> T + Copy) -> Vec<T> {
    vectorized(Folded { x, around, step })
}

struct Folded<'a, T, F> {
    x: &'a [T],
    around: AxisView,
    step: F,
}

impl<T: Copy, F: Fn(T, T) -> T + Copy> Vectorized for Folded<'_, T, F> {
    type Output = Vec<T>;

    #[inline(always)]
    fn run(self) -> Vec<T> {
        let Folded { x, around: AxisView { outer, length, inner }, step } = self;
        let mut folded = Vec::with_capacity(outer * inner);
        if inner == 1 {
            folded.extend(x.chunks_exact(length).map(|row| fold_row(row, step)));
            return folded;
        }
        for block in x.chunks_exact((length * inner).max(1)) {
            let start = folded.len();
            folded.extend_from_slice(&block[..inner]);
            for line in block[inner..].chunks_exact(inner) {
                for (sum, x) in folded[start..].iter_mut().zip(line) {
                    *sum = step(*sum, *x);
                }
            }
        }
        folded
    }
}

#[inline(always)]
fn fold_row<T: Copy>(row: &[T], step: impl Fn(T, T) -> T) -> T {
    let (chunks, rest) = row.as_chunks::<LANES>();
    let Some((first, chunks)) = chunks.split_first() else {
        return rest[1..].iter().fold(rest[0], |sum, x| step(sum, *x));
    };
    let mut sums = *first;
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum = step(*sum, *x);
        }
    }
    // Combine in halves: pairwise combination has the shortest chain of dependent operations.
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            sums[lane] = step(sums[lane], sums[lane + width]);
        }
    }
    rest.iter().fold(sums[0], |sum, x| step(sum, *x))
}

/// Returns the index of the greatest element in each row of `length` elements, the first of equal
/// ones.
pub fn greatest<T: Copy + PartialOrd>(x: &[T], length: usize) -> Vec<usize> {
    let around = AxisView { outer: x.len() / length.max(1), length, inner: 1 };
    let places = places(x, around, |x, best| x > best);
    places.into_iter().map(|place| place as usize).collect()
}

pub fn places<T: Copy>(
    x: &[T],
    around: AxisView,
    better: impl Fn(T, T) -> bool + Copy,
) -> Vec<i64> {
    vectorized(Places { x, around, better })
}

struct Places<'a, T, F> {
    x: &'a [T],
    around: AxisView,
    better: F,
}

impl<T: Copy, F: Fn(T, T) -> bool + Copy> Vectorized for Places<'_, T, F> {
    type Output = Vec<i64>;

    #[inline(always)]
    fn run(self) -> Vec<i64> {
        let Places { x, around: AxisView { outer, length, inner }, better } = self;
        let mut places = Vec::with_capacity(outer * inner);
        // With a constant number of elements, the loop is unrolled.
        match (length, inner) {
            (2, 1) => places.extend(x.as_chunks::<2>().0.iter().map(|row| place(row, better))),
            (3, 1) => places.extend(x.as_chunks::<3>().0.iter().map(|row| place(row, better))),
            (4, 1) => places.extend(x.as_chunks::<4>().0.iter().map(|row| place(row, better))),
            (5, 1) => places.extend(x.as_chunks::<5>().0.iter().map(|row| place(row, better))),
            (_, 1) => places.extend(x.chunks_exact(length).map(|row| place(row, better))),
            _ => {
                for block in x.chunks_exact((length * inner).max(1)) {
                    places.extend(
                        (0..inner)
                            .map(|offset| place(block[offset..].iter().step_by(inner), better)),
                    );
                }
            }
        }
        places
    }
}

/// Returns the index of the best element, without branches that would be mispredicted.
#[inline(always)]
fn place<'a, T: Copy + 'a>(
    row: impl IntoIterator<Item = &'a T>,
    better: impl Fn(T, T) -> bool,
) -> i64 {
    let mut row = row.into_iter().copied().zip(0..);
    let Some((mut best, mut place)) = row.next() else { return 0 };
    for (x, index) in row {
        let better = better(x, best);
        best = if better { x } else { best };
        place = if better { index } else { place };
    }
    place
}
