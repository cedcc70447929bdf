//! [Celu](https://onnx.ai/onnx/operators/onnx__Celu.html):
//! `max(0, x) + min(0, alpha * (exp(x / alpha) - 1))`. tract's operator omits the first `alpha`.

use crate::operator::adapter::Built;
use crate::operator::lowering::{Lowering, Wiring, lower};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::math::{add, div, exp, max, min, mul, sub};
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Clone)]
struct Celu {
    alpha: f32,
}

pub fn celu(_: &ParsingContext, node: &NodeProto) -> Built {
    lower(Celu { alpha: node.get_attr_opt("alpha")?.unwrap_or(1.0) })
}

impl Lowering for Celu {
    fn name(&self) -> StaticName {
        "Celu".into()
    }

    fn wire(&self, mut wiring: Wiring, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let fact = wiring.fact(inputs[0])?;
        let (datum_type, rank) = (fact.datum_type, fact.rank());
        let zero = wiring.constant("zero", 0.0, datum_type, rank)?;
        let one = wiring.constant("one", 1.0, datum_type, rank)?;
        let alpha = wiring.constant("alpha", self.alpha, datum_type, rank)?;
        let x = inputs[0];
        let scaled = wiring.node("scaled", div(), &[x, alpha])?;
        let power = wiring.node("exp", exp(), &[scaled])?;
        let shifted = wiring.node("shifted", sub(), &[power, one])?;
        let below = wiring.node("below", mul(), &[shifted, alpha])?;
        let below = wiring.node("below_zero", min(), &[below, zero])?;
        let above = wiring.node("above_zero", max(), &[x, zero])?;
        wiring.last(add(), &[above, below])
    }
}
