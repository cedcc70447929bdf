//! The two precisions of an ensemble.

use bytemuck::Pod;
use std::ops::{Add, AddAssign, Div, Neg};
use tract_onnx::tract_hir::internal::*;

/// Element type of thresholds, features and scores.
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

    fn next_down(self) -> Self;
    fn nan(self) -> bool;
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

            fn nan(self) -> bool {
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
