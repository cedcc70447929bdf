//! Sums, extremes and their places, along neighbouring axes.

use super::{Around, Fast};
use crate::kernels::simd::{Vectorized, vectorized};
use crate::operator::kernel::tensor;
use std::ops::{Add, Mul};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::nn::Reducer;

/// Partial results side by side, of a long row.
const LANES: usize = 16;

#[derive(Debug)]
pub struct FastReduce {
    pub axes: TVec<usize>,
    pub reducer: Reducer,
}

impl Fast for FastReduce {
    fn eval(&self, inputs: &[TValue]) -> TractResult<Option<Vec<Tensor>>> {
        let reduced = match inputs[0].datum_type() {
            DatumType::F32 => self.reduce::<f32>(&inputs[0])?,
            DatumType::F64 => self.reduce::<f64>(&inputs[0])?,
            DatumType::I64 => self.reduce::<i64>(&inputs[0])?,
            _ => None,
        };
        Ok(reduced.map(|reduced| vec![reduced]))
    }
}

impl FastReduce {
    fn reduce<T: Datum + Copy + PartialOrd + Add<Output = T> + Mul<Output = T>>(
        &self,
        input: &TValue,
    ) -> TractResult<Option<Tensor>> {
        let Some(around) = Around::new(input.shape(), &self.axes) else { return Ok(None) };
        if around.length == 0 {
            return Ok(None);
        }
        let x = input.try_as_plain_ram()?;
        let x = x.as_slice::<T>()?;
        let mut shape: TVec<usize> = input.shape().into();
        self.axes.iter().for_each(|axis| shape[*axis] = 1);
        Ok(Some(match self.reducer {
            Reducer::Sum => tensor(&shape, folded(x, around, |sum, x| sum + x))?,
            Reducer::Prod => tensor(&shape, folded(x, around, |product, x| product * x))?,
            Reducer::Max => tensor(&shape, folded(x, around, |a, b| if a > b { a } else { b }))?,
            Reducer::Min => tensor(&shape, folded(x, around, |a, b| if a < b { a } else { b }))?,
            Reducer::ArgMax(false) => tensor(&shape, places(x, around, |x, best| x > best))?,
            Reducer::ArgMax(true) => tensor(&shape, places(x, around, |x, best| x >= best))?,
            Reducer::ArgMin(false) => tensor(&shape, places(x, around, |x, best| x < best))?,
            Reducer::ArgMin(true) => tensor(&shape, places(x, around, |x, best| x <= best))?,
            Reducer::MeanOfSquares | Reducer::All | Reducer::Any => return Ok(None),
        }))
    }
}

fn folded<T: Copy>(x: &[T], around: Around, step: impl Fn(T, T) -> T + Copy) -> Vec<T> {
    vectorized(Folded { x, around, step })
}

struct Folded<'a, T, F> {
    x: &'a [T],
    around: Around,
    step: F,
}

impl<T: Copy, F: Fn(T, T) -> T + Copy> Vectorized for Folded<'_, T, F> {
    type Output = Vec<T>;

    #[inline(always)]
    fn run(self) -> Vec<T> {
        let Folded { x, around: Around { outer, length, inner }, step } = self;
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
    // By halves, so that few have to wait for one another.
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            sums[lane] = step(sums[lane], sums[lane + width]);
        }
    }
    rest.iter().fold(sums[0], |sum, x| step(sum, *x))
}

/// The place of the greatest in each row of so many elements, the first of equal ones.
pub fn greatest<T: Copy + PartialOrd>(x: &[T], length: usize) -> Vec<usize> {
    let around = Around { outer: x.len() / length.max(1), length, inner: 1 };
    let places = places(x, around, |x, best| x > best);
    places.into_iter().map(|place| place as usize).collect()
}

fn places<T: Copy>(x: &[T], around: Around, better: impl Fn(T, T) -> bool + Copy) -> Vec<i64> {
    vectorized(Places { x, around, better })
}

struct Places<'a, T, F> {
    x: &'a [T],
    around: Around,
    better: F,
}

impl<T: Copy, F: Fn(T, T) -> bool + Copy> Vectorized for Places<'_, T, F> {
    type Output = Vec<i64>;

    #[inline(always)]
    fn run(self) -> Vec<i64> {
        let Places { x, around: Around { outer, length, inner }, better } = self;
        let mut places = Vec::with_capacity(outer * inner);
        // A loop over few elements would take longer than they do.
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

/// Without a branch, which would be mispredicted.
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
