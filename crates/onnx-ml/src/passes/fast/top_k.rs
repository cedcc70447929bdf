//! The k largest or smallest elements along the last axis.

use super::fast_path::FastPath;
use crate::kernels::axis_view::AxisView;
use crate::operator::tensors::tensor;
use std::cmp::Ordering;
use tract_onnx::prelude::*;

/// Maximum k for which the best k elements are kept in a sorted list while the row is read. For a larger k, the whole
/// row is sorted.
const MAX_INSERTION_K: usize = 32;

/// The fast path of `Topk`.
#[derive(Debug)]
pub struct FastTopK {
    pub axis: usize,
    /// `true` for the largest elements, `false` for the smallest.
    pub largest: bool,
}

impl FastPath for FastTopK {
    fn eval(&self, inputs: &[TValue]) -> TractResult<Option<Vec<Tensor>>> {
        let view = AxisView::new(inputs[0].shape(), &[self.axis]);
        let Some(AxisView { length: length @ 1.., inner: 1, .. }) = view else { return Ok(None) };
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
    /// Returns the best `k` elements of each row of `length` elements, and their indices.
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
                select(row, k, &mut best, |a, b| a > b || is_nan(b) && !is_nan(a))
            } else {
                select(row, k, &mut best, |a, b| a < b || is_nan(b) && !is_nan(a))
            }
            values.extend(best.iter().map(|(value, _)| *value));
            indices.extend(best.iter().map(|(_, index)| *index));
        }
        let mut shape: TVec<usize> = input.shape().into();
        shape[self.axis] = k;
        Ok(vec![tensor(&shape, values)?, tensor(&shape, indices)?])
    }
}

/// Returns `true` if `x` is NaN. NaN ranks after every number, so that the order is total.
#[inline(always)]
fn is_nan<T: PartialOrd>(x: T) -> bool {
    x.partial_cmp(&x).is_none()
}

/// Writes the best `k` elements of `row` and their indices to `best`, best first. Equal elements
/// are in the order of their indices. `better` returns `true` if its first argument ranks before
/// its second.
#[inline(always)]
fn select<T: Copy>(
    row: &[T],
    k: usize,
    best: &mut Vec<(T, i64)>,
    better: impl Fn(T, T) -> bool + Copy,
) {
    best.clear();
    if k > MAX_INSERTION_K {
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
        // Insert after the last element that is at least as good.
        let position =
            best.iter().rposition(|(value, _)| !better(*x, *value)).map_or(0, |last| last + 1);
        best.insert(position, (*x, index));
    }
}
