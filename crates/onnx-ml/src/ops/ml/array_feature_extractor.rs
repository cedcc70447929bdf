//! [ArrayFeatureExtractor](https://onnx.ai/onnx/operators/onnx_aionnxml_ArrayFeatureExtractor.html):
//! selects elements of the last axis by index. The result for a vector is a matrix with one row, as
//! in ONNX Runtime.

use crate::operator::kernel::{Built, Fact, Kernel, elements, operator, tensor};
use serde::{Deserialize, Serialize};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Deserialize, Serialize)]
pub struct ArrayFeatureExtractor;

pub fn array_feature_extractor(_: &ParsingContext, node: &NodeProto) -> Built {
    operator(node, 2, ArrayFeatureExtractor)
}

impl Kernel for ArrayFeatureExtractor {
    const NAME: &'static str = "ArrayFeatureExtractor";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let (data, indices) = (&inputs[0], &inputs[1]);
        let integers = indices.datum_type.is_integer() || indices.datum_type.is_tdim();
        ensure!(integers, "expected integers as indices, found {:?}", indices.datum_type);
        let shape = extracted(&data.shape, indices.shape.iter().product(), 1.to_dim())?;
        Ok(tvec!(Fact::new(data.datum_type, shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let indices = elements::<i64>(&inputs[1])?;
        let indices = indices.try_as_plain_ram()?;
        let columns = inputs[0].shape().last().copied().unwrap_or_default();
        let indices = indices.as_slice::<i64>()?;
        let outside = indices.iter().find(|index| !(0..columns as i64).contains(*index));
        if let Some(index) = outside {
            bail!("expected indices from 0 and below {columns}, found {index}");
        }
        let datum_type = inputs[0].datum_type();
        Ok(vec![dispatch_datum!(extract(datum_type)(&inputs[0], indices, columns))?])
    }
}

fn extracted<D: Clone>(shape: &[D], indices: D, one: D) -> TractResult<TVec<D>> {
    match shape {
        [] => bail!("expected a vector or more, found a scalar"),
        [_] => Ok(tvec!(one, indices)),
        [rest @ .., _] => Ok(rest.iter().cloned().chain([indices]).collect()),
    }
}

/// Selects columns. Each index is in `0..columns`, where `columns` is the last dimension of `data`.
fn extract<T: Datum>(data: &TValue, indices: &[i64], columns: usize) -> TractResult<Tensor> {
    let shape = extracted(data.shape(), indices.len(), 1)?;
    let data = data.try_as_plain_ram()?;
    let rows = data.as_slice::<T>()?.chunks_exact(columns.max(1));
    let mut picked = Vec::with_capacity(rows.len() * indices.len());
    if let [index] = indices {
        picked.extend(rows.map(|row| row[*index as usize].clone()));
    } else {
        rows.for_each(|row| {
            picked.extend(indices.iter().map(|index| row[*index as usize].clone()))
        });
    }
    tensor(&shape, picked)
}
