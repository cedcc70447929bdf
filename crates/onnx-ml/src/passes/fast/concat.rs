//! Concatenation along any axis.

use super::fast_path::FastPath;
use crate::kernels::axis_view::AxisView;
use crate::operator::tensors::tensor;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// Maximum length of rows that are copied column by column instead of row by row.
const MAX_SHORT_ROW: usize = 4;

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
        let view = AxisView::new(&shape, &[self.axis]).with_context(|| {
            format!("expected an axis below {}, found {}", shape.len(), self.axis)
        })?;
        let width = view.length * view.inner;
        let mut concat = vec![T::default(); view.outer * width];
        let mut first = 0;
        for input in inputs {
            let own = input.shape()[self.axis] * view.inner;
            let x = input.try_as_plain_ram()?;
            let x = x.as_slice::<T>()?;
            if !x.is_empty() {
                copy_rows(x, own, &mut concat[first..], width);
            }
            first += own;
        }
        tensor(&shape, concat)
    }
}

/// Copies each row of `x` (`own` elements) to the start of the corresponding row of `out` (`width`
/// elements).
fn copy_rows<T: Clone>(x: &[T], own: usize, out: &mut [T], width: usize) {
    if own <= MAX_SHORT_ROW {
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
