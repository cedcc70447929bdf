//! Reductions that tract supports only in part:
//! [ReduceMax](https://onnx.ai/onnx/operators/onnx__ReduceMax.html) and ReduceMin of booleans, and
//! a [ReduceLogSumExp](https://onnx.ai/onnx/operators/onnx__ReduceLogSumExp.html) that stays finite
//! even if the exponentials overflow.

use crate::operator::adapter::Built;
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use crate::operator::tract_operators;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::math::{add, max, min, sub};
use tract_onnx::tract_hir::internal::*;

pub fn reduce_extreme(context: &ParsingContext, node: &NodeProto) -> Built {
    lower(Extreme(tract_operators::expansion(&node.op_type, context, node)?))
}

pub fn reduce_log_sum_exp(context: &ParsingContext, node: &NodeProto) -> Built {
    // Without the attribute `keepdims`, the reduced axes are kept with length 1, so that the
    // maximum can be subtracted from the input.
    let mut keepdims = node.clone();
    keepdims.attribute.retain(|attribute| attribute.name != "keepdims");
    let reduction = LogSumExp {
        log_sum_exp: tract_operators::expansion("ReduceLogSumExp", context, node)?,
        maximum: tract_operators::expansion("ReduceMax", context, node)?,
        maximum_keepdims: tract_operators::expansion("ReduceMax", context, &keepdims)?,
    };
    lower(reduction)
}

/// tract's ReduceMax or ReduceMin. Booleans are cast to bytes before the reduction, and the results are cast back to
/// booleans.
#[derive(Debug, Clone)]
struct Extreme(Box<dyn Expansion>);

impl Lowering for Extreme {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        self.0.rules(solver, inputs, outputs)
    }

    fn wire(
        &self,
        Wiring { prefix, model }: Wiring,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        if model.outlet_fact(inputs[0])?.datum_type != bool::datum_type() {
            return self.0.wire(prefix, model, inputs);
        }
        let mut bytes: TVec<OutletId> = inputs.into();
        let name = format!("{prefix}.bytes");
        bytes[0] = model.wire_node(name, cast(u8::datum_type()), &inputs[..1])?[0];
        let reduced = self.0.wire(&format!("{prefix}.reduced"), model, &bytes)?;
        model.wire_node(prefix, cast(bool::datum_type()), &reduced)
    }
}

/// Computes `m + ln(sum(exp(x - m)))`, where m is the maximum, so that no exponential overflows.
#[derive(Debug, Clone)]
struct LogSumExp {
    /// tract's ReduceLogSumExp.
    log_sum_exp: Box<dyn Expansion>,
    /// The maximum, with the shape of the output.
    maximum: Box<dyn Expansion>,
    /// The maximum, with the reduced axes kept.
    maximum_keepdims: Box<dyn Expansion>,
}

impl Lowering for LogSumExp {
    fn name(&self) -> StaticName {
        "ReduceLogSumExp".into()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        self.log_sum_exp.rules(solver, inputs, outputs)
    }

    fn wire(
        &self,
        Wiring { prefix, model }: Wiring,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let name = format!("{prefix}.largest_kept");
        let maximum_keepdims = finite_maximum(&name, model, &*self.maximum_keepdims, inputs)?;
        let mut shifted: TVec<OutletId> = inputs.into();
        let name = format!("{prefix}.shifted");
        shifted[0] = model.wire_node(name, sub(), &[inputs[0], maximum_keepdims])?[0];
        let sum = self.log_sum_exp.wire(&format!("{prefix}.sum"), model, &shifted)?;
        let maximum = finite_maximum(&format!("{prefix}.largest"), model, &*self.maximum, inputs)?;
        model.wire_node(prefix, add(), &[sum[0], maximum])
    }
}

/// Adds a node for the maximum m. An infinite maximum is replaced by the nearest finite number, because `x - m` would
/// be NaN if both x and m were infinite.
fn finite_maximum(
    name: &str,
    model: &mut TypedModel,
    maximum: &dyn Expansion,
    inputs: &[OutletId],
) -> TractResult<OutletId> {
    let mut wire = maximum.wire(name, model, inputs)?[0];
    let fact = model.outlet_fact(wire)?.clone();
    let bounds = [fact.datum_type.min_value(), fact.datum_type.max_value()];
    for (bound, side) in bounds.into_iter().zip([max(), min()]) {
        let bound = bound.broadcast_into_rank(fact.rank())?;
        let bound = model.add_const(model.unique_name(format!("{name}.bound")), bound)?;
        let name = model.unique_name(format!("{name}.finite"));
        wire = model.wire_node(name, side, &[wire, bound])?[0];
    }
    Ok(wire)
}
