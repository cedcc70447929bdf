//! [Equal](https://onnx.ai/onnx/operators/onnx__Equal.html): supports booleans, which tract's
//! operator lacks.

use crate::operator::adapter::Built;
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::logic::{CompEq, Xor, not};
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::binary::{InferenceBinOp, wire_rank_broadcast};

#[derive(Debug, Clone)]
struct Equal(InferenceBinOp);

pub fn equal(_: &ParsingContext, _: &NodeProto) -> Built {
    lower(Equal(InferenceBinOp(Box::new(CompEq))))
}

impl Lowering for Equal {
    fn name(&self) -> StaticName {
        "Equal".into()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        self.0.rules(solver, inputs, outputs)
    }

    fn wire(
        &self,
        Wiring { prefix, model }: Wiring,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        for input in inputs {
            if model.outlet_fact(*input)?.datum_type != bool::datum_type() {
                return self.0.wire(prefix, model, inputs);
            }
        }
        let inputs = wire_rank_broadcast(prefix, model, inputs)?;
        let differs = TypedBinOp(Box::new(Xor), None);
        let differs = model.wire_node(format!("{prefix}.differs"), differs, &inputs)?;
        model.wire_node(prefix, not(), &differs)
    }
}
