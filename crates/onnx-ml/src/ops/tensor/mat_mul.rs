//! [MatMul](https://onnx.ai/onnx/operators/onnx__MatMul.html): supports the product of two vectors,
//! which tract's operator lacks.

use crate::operator::adapter::Built;
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::matmul::MatMulInference;

#[derive(Debug, Clone)]
struct MatMul(MatMulInference);

pub fn mat_mul(_: &ParsingContext, _: &NodeProto) -> Built {
    lower(MatMul(MatMulInference::default()))
}

impl Lowering for MatMul {
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
        let datum_type = model.outlet_fact(inputs[0])?.datum_type;
        for input in inputs {
            if model.outlet_fact(*input)?.rank() != 1 {
                return self.0.wire(prefix, model, inputs);
            }
        }
        model.wire_node(prefix, EinSum::new("k,k->".parse()?, datum_type), inputs)
    }
}
