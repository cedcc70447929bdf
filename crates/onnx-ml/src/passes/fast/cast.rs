//! Casts from numbers and booleans to numbers and booleans.

use super::fast_path::FastPath;
use crate::kernels::slices::columnwise;
use crate::operator::tensors::tensor;
use tract_onnx::prelude::*;

/// The fast path of a cast to the type `to`.
#[derive(Debug)]
pub struct FastCast {
    pub to: DatumType,
}

impl FastPath for FastCast {
    fn eval(&self, inputs: &[TValue]) -> TractResult<Option<Vec<Tensor>>> {
        use DatumType::{Bool, F32, F64, I32, I64};
        let x = &inputs[0];
        let cast = match (x.datum_type(), self.to) {
            (Bool, F32) => each(x, |x: bool| f32::from(u8::from(x)))?,
            (Bool, F64) => each(x, |x: bool| f64::from(u8::from(x)))?,
            (Bool, I64) => each(x, |x: bool| i64::from(x))?,
            (Bool, I32) => each(x, |x: bool| i32::from(x))?,
            (F32, Bool) => each(x, |x: f32| x != 0.0)?,
            (F64, Bool) => each(x, |x: f64| x != 0.0)?,
            (I64, Bool) => each(x, |x: i64| x != 0)?,
            (F32, F64) => each(x, |x: f32| f64::from(x))?,
            (F64, F32) => each(x, |x: f64| x as f32)?,
            (I64, F32) => each(x, |x: i64| x as f32)?,
            (I64, F64) => each(x, |x: i64| x as f64)?,
            (I32, I64) => each(x, |x: i32| i64::from(x))?,
            (I32, F32) => each(x, |x: i32| x as f32)?,
            _ => return Ok(None),
        };
        Ok(Some(vec![cast]))
    }
}

/// Applies `cast` to each element.
fn each<T: Datum + Copy, U: Datum>(
    x: &TValue,
    cast: impl Fn(T) -> U + Copy,
) -> TractResult<Tensor> {
    let elements = x.try_as_plain_ram()?;
    tensor(x.shape(), columnwise(elements.as_slice::<T>()?, &[()], |x, ()| cast(x)))
}
