//! Softmax of rows.

use crate::kernels::simd::{Vectorized, exp, exp_double, vectorized};
use std::iter::Sum;
use std::ops::MulAssign;
use tract_onnx::tract_hir::tract_num_traits::Float;

/// Bound below which the exponentials of up to 10^17 elements have a finite sum in `f32`.
const NEAR: f32 = 48.0;

/// Replaces each row of `length` elements by its softmax.
pub fn softmax(x: &mut [f32], length: usize) {
    vectorized(Rows { x, length, least: f32::MIN, near: NEAR, exp });
}

/// Replaces each row of `length` elements by its softmax, in double precision.
pub fn softmax_double(x: &mut [f64], length: usize) {
    vectorized(Rows { x, length, least: f64::MIN, near: NEAR.into(), exp: exp_double });
}

struct Rows<'a, T, E> {
    x: &'a mut [T],
    length: usize,
    least: T,
    /// Bound on the absolute value below which subtracting the maximum is not necessary.
    near: T,
    exp: E,
}

impl<T, E> Vectorized for Rows<'_, T, E>
where
    T: Float + MulAssign + Sum,
    E: Fn(T) -> T,
{
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Rows { x, length, least, near, exp } = self;
        let is_near = x.iter().fold(true, |all, x| all & (x.abs() < near));
        if !is_near {
            for row in x.chunks_exact_mut(length) {
                let maximum = row.iter().fold(least, |max, x| if *x > max { *x } else { max });
                row.iter_mut().for_each(|x| *x = *x - maximum);
            }
        }
        // All rows in one loop, because a single row is often shorter than a SIMD register.
        x.iter_mut().for_each(|x| *x = exp(*x));
        for row in x.chunks_exact_mut(length) {
            let scale = row.iter().copied().sum::<T>().recip();
            row.iter_mut().for_each(|x| *x *= scale);
        }
    }
}
