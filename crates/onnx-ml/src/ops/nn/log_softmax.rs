//! [LogSoftmax](https://onnx.ai/onnx/operators/onnx__LogSoftmax.html): `x - ln(sum(exp(x)))`, which
//! stays finite where the softmax underflows to zero. Before opset 13 it covers the given axis and
//! all later ones.

use crate::operator::kernel::{self, Built};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::math::{exp, ln, sub};
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Clone)]
struct LogSoftmax {
    axis: i64,
    /// Covers the axes after `axis` too.
    and_later: bool,
}

pub fn log_softmax(context: &ParsingContext, node: &NodeProto) -> Built {
    let and_later = context.onnx_operator_set_version < 13;
    let default = if and_later { 1 } else { -1 };
    let axis = node.get_attr_opt("axis")?.unwrap_or(default);
    Ok((expand(LogSoftmax { axis, and_later }), vec![]))
}

impl Expansion for LogSoftmax {
    fn name(&self) -> StaticName {
        "LogSoftmax".into()
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
        let rank = model.outlet_fact(inputs[0])?.rank();
        let axis = kernel::axis(self.axis, rank)?;
        let axes: TVec<usize> = if self.and_later { (axis..rank).collect() } else { tvec![axis] };
        let mut node = |name: &str, op: Box<dyn TypedOp>, inputs: &[OutletId]| {
            TractResult::Ok(model.wire_node(format!("{prefix}.{name}"), op, inputs)?[0])
        };
        let largest = Reduce::new(axes.clone(), Reducer::Max);
        let largest = node("largest", largest.into(), inputs)?;
        let shifted = node("shifted", sub().into(), &[inputs[0], largest])?;
        let powers = node("exp", exp().into(), &[shifted])?;
        let sum = node("sum", Reduce::new(axes, Reducer::Sum).into(), &[powers])?;
        let logarithm = node("ln", ln().into(), &[sum])?;
        model.wire_node(prefix, sub(), &[shifted, logarithm])
    }
}
