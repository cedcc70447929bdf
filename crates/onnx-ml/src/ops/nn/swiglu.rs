//! [SwiGLU](https://onnx.ai/onnx/operators/onnx__SwiGLU.html): `a * sigmoid(alpha * a) * b`.

use crate::operator::adapter::Built;
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::math::mul;
use tract_onnx::tract_core::ops::nn::sigmoid;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Clone)]
struct SwiGlu {
    alpha: f32,
}

pub fn swiglu(_: &ParsingContext, node: &NodeProto) -> Built {
    lower(SwiGlu { alpha: node.get_attr_opt("alpha")?.unwrap_or(1.0) })
}

impl Lowering for SwiGlu {
    fn name(&self) -> StaticName {
        "SwiGLU".into()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        check_input_arity(inputs, 2)?;
        check_output_arity(outputs, 1)?;
        for like in [&inputs[1], &outputs[0]] {
            solver.equals(&inputs[0].datum_type, &like.datum_type)?;
            solver.equals(&inputs[0].shape, &like.shape)?;
        }
        Ok(())
    }

    fn wire(&self, mut wiring: Wiring, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let [gate, value] = [inputs[0], inputs[1]];
        let fact = wiring.fact(gate)?;
        let (datum_type, rank) = (fact.datum_type, fact.rank());
        let alpha = wiring.constant("alpha", self.alpha, datum_type, rank)?;
        let scaled = wiring.node("scaled", mul(), &[gate, alpha])?;
        let sigmoid = wiring.node("sigmoid", sigmoid(), &[scaled])?;
        let swish = wiring.node("swish", mul(), &[gate, sigmoid])?;
        wiring.last(mul(), &[swish, value])
    }
}
