//! The two precisions in which an ensemble can be evaluated.

use bytemuck::Pod;
use std::ops::{Add, AddAssign, Div, Neg};
use tract_onnx::tract_hir::internal::*;

/// The type of thresholds, features and scores: `f32` or `f64`.
pub trait Number:
    Datum
    + Pod
    + Copy
    + Default
    + PartialOrd
    + AddAssign
    + Add<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    const NAN: Self;

    /// Returns the greatest number less than `self`.
    fn next_down(self) -> Self;
    /// Returns `true` if the number is NaN.
    fn is_nan(self) -> bool;
    /// Returns the bits of the number.
    fn bits(self) -> u64;
    fn to_f32(self) -> f32;
    fn from_f64(number: f64) -> Self;
}

macro_rules! number {
    ($number:ty) => {
        impl Number for $number {
            const NAN: Self = <$number>::NAN;

            fn next_down(self) -> Self {
                self.next_down()
            }

            fn is_nan(self) -> bool {
                self.is_nan()
            }

            fn bits(self) -> u64 {
                self.to_bits().into()
            }

            fn to_f32(self) -> f32 {
                self as f32
            }

            fn from_f64(number: f64) -> Self {
                number as $number
            }
        }
    };
}

number!(f32);
number!(f64);
