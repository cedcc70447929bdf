//! [ArrayFeatureExtractor](https://onnx.ai/onnx/operators/onnx_aionnxml_ArrayFeatureExtractor.html):
//! selects columns, which are the elements of the last axis, by index. The result for a vector is a
//! matrix with one row, as in ONNX Runtime.

use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, tensor};
use serde::{Deserialize, Serialize};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// The operator. Its inputs are the data and the indices.
#[derive(Debug, Deserialize, Serialize)]
pub struct ArrayFeatureExtractor;

/// Builds the operator.
pub fn array_feature_extractor(_: &ParsingContext, node: &NodeProto) -> Built {
    operator(node, 2, ArrayFeatureExtractor)
}

impl Kernel for ArrayFeatureExtractor {
    const NAME: &'static str = "ArrayFeatureExtractor";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let (data, indices) = (&inputs[0], &inputs[1]);
        let integers = indices.datum_type.is_integer() || indices.datum_type.is_tdim();
        ensure!(integers, "expected integers as indices, found {:?}", indices.datum_type);
        let shape = output_shape(&data.shape, indices.shape.iter().product(), 1.to_dim())?;
        Ok(tvec!(Fact::new(data.datum_type, shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let indices = elements::<i64>(&inputs[1])?;
        let indices = indices.try_as_plain_ram()?;
        let columns = inputs[0].shape().last().copied().unwrap_or_default();
        let indices = indices.as_slice::<i64>()?;
        let outside = indices.iter().find(|index| !(0..columns as i64).contains(*index));
        if let Some(index) = outside {
            bail!("expected column indices of at least 0 and below {columns}, found {index}");
        }
        let datum_type = inputs[0].datum_type();
        Ok(vec![dispatch_datum!(extract(datum_type)(&inputs[0], indices, columns))?])
    }
}

/// Returns the shape of the output for data of the given shape. `one` is the dimension 1.
fn output_shape<D: Clone>(shape: &[D], index_count: D, one: D) -> TractResult<TVec<D>> {
    match shape {
        [] => bail!("expected data of rank 1 or more, found a scalar"),
        [_] => Ok(tvec!(one, index_count)),
        [rest @ .., _] => Ok(rest.iter().cloned().chain([index_count]).collect()),
    }
}

/// Selects the columns at `indices`. `columns` is the last dimension of `data`. All indices are below `columns`.
fn extract<T: Datum>(data: &TValue, indices: &[i64], columns: usize) -> TractResult<Tensor> {
    let shape = output_shape(data.shape(), indices.len(), 1)?;
    let data = data.try_as_plain_ram()?;
    let rows = data.as_slice::<T>()?.chunks_exact(columns.max(1));
    let mut selected = Vec::with_capacity(rows.len() * indices.len());
    if let [index] = indices {
        selected.extend(rows.map(|row| row[*index as usize].clone()));
    } else {
        rows.for_each(|row| {
            selected.extend(indices.iter().map(|index| row[*index as usize].clone()))
        });
    }
    tensor(&shape, selected)
}
