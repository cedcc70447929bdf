//! [Scaler](https://onnx.ai/onnx/operators/onnx_aionnxml_Scaler.html): `(x - offset) * scale`. There is one offset for
//! all columns or one offset per column. There is one scale for all columns or one scale per column.

use crate::kernels::slices::columnwise;
use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, tensor};
use serde::{Deserialize, Serialize};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Deserialize, Serialize)]
pub struct Scaler {
    /// One element, or one per column.
    offset: Vec<f32>,
    /// One element, or one per column.
    scale: Vec<f32>,
}

/// Builds the operator.
pub fn scaler(_: &ParsingContext, node: &NodeProto) -> Built {
    let offset: Vec<f32> = node.get_attr_opt_vec("offset")?.unwrap_or_else(|| vec![0.0]);
    let scale: Vec<f32> = node.get_attr_opt_vec("scale")?.unwrap_or_else(|| vec![1.0]);
    for (name, list) in [("offset", &offset), ("scale", &scale)] {
        node.expect_attr(name, !list.is_empty(), "at least one element, found none")?;
    }
    operator(node, 1, Scaler { offset, scale })
}

impl Kernel for Scaler {
    const NAME: &'static str = "Scaler";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        ensure!(inputs[0].is_number(), "expected numbers, found {:?}", inputs[0].datum_type);
        let (_, columns) = inputs[0].matrix()?;
        for (name, list) in [("offset", &self.offset), ("scale", &self.scale)] {
            let matches = list.len() == 1 || columns == list.len().to_dim();
            ensure!(matches, "expected {columns} elements in {name}, found {}", list.len());
        }
        Ok(tvec!(Fact::new(f32::datum_type(), inputs[0].shape.iter().cloned())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let input = elements::<f32>(&inputs[0])?;
        let input = input.try_as_plain_ram()?;
        let (offsets, scales) = (self.offset.len(), self.scale.len());
        let parameters: Vec<(f32, f32)> = (0..offsets.max(scales))
            .map(|column| (self.offset[column % offsets], self.scale[column % scales]))
            .collect();
        let scaled = columnwise(input.as_slice::<f32>()?, &parameters, |x, (offset, scale)| {
            (x - offset) * scale
        });
        Ok(vec![tensor(inputs[0].shape(), scaled)?])
    }
}
