//! [Celu](https://onnx.ai/onnx/operators/onnx__Celu.html): `max(0, x) + min(0, alpha * (exp(x /
//! alpha) - 1))`. tract's operator omits the first `alpha`.

use crate::operator::kernel::Built;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::math::{add, div, exp, max, min, mul, sub};
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Clone)]
struct Celu {
    alpha: f32,
}

pub fn celu(_: &ParsingContext, node: &NodeProto) -> Built {
    Ok((expand(Celu { alpha: node.get_attr_opt("alpha")?.unwrap_or(1.0) }), vec![]))
}

impl Expansion for Celu {
    fn name(&self) -> StaticName {
        "Celu".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let fact = model.outlet_fact(inputs[0])?.clone();
        let mut constant = |name: &str, value: f32| {
            let value = tensor0(value).cast_to_dt(fact.datum_type)?.into_owned();
            model.add_const(format!("{prefix}.{name}"), value.broadcast_into_rank(fact.rank())?)
        };
        let (zero, one) = (constant("zero", 0.0)?, constant("one", 1.0)?);
        let alpha = constant("alpha", self.alpha)?;
        let mut node = |name: &str, op: Box<dyn TypedOp>, inputs: &[OutletId]| {
            TractResult::Ok(model.wire_node(format!("{prefix}.{name}"), op, inputs)?[0])
        };
        let x = inputs[0];
        let scaled = node("scaled", div().into(), &[x, alpha])?;
        let power = node("exp", exp().into(), &[scaled])?;
        let shifted = node("shifted", sub().into(), &[power, one])?;
        let below = node("below", mul().into(), &[shifted, alpha])?;
        let below = node("below_zero", min().into(), &[below, zero])?;
        let above = node("above_zero", max().into(), &[x, zero])?;
        model.wire_node(prefix, add(), &[above, below])
    }
}
