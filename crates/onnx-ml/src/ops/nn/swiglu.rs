//! [SwiGLU](https://onnx.ai/onnx/operators/onnx__SwiGLU.html): `a * sigmoid(alpha * a) * b`.

use crate::operator::kernel::Built;
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
    Ok((expand(SwiGlu { alpha: node.get_attr_opt("alpha")?.unwrap_or(1.0) }), vec![]))
}

impl Expansion for SwiGlu {
    fn name(&self) -> StaticName {
        "SwiGLU".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2)?;
        check_output_arity(outputs, 1)?;
        for like in [&inputs[1], &outputs[0]] {
            solver.equals(&inputs[0].datum_type, &like.datum_type)?;
            solver.equals(&inputs[0].shape, &like.shape)?;
        }
        Ok(())
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let [gate, value] = [inputs[0], inputs[1]];
        let fact = model.outlet_fact(gate)?;
        let alpha = tensor0(self.alpha).cast_to_dt(fact.datum_type)?.into_owned();
        let alpha = alpha.broadcast_into_rank(fact.rank())?;
        let alpha = model.add_const(format!("{prefix}.alpha"), alpha)?;
        let scaled = model.wire_node(format!("{prefix}.scaled"), mul(), &[gate, alpha])?;
        let sigmoid = model.wire_node(format!("{prefix}.sigmoid"), sigmoid(), &scaled)?;
        let swish = model.wire_node(format!("{prefix}.swish"), mul(), &[gate, sigmoid[0]])?;
        model.wire_node(prefix, mul(), &[swish[0], value])
    }
}
