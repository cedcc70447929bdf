//! [STFT](https://onnx.ai/onnx/operators/onnx__STFT.html): tract's operator requires signals of
//! shape `[batch, length, 1]` or `[batch, length, 2]`, with an axis for the real and the imaginary
//! part. This operator adds the axis to signals of shape `[batch, length]`.

use crate::operator::adapter::Built;
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use crate::operator::tract_operators;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_hir::internal::*;

/// The wrapped value is tract's operator.
#[derive(Debug, Clone)]
struct Stft(Box<dyn Expansion>);

pub fn stft(context: &ParsingContext, node: &NodeProto) -> Built {
    lower(Stft(tract_operators::expansion("STFT", context, node)?))
}

impl Lowering for Stft {
    fn name(&self) -> StaticName {
        "STFT".into()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        solver.given(&inputs[0].rank, move |solver, rank| {
            if rank != 2 {
                return self.0.rules(solver, inputs, outputs);
            }
            // The numbers of frames and of frequencies follow when the model is typed.
            solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
            solver.equals(&outputs[0].rank, 4)?;
            solver.equals(&outputs[0].shape[0], &inputs[0].shape[0])
        })
    }

    fn wire(&self, mut wiring: Wiring, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let mut inputs: TVec<OutletId> = inputs.into();
        if wiring.fact(inputs[0])?.rank() == 2 {
            inputs[0] = wiring.node("parts", AxisOp::Add(2), &[inputs[0]])?;
        }
        self.0.wire(wiring.prefix, wiring.model, &inputs)
    }
}
