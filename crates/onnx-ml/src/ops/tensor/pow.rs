//! [Pow](https://onnx.ai/onnx/operators/onnx__Pow.html) with an exponent whose type differs from
//! the type of the base. PyTorch and skl2onnx write integer exponents for floats. tract would
//! compute these powers in double precision. This operator computes powers in the precision of the base.

use crate::operator::adapter::Built;
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::infer::helpers::infer_shape_broadcasting;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::binary::{wire_cast, wire_rank_broadcast};
use tract_onnx::tract_hir::ops::{cast, math};

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pow;

pub fn pow(_: &ParsingContext, _: &NodeProto) -> Built {
    lower(Pow)
}

impl Lowering for Pow {
    fn name(&self) -> StaticName {
        "Pow".into()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        check_input_arity(inputs, 2)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.with(&inputs[0].shape, move |solver, base| {
            solver.with(&inputs[1].shape, move |solver, exponent| {
                match infer_shape_broadcasting(&[&base, &exponent])? {
                    Some(shape) => solver.equals(&outputs[0].shape, shape),
                    None => Ok(()),
                }
            })
        })
    }

    fn wire(
        &self,
        Wiring { prefix, model }: Wiring,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let base = model.outlet_fact(inputs[0])?.datum_type;
        let exponent = model.outlet_fact(inputs[1])?.datum_type;
        // The type in which the power is computed.
        let computed = match (base.is_float(), exponent.is_float()) {
            (true, false) => base,
            (false, true) => f64::datum_type(),
            _ => base.common_super_type(exponent).with_context(|| {
                format!(
                    "expected an exponent of a type compatible with {base:?}, found {exponent:?}"
                )
            })?,
        };
        let inputs = wire_rank_broadcast(prefix, model, inputs)?;
        let inputs = wire_cast(prefix, model, &inputs, computed)?;
        if computed == base {
            return model.wire_node(prefix, math::pow(), &inputs);
        }
        let power = model.wire_node(format!("{prefix}.pow"), math::pow(), &inputs)?;
        model.wire_node(prefix, cast::cast(base), &power)
    }
}
