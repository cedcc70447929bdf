//! Softmax over the last axes.

use super::fast_path::FastPath;
use crate::kernels::axis_view::AxisView;
use crate::kernels::softmax;
use crate::operator::tensors::tensor;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::nn::{Softmax, SoftmaxKind};

/// The fast path of a softmax.
#[derive(Debug)]
struct FastSoftmax {
    axes: TVec<usize>,
}

/// Returns the fast path of `op`, or `None` for the logarithm of the softmax or a quantized output.
pub fn fast_path(op: &Softmax) -> Option<Box<dyn FastPath>> {
    let is_supported = op.quant_output_dt.is_none() && op.kind == SoftmaxKind::Softmax;
    is_supported.then(|| Box::new(FastSoftmax { axes: op.axes.clone() }) as Box<dyn FastPath>)
}

impl FastPath for FastSoftmax {
    fn eval(&self, inputs: &[TValue]) -> TractResult<Option<Vec<Tensor>>> {
        let input = &inputs[0];
        let view = AxisView::new(input.shape(), &self.axes);
        let Some(AxisView { length: length @ 1.., inner: 1, .. }) = view else { return Ok(None) };
        let output = match input.datum_type() {
            DatumType::F32 => rows(input, length, softmax::softmax)?,
            DatumType::F64 => rows(input, length, softmax::softmax_double)?,
            _ => return Ok(None),
        };
        Ok(Some(vec![output]))
    }
}

/// Applies `softmax` to the rows of the tensor, which have `length` elements each.
fn rows<T: Datum + Copy>(
    input: &TValue,
    length: usize,
    softmax: impl Fn(&mut [T], usize),
) -> TractResult<Tensor> {
    let x = input.try_as_plain_ram()?;
    let mut x = x.as_slice::<T>()?.to_vec();
    softmax(&mut x, length);
    tensor(input.shape(), x)
}
