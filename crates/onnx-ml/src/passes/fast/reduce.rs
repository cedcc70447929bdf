//! Sums, products, extremes and indices of extremes, along adjacent axes.

use super::fast_path::FastPath;
use crate::kernels::axis_view::AxisView;
use crate::kernels::reduce::{best_indices, folded};
use crate::operator::tensors::tensor;
use std::ops::{Add, Mul};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::nn::Reducer;

/// The fast path of a reduction.
#[derive(Debug)]
pub struct FastReduce {
    pub axes: TVec<usize>,
    pub reducer: Reducer,
}

impl FastPath for FastReduce {
    fn eval(&self, inputs: &[TValue]) -> TractResult<Option<Vec<Tensor>>> {
        let reduced = match inputs[0].datum_type() {
            DatumType::F32 => self.reduce::<f32>(&inputs[0])?,
            DatumType::F64 => self.reduce::<f64>(&inputs[0])?,
            DatumType::I64 => self.reduce::<i64>(&inputs[0])?,
            _ => None,
        };
        Ok(reduced.map(|reduced| vec![reduced]))
    }
}

impl FastReduce {
    /// Reduces a tensor with elements of type `T`.
    fn reduce<T: Datum + Copy + PartialOrd + Add<Output = T> + Mul<Output = T>>(
        &self,
        input: &TValue,
    ) -> TractResult<Option<Tensor>> {
        let Some(view) = AxisView::new(input.shape(), &self.axes) else { return Ok(None) };
        if view.length == 0 {
            return Ok(None);
        }
        let x = input.try_as_plain_ram()?;
        let x = x.as_slice::<T>()?;
        let mut shape: TVec<usize> = input.shape().into();
        self.axes.iter().for_each(|axis| shape[*axis] = 1);
        Ok(Some(match self.reducer {
            Reducer::Sum => tensor(&shape, folded(x, view, |sum, x| sum + x))?,
            Reducer::Prod => tensor(&shape, folded(x, view, |product, x| product * x))?,
            Reducer::Max => tensor(&shape, folded(x, view, |a, b| if a > b { a } else { b }))?,
            Reducer::Min => tensor(&shape, folded(x, view, |a, b| if a < b { a } else { b }))?,
            Reducer::ArgMax(false) => tensor(&shape, best_indices(x, view, |x, best| x > best))?,
            Reducer::ArgMax(true) => tensor(&shape, best_indices(x, view, |x, best| x >= best))?,
            Reducer::ArgMin(false) => tensor(&shape, best_indices(x, view, |x, best| x < best))?,
            Reducer::ArgMin(true) => tensor(&shape, best_indices(x, view, |x, best| x <= best))?,
            Reducer::MeanOfSquares | Reducer::All | Reducer::Any => return Ok(None),
        }))
    }
}
