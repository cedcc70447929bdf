//! Concatenation along any axis.

use super::fast_path::FastPath;
use crate::kernels::axis_view::AxisView;
use crate::operator::tensors::tensor;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// Maximum length of a short row. Inputs with short rows are copied column by column, all others row
/// by row.
const MAX_SHORT_ROW: usize = 4;

/// The fast path of a concatenation.
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
            let x_width = input.shape()[self.axis] * view.inner;
            let x = input.try_as_plain_ram()?;
            let x = x.as_slice::<T>()?;
            if !x.is_empty() {
                copy_rows(x, x_width, &mut concat[first..], width);
            }
            first += x_width;
        }
        tensor(&shape, concat)
    }
}

/// Copies each row of `x` (`x_width` elements) to the start of the corresponding row of `out`
/// (`width` elements).
fn copy_rows<T: Clone>(x: &[T], x_width: usize, out: &mut [T], width: usize) {
    if x_width <= MAX_SHORT_ROW {
        for column in 0..x_width {
            let x = x[column..].iter().step_by(x_width);
            for (x, out) in x.zip(out[column..].iter_mut().step_by(width)) {
                out.clone_from(x);
            }
        }
        return;
    }
    for (x, out) in x.chunks_exact(x_width).zip(out.chunks_mut(width)) {
        out[..x_width].clone_from_slice(x);
    }
}
