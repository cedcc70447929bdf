//! Softmax along the last axes.

use super::fast_path::FastPath;
use crate::kernels::axis_view::AxisView;
use crate::kernels::softmax;
use crate::operator::kernel::tensor;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::nn::{Softmax, SoftmaxKind};

#[derive(Debug)]
struct FastSoftmax {
    axes: TVec<usize>,
}

pub fn fast(op: &Softmax) -> Option<Box<dyn FastPath>> {
    let plain = op.quant_output_dt.is_none() && op.kind == SoftmaxKind::Softmax;
    plain.then(|| Box::new(FastSoftmax { axes: op.axes.clone() }) as Box<dyn FastPath>)
}

impl FastPath for FastSoftmax {
    fn eval(&self, inputs: &[TValue]) -> TractResult<Option<Vec<Tensor>>> {
        let input = &inputs[0];
        let around = AxisView::new(input.shape(), &self.axes);
        let Some(AxisView { length: length @ 1.., inner: 1, .. }) = around else { return Ok(None) };
        let output = match input.datum_type() {
            DatumType::F32 => rows(input, length, softmax::softmax)?,
            DatumType::F64 => rows(input, length, softmax::softmax_double)?,
            _ => return Ok(None),
        };
        Ok(Some(vec![output]))
    }
}

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
