//! The largest or smallest elements of each row.

use super::fast_path::FastPath;
use crate::kernels::axis_view::AxisView;
use crate::operator::kernel::tensor;
use std::cmp::Ordering;
use tract_onnx::prelude::*;

/// Up to this many elements are kept in order while a row is read; more are sorted.
const FEW: usize = 32;

#[derive(Debug)]
pub struct FastTopK {
    pub axis: usize,
    pub largest: bool,
}

impl FastPath for FastTopK {
    fn eval(&self, inputs: &[TValue]) -> TractResult<Option<Vec<Tensor>>> {
        let around = AxisView::new(inputs[0].shape(), &[self.axis]);
        let Some(AxisView { length: length @ 1.., inner: 1, .. }) = around else { return Ok(None) };
        let k = inputs[1].cast_to_scalar::<i64>()?;
        let Some(k) = usize::try_from(k).ok().filter(|k| *k <= length) else { return Ok(None) };
        match inputs[0].datum_type() {
            DatumType::F32 => self.top::<f32>(&inputs[0], length, k).map(Some),
            DatumType::F64 => self.top::<f64>(&inputs[0], length, k).map(Some),
            DatumType::I64 => self.top::<i64>(&inputs[0], length, k).map(Some),
            _ => Ok(None),
        }
    }
}

impl FastTopK {
    fn top<T: Datum + Copy + PartialOrd>(
        &self,
        input: &TValue,
        length: usize,
        k: usize,
    ) -> TractResult<Vec<Tensor>> {
        let x = input.try_as_plain_ram()?;
        let rows = x.as_slice::<T>()?.chunks_exact(length);
        let mut values = Vec::with_capacity(rows.len() * k);
        let mut indices = Vec::with_capacity(rows.len() * k);
        let mut best = Vec::with_capacity(length);
        for row in rows {
            if self.largest {
                select(row, k, &mut best, |a, b| a > b || nan(b) && !nan(a))
            } else {
                select(row, k, &mut best, |a, b| a < b || nan(b) && !nan(a))
            }
            values.extend(best.iter().map(|(value, _)| *value));
            indices.extend(best.iter().map(|(_, index)| *index));
        }
        let mut shape: TVec<usize> = input.shape().into();
        shape[self.axis] = k;
        Ok(vec![tensor(&shape, values)?, tensor(&shape, indices)?])
    }
}

/// NaN compares as worse than any number, which gives a total order.
#[inline(always)]
fn nan<T: PartialOrd>(x: T) -> bool {
    x.partial_cmp(&x).is_none()
}

/// Selects the best `k` elements with their indices, best first; of equal elements the first wins.
#[inline(always)]
fn select<T: Copy>(
    row: &[T],
    k: usize,
    best: &mut Vec<(T, i64)>,
    better: impl Fn(T, T) -> bool + Copy,
) {
    best.clear();
    if k > FEW {
        best.extend(row.iter().copied().zip(0..));
        best.sort_by(|(a, _), (b, _)| match () {
            () if better(*a, *b) => Ordering::Less,
            () if better(*b, *a) => Ordering::Greater,
            () => Ordering::Equal,
        });
        best.truncate(k);
        return;
    }
    for (x, index) in row.iter().zip(0..) {
        if best.len() == k {
            if !best.last().is_some_and(|(worst, _)| better(*x, *worst)) {
                continue;
            }
            best.pop();
        }
        let place = best.iter().rposition(|(value, _)| !better(*x, *value)).map_or(0, |at| at + 1);
        best.insert(place, (*x, index));
    }
}
