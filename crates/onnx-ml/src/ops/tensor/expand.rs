//! [Expand](https://onnx.ai/onnx/operators/onnx__Expand.html) and
//! [Tile](https://onnx.ai/onnx/operators/onnx__Tile.html): tract's operators, followed by a copy.
//! Without the copy, tract removes the operator if a matrix product follows, and relies on
//! broadcasting, which tract's matrix product does not support.

use crate::operator::adapter::{Built, wire};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tract_operators;
use serde::{Deserialize, Serialize};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

pub fn expanded(context: &ParsingContext, node: &NodeProto) -> Built {
    let expansion = tract_operators::expansion(&node.op_type, context, node)?;
    Ok((expand(Expanded(expansion)), vec![]))
}

/// An operator of tract that broadcasts, followed by a copy.
#[derive(Debug, Clone)]
pub struct Expanded(pub Box<dyn Expansion>);

impl Expansion for Expanded {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        self.0.rules(solver, inputs, outputs)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let expanded = self.0.wire(prefix, model, inputs)?;
        materialize(prefix, model, expanded)
    }

    fn wire_with_inference_model_and_node(
        &self,
        prefix: &str,
        source: &InferenceModel,
        node: &InferenceNode,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let expanded =
            self.0.wire_with_inference_model_and_node(prefix, source, node, model, inputs)?;
        materialize(prefix, model, expanded)
    }
}

/// Adds the copy, unless the result is a constant.
fn materialize(
    prefix: &str,
    model: &mut TypedModel,
    expanded: TVec<OutletId>,
) -> TractResult<TVec<OutletId>> {
    match model.outlet_fact(expanded[0])?.konst {
        Some(_) => Ok(expanded),
        None => wire(&format!("{prefix}.materialized"), model, Materialize, &expanded, 1),
    }
}

/// Copies its input, so that tract does not remove the operator before it.
#[derive(Debug, Deserialize, Serialize)]
pub struct Materialize;

impl Kernel for Materialize {
    const NAME: &'static str = "Materialize";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        Ok(tvec!(Fact::new(inputs[0].datum_type, inputs[0].shape.iter().cloned())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        Ok(vec![inputs[0].clone().into_tensor()])
    }
}
