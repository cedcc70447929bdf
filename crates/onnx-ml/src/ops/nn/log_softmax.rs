//! [LogSoftmax](https://onnx.ai/onnx/operators/onnx__LogSoftmax.html): computed as
//! `x - ln(sum(exp(x)))` after subtracting the maximum from `x`. The result stays finite where the
//! softmax itself underflows to zero. Before opset 13 the sum is over the axis `axis` and all axes
//! after it.

use crate::operator::adapter::Built;
use crate::operator::lowering::{Lowering, Wiring, lower};
use crate::operator::tensors;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::math::{exp, ln, sub};
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Clone)]
struct LogSoftmax {
    axis: i64,
    /// `true` if the sum is also over all axes after `axis`.
    and_later_axes: bool,
}

pub fn log_softmax(context: &ParsingContext, node: &NodeProto) -> Built {
    let and_later_axes = context.onnx_operator_set_version < 13;
    let default = if and_later_axes { 1 } else { -1 };
    let axis = node.get_attr_opt("axis")?.unwrap_or(default);
    lower(LogSoftmax { axis, and_later_axes })
}

impl Lowering for LogSoftmax {
    fn name(&self) -> StaticName {
        "LogSoftmax".into()
    }

    fn wire(&self, mut wiring: Wiring, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let rank = wiring.fact(inputs[0])?.rank();
        let axis = tensors::axis(self.axis, rank)?;
        let axes: TVec<usize> =
            if self.and_later_axes { (axis..rank).collect() } else { tvec![axis] };
        let largest = Reduce::new(axes.clone(), Reducer::Max);
        let largest = wiring.node("largest", largest, inputs)?;
        let shifted = wiring.node("shifted", sub(), &[inputs[0], largest])?;
        let powers = wiring.node("exp", exp(), &[shifted])?;
        let sum = wiring.node("sum", Reduce::new(axes, Reducer::Sum), &[powers])?;
        let logarithm = wiring.node("ln", ln(), &[sum])?;
        wiring.last(sub(), &[shifted, logarithm])
    }
}
