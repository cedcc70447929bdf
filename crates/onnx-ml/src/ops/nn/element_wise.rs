//! Support for doubles in three element-wise operators that tract computes only in single
//! precision: [Sigmoid](https://onnx.ai/onnx/operators/onnx__Sigmoid.html),
//! [HardSwish](https://onnx.ai/onnx/operators/onnx__HardSwish.html) and
//! [LeakyRelu](https://onnx.ai/onnx/operators/onnx__LeakyRelu.html). The inputs are cast to single
//! precision, and the results are cast back.

use crate::operator::adapter::Built;
use crate::operator::lowering::{Lowering, Wiring, lower};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::nn::{hard_swish, leaky_relu, sigmoid};
use tract_onnx::tract_hir::internal::*;

pub fn element_wise(_: &ParsingContext, node: &NodeProto) -> Built {
    let operator = match node.op_type.as_str() {
        "Sigmoid" => sigmoid(),
        "HardSwish" => hard_swish(),
        "LeakyRelu" => leaky_relu(node.get_attr_opt("alpha")?.unwrap_or(0.01)),
        other => bail!("expected Sigmoid, HardSwish or LeakyRelu, found {other}"),
    };
    lower(SinglePrecision(operator))
}

/// An operator that is computed in single precision.
#[derive(Debug, Clone)]
struct SinglePrecision(ElementWiseOp);

impl Lowering for SinglePrecision {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    fn wire(&self, mut wiring: Wiring, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        if wiring.fact(inputs[0])?.datum_type != f64::datum_type() {
            return wiring.last(self.0.clone(), inputs);
        }
        let single = wiring.node("single", cast(f32::datum_type()), inputs)?;
        let output = wiring.node("output", self.0.clone(), &[single])?;
        wiring.last(cast(f64::datum_type()), &[output])
    }
}
