//! The logistic function.

use crate::kernels::math::exp;

/// Returns `1 / (1 + exp(-x))`, without overflow.
#[inline(always)]
pub fn logistic(x: f32) -> f32 {
    let [_, positive] = logistic_pair(x);
    positive
}

/// Returns the logistic function of `-x` and of `x`. The two results add up to 1.
#[inline(always)]
pub fn logistic_pair(x: f32) -> [f32; 2] {
    // The exponent is never positive, so that `exp` cannot overflow.
    let greater = 1.0 / (1.0 + exp(-x.abs()));
    let less = 1.0 - greater;
    if x < 0.0 { [greater, less] } else { [less, greater] }
}
