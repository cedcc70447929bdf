//! [Softplus](https://onnx.ai/onnx/operators/onnx__Softplus.html): `ln(1 + exp(x))`, computed as
//! `max(x, 0) + ln(1 + exp(-|x|))`, which does not overflow.

use crate::operator::adapter::Built;
use crate::operator::lowering::{Lowering, Wiring, lower};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::math::{abs, add, exp, ln, max, neg};
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Clone)]
struct Softplus;

pub fn softplus(_: &ParsingContext, _: &NodeProto) -> Built {
    lower(Softplus)
}

impl Lowering for Softplus {
    fn name(&self) -> StaticName {
        "Softplus".into()
    }

    fn wire(&self, mut wiring: Wiring, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let fact = wiring.fact(inputs[0])?;
        let (datum_type, rank) = (fact.datum_type, fact.rank());
        // In half precision, `1 + exp(x)` rounds to 1 for most negative x.
        let wide = match datum_type {
            DatumType::F16 => DatumType::F32,
            other => other,
        };
        let zero = wiring.constant("zero", 0.0, wide, rank)?;
        let one = wiring.constant("one", 1.0, wide, rank)?;
        let x = wiring.node("wide", cast(wide), inputs)?;
        let size = wiring.node("abs", abs(), &[x])?;
        let negative = wiring.node("negative", neg(), &[size])?;
        let power = wiring.node("exp", exp(), &[negative])?;
        let sum = wiring.node("sum", add(), &[power, one])?;
        let small = wiring.node("ln", ln(), &[sum])?;
        let large = wiring.node("max", max(), &[x, zero])?;
        let output = wiring.node("output", add(), &[large, small])?;
        wiring.last(cast(datum_type), &[output])
    }
}
