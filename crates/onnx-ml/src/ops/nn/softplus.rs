//! [Softplus](https://onnx.ai/onnx/operators/onnx__Softplus.html): `ln(1 + exp(x))`, computed as
//! `max(x, 0) + ln(1 + exp(-|x|))`, which does not overflow.

use crate::operator::kernel::Built;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::math::{abs, add, exp, ln, max, neg};
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Clone)]
struct Softplus;

pub fn softplus(_: &ParsingContext, _: &NodeProto) -> Built {
    Ok((expand(Softplus), vec![]))
}

impl Expansion for Softplus {
    fn name(&self) -> StaticName {
        "Softplus".into()
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
        // In half precision, `1 + exp(x)` rounds to 1 for most negative x.
        let wide = match fact.datum_type {
            DatumType::F16 => DatumType::F32,
            datum_type => datum_type,
        };
        let mut constant = |name: &str, value: f32| {
            let value = tensor0(value).cast_to_dt(wide)?.into_owned();
            model.add_const(format!("{prefix}.{name}"), value.broadcast_into_rank(fact.rank())?)
        };
        let (zero, one) = (constant("zero", 0.0)?, constant("one", 1.0)?);
        let mut node = |name: &str, op: Box<dyn TypedOp>, inputs: &[OutletId]| {
            TractResult::Ok(model.wire_node(format!("{prefix}.{name}"), op, inputs)?[0])
        };
        let x = node("wide", cast(wide).into(), inputs)?;
        let size = node("abs", abs().into(), &[x])?;
        let negative = node("negative", neg().into(), &[size])?;
        let power = node("exp", exp().into(), &[negative])?;
        let sum = node("sum", add().into(), &[power, one])?;
        let small = node("ln", ln().into(), &[sum])?;
        let large = node("max", max().into(), &[x, zero])?;
        let output = node("output", add().into(), &[large, small])?;
        model.wire_node(prefix, cast(fact.datum_type), &[output])
    }
}
