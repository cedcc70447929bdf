//! Reductions of a tensor along adjacent axes: folds (sums, products, extremes), and the indices of
//! extremes.

use crate::kernels::axis_view::AxisView;
use crate::kernels::simd::{Vectorized, vectorized};

/// Number of partial results of a row, one for each SIMD lane.
const LANES: usize = 16;

/// Folds the elements along `view.length` with `step`, which must be associative and commutative up
/// to rounding. Returns `[outer, inner]` elements. `view.length` must be greater than 0.
pub fn folded<T: Copy>(x: &[T], view: AxisView, step: impl Fn(T, T) -> T + Copy) -> Vec<T> {
    vectorized(Folded { x, view, step })
}

/// See [`folded`].
struct Folded<'a, T, F> {
    x: &'a [T],
    view: AxisView,
    step: F,
}

impl<T: Copy, F: Fn(T, T) -> T + Copy> Vectorized for Folded<'_, T, F> {
    type Output = Vec<T>;

    #[inline(always)]
    fn run(self) -> Vec<T> {
        let Folded { x, view: AxisView { outer, length, inner }, step } = self;
        let mut folded = Vec::with_capacity(outer * inner);
        if inner == 1 {
            folded.extend(x.chunks_exact(length).map(|row| fold_row(row, step)));
            return folded;
        }
        for block in x.chunks_exact((length * inner).max(1)) {
            let start = folded.len();
            folded.extend_from_slice(&block[..inner]);
            for slice in block[inner..].chunks_exact(inner) {
                for (sum, x) in folded[start..].iter_mut().zip(slice) {
                    *sum = step(*sum, *x);
                }
            }
        }
        folded
    }
}

/// Folds a row. Element i goes to partial result i modulo [`LANES`], so that the lanes are
/// independent and the compiler can keep them in SIMD registers. At the end the partial results are
/// combined.
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

/// Returns the index of the greatest element in each row of `length` elements. If several elements are the greatest,
/// returns the index of the first of them.
pub fn greatest<T: Copy + PartialOrd>(x: &[T], length: usize) -> Vec<usize> {
    let view = AxisView { outer: x.len() / length.max(1), length, inner: 1 };
    let indices = best_indices(x, view, |x, best| x > best);
    indices.into_iter().map(|index| index as usize).collect()
}

/// Returns the index of the best element along `view.length`, as `[outer, inner]`.
/// `better(x, best)` returns `true` if `x` replaces the best element so far.
pub fn best_indices<T: Copy>(
    x: &[T],
    view: AxisView,
    better: impl Fn(T, T) -> bool + Copy,
) -> Vec<i64> {
    vectorized(BestIndices { x, view, better })
}

/// See [`best_indices`].
struct BestIndices<'a, T, F> {
    x: &'a [T],
    view: AxisView,
    better: F,
}

impl<T: Copy, F: Fn(T, T) -> bool + Copy> Vectorized for BestIndices<'_, T, F> {
    type Output = Vec<i64>;

    #[inline(always)]
    fn run(self) -> Vec<i64> {
        let BestIndices { x, view: AxisView { outer, length, inner }, better } = self;
        let mut indices = Vec::with_capacity(outer * inner);
        // For a constant number of elements, the compiler unrolls the loop.
        match (length, inner) {
            (2, 1) => {
                indices.extend(x.as_chunks::<2>().0.iter().map(|row| best_index(row, better)))
            }
            (3, 1) => {
                indices.extend(x.as_chunks::<3>().0.iter().map(|row| best_index(row, better)))
            }
            (4, 1) => {
                indices.extend(x.as_chunks::<4>().0.iter().map(|row| best_index(row, better)))
            }
            (5, 1) => {
                indices.extend(x.as_chunks::<5>().0.iter().map(|row| best_index(row, better)))
            }
            (_, 1) => indices.extend(x.chunks_exact(length).map(|row| best_index(row, better))),
            _ => {
                for block in x.chunks_exact((length * inner).max(1)) {
                    indices.extend(
                        (0..inner).map(|offset| {
                            best_index(block[offset..].iter().step_by(inner), better)
                        }),
                    );
                }
            }
        }
        indices
    }
}

/// Returns the index of the best element of a row. The selections compile to conditional moves,
/// because branches would often be mispredicted.
#[inline(always)]
fn best_index<'a, T: Copy + 'a>(
    row: impl IntoIterator<Item = &'a T>,
    better: impl Fn(T, T) -> bool,
) -> i64 {
    let mut row = row.into_iter().copied().zip(0..);
    let Some((mut best, mut best_index)) = row.next() else { return 0 };
    for (x, index) in row {
        let better = better(x, best);
        best = if better { x } else { best };
        best_index = if better { index } else { best_index };
    }
    best_index
}
