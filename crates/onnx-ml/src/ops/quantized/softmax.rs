//! ONNX Runtime's
//! [QLinearSoftmax](https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.QLinearSoftmax):
//! Softmax of 8-bit integers, quantized with a given scale.
//!
//! ONNX Runtime rounds the inverse of the output's scale down to an integer, so this kernel does
//! too. Results above the largest integer are clamped. ONNX Runtime wraps them for `int8`.

use crate::kernels::quantize::{Narrow, clamped};
use crate::operator::adapter::{Built, variadic};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{self, tensor};
use serde::{Deserialize, Serialize};
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// The inputs are the integers, their scale and zero point, and the scale and zero point of the
/// output. Softmax does not depend on the zero point of the integers.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct QuantizedSoftmax {
    axis: i64,
    /// `true` if the sum is over all axes from `axis` on, as in ONNX before version 13.
    is_flat: bool,
    /// Index of the input with the scale of the integers.
    x_scale_input: usize,
    /// Index of the input with the scale of the output.
    y_scale_input: usize,
    /// Index of the input with the zero point of the output. `None` if the zero point is 0.
    y_zero_input: Option<usize>,
}

/// Builds the operator.
pub fn q_linear_softmax(_: &ParsingContext, node: &NodeProto) -> Built {
    let inputs: Vec<Option<usize>> = optional_inputs(node).take(5).collect();
    let required = |position: usize| {
        inputs[position].with_context(|| format!("expected input {position}, found none"))
    };
    required(0)?;
    let is_flat = node.get_attr::<i64>("opset")? < 13;
    let axis = node.get_attr_opt::<i64>("axis")?.unwrap_or(-1);
    let (x_scale_input, y_scale_input) = (required(1)?, required(3)?);
    let y_zero_input = inputs[4];
    variadic(node, QuantizedSoftmax { axis, is_flat, x_scale_input, y_scale_input, y_zero_input })
}

impl Kernel for QuantizedSoftmax {
    const NAME: &'static str = "QLinearSoftmax";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let datum_type = inputs[0].datum_type;
        let is_byte = [i8::datum_type(), u8::datum_type()].contains(&datum_type);
        ensure!(is_byte, "expected 8-bit integers, found {datum_type:?}");
        if let Some(found) = self.y_zero_input.map(|index| inputs[index].datum_type) {
            ensure!(
                found == datum_type,
                "zero point of the output: expected type {datum_type:?}, found {found:?}"
            );
        }
        tensors::axis(self.axis, inputs[0].shape.len())?;
        Ok(tvec!(Fact::new(datum_type, inputs[0].shape.iter().cloned())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let output = if inputs[0].datum_type() == i8::datum_type() {
            self.compute::<i8>(inputs)
        } else {
            self.compute::<u8>(inputs)
        };
        Ok(vec![output?])
    }
}

impl QuantizedSoftmax {
    fn compute<T: Narrow + Datum + Into<i32>>(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let shape = inputs[0].shape();
        let axis = tensors::axis(self.axis, shape.len())?;
        let (length, inner): (usize, usize) = if self.is_flat {
            (shape[axis..].iter().product(), 1)
        } else {
            (shape[axis], shape[axis + 1..].iter().product())
        };
        let x = inputs[0].try_as_plain_ram()?.as_slice::<T>()?;
        let exponentials = exponentials(only::<f32>(&inputs[self.x_scale_input])?, length);
        let scale = (1.0 / only::<f32>(&inputs[self.y_scale_input])?).floor();
        let zero = self.y_zero_input.map(|index| only::<T>(&inputs[index])).transpose()?;
        let zero: f32 = zero.unwrap_or_default().into();
        let mut y = vec![T::default(); x.len()];
        for block in (0..x.len()).step_by((length * inner).max(1)) {
            for start in block..block + inner {
                let row = || (start..).step_by(inner).take(length);
                let integer = |index: usize| -> i32 { x[index].into() };
                let largest = row().map(integer).max().unwrap_or_default();
                let exponential = |index: usize| exponentials[(largest - integer(index)) as usize];
                let sum: f32 = row().map(exponential).sum();
                for index in row() {
                    let rounded = (exponential(index) * scale / sum).round_ties_even();
                    y[index] = clamped(rounded + zero);
                }
            }
        }
        tensor(shape, y)
    }
}

/// Returns the exponentials of 0 to -255 times `scale`, multiplied by a common factor. The factor makes small
/// exponentials more precise. The factor is small enough that a sum of `length` exponentials is finite.
fn exponentials(scale: f32, length: usize) -> [f32; 256] {
    let largest_sum = (f32::MAX / length as f32).ln();
    // The common factor is exp(`shift` · `scale`). Subtracting 5 from the exponent keeps the sum well below the largest
    // float, so that the sum is finite in spite of rounding errors.
    let shift = (f64::from(largest_sum) - 5.0).max(0.0) / f64::from(scale);
    std::array::from_fn(|below| {
        let exponent = (shift - below as f64) * f64::from(scale);
        exponent.exp() as f32
    })
}

/// Returns the only element of a tensor.
fn only<T: Datum + Copy>(value: &TValue) -> TractResult<T> {
    let [only] = value.try_as_plain_ram()?.as_slice::<T>()? else {
        bail!("scale or zero point: expected one element, found shape {:?}", value.shape());
    };
    Ok(*only)
}
