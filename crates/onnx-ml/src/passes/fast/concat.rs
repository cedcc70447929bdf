//! Concatenation along the columns.

use super::fast_path::FastPath;
use crate::kernels::axis_view::AxisView;
use crate::operator::kernel::tensor;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// Rows of at most this many elements are copied element by element.
const FEW: usize = 4;

#[derive(Debug)]
pub struct FastConcat {
    pub axis: usize,
}

impl FastPath for FastConcat {
    fn eval(&self, inputs: &[TValue]) -> TractResult<Option<Vec<Tensor>>> {
        let datum_type = inputs[0].datum_type();
        if datum_type.is_quantized() || inputs.iter().any(|x| x.datum_type() != datum_type) {
            return Ok(None);
        }
        Ok(match datum_type {
            DatumType::F32 => Some(vec![self.concat::<f32>(inputs)?]),
            DatumType::F64 => Some(vec![self.concat::<f64>(inputs)?]),
            DatumType::I64 => Some(vec![self.concat::<i64>(inputs)?]),
            DatumType::Bool => Some(vec![self.concat::<bool>(inputs)?]),
            DatumType::String => Some(vec![self.concat::<String>(inputs)?]),
            _ => None,
        })
    }
}

impl FastConcat {
    fn concat<T: Datum>(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let mut shape: TVec<usize> = inputs[0].shape().into();
        shape[self.axis] = inputs.iter().map(|x| x.shape()[self.axis]).sum();
        let around = AxisView::new(&shape, &[self.axis]).context("expected an axis")?;
        let width = around.length * around.inner;
        let mut concat = vec![T::default(); around.outer * width];
        let mut first = 0;
        for input in inputs {
            let own = input.shape()[self.axis] * around.inner;
            let x = input.try_as_plain_ram()?;
            let x = x.as_slice::<T>()?;
            if !x.is_empty() {
                put(x, own, &mut concat[first..], width);
            }
            first += own;
        }
        tensor(&shape, concat)
    }
}

/// Copies rows of `own` elements to the start of each `width` elements of `out`.
fn put<T: Clone>(x: &[T], own: usize, out: &mut [T], width: usize) {
    if own <= FEW {
        for column in 0..own {
            let x = x[column..].iter().step_by(own);
            for (x, out) in x.zip(out[column..].iter_mut().step_by(width)) {
                out.clone_from(x);
            }
        }
        return;
    }
    for (x, out) in x.chunks_exact(own).zip(out.chunks_mut(width)) {
        out[..own].clone_from_slice(x);
    }
}
