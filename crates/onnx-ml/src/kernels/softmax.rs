//! Softmax of rows.

use crate::kernels::math::{exp, exp_double};
use crate::kernels::simd::{Vectorized, vectorized};
use std::iter::Sum;
use std::ops::MulAssign;
use tract_onnx::tract_hir::tract_num_traits::Float;

/// Bound on the absolute value of elements for which softmax can use `exp(x)` directly, without
/// first subtracting the maximum. `exp(48)` is about 7·10^20, so that the sum over up to 10^17
/// elements is finite in `f32` (whose maximum is 3.4·10^38).
const MAX_DIRECT: f32 = 48.0;

/// Replaces each row of `length` elements by its softmax.
pub fn softmax(x: &mut [f32], length: usize) {
    vectorized(Rows { x, length, least: f32::MIN, bound: MAX_DIRECT, exp });
}

/// Replaces each row of `length` elements by its softmax, in double precision.
pub fn softmax_double(x: &mut [f64], length: usize) {
    vectorized(Rows { x, length, least: f64::MIN, bound: MAX_DIRECT.into(), exp: exp_double });
}

/// Softmax of all rows of `x`, generic over the precision.
struct Rows<'a, T, E> {
    x: &'a mut [T],
    /// Number of elements of a row.
    length: usize,
    /// Lowest finite number of `T`.
    least: T,
    /// [`MAX_DIRECT`] as a `T`.
    bound: T,
    /// Exponential function of `T`.
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
        let Rows { x, length, least, bound, exp } = self;
        let is_direct = x.iter().fold(true, |all, x| all & (x.abs() < bound));
        if !is_direct {
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
