//! [QLinearMatMul](https://onnx.ai/onnx/operators/onnx__QLinearMatMul.html): supports scales in
//! half precision, which tract's operator lacks, by converting them to single precision.

use crate::operator::adapter::Built;
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use crate::operator::tract_operators;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::matmul::compute_shapes;

/// Indices of the inputs that are scales.
const SCALES: [usize; 3] = [1, 4, 6];

#[derive(Debug, Clone)]
struct QLinearMatMul {
    tract_operator: Box<dyn Expansion>,
}

/// Builds the operator.
pub fn q_linear_mat_mul(context: &ParsingContext, node: &NodeProto) -> Built {
    let tract_operator = tract_operators::expansion("QLinearMatMul", context, node)?;
    lower(QLinearMatMul { tract_operator })
}

impl Lowering for QLinearMatMul {
    fn name(&self) -> StaticName {
        "QLinearMatMul".into()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        check_input_arity(inputs, 8)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &inputs[2].datum_type)?;
        solver.equals(&inputs[3].datum_type, &inputs[5].datum_type)?;
        solver.equals(&outputs[0].datum_type, &inputs[7].datum_type)?;
        solver.given_2(&inputs[0].shape, &inputs[3].shape, move |solver, a, b| {
            let (_, _, _, shape) = compute_shapes(a, b, false, false, false)?;
            solver.equals(&outputs[0].shape, shape)
        })
    }

    fn wire(
        &self,
        Wiring { prefix, model }: Wiring,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let mut converted: TVec<OutletId> = inputs.into();
        for scale in SCALES {
            let name = format!("{prefix}.scale.{scale}");
            converted[scale] = model.wire_node(name, cast(f32::datum_type()), &[inputs[scale]])?[0];
        }
        self.tract_operator.wire(prefix, model, &converted)
    }
}
