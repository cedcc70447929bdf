//! [Flatten](https://onnx.ai/onnx/operators/onnx__Flatten.html): reshapes a tensor to a matrix. In contrast to tract's
//! operator, this operator supports inputs with two unknown dimensions, such as a batch of token sequences, if the
//! reshape only adds or removes axes of length 1.

use crate::operator::adapter::Built;
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::array;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Flatten {
    axis: i64,
}

pub fn flatten(_: &ParsingContext, node: &NodeProto) -> Built {
    lower(Flatten { axis: node.get_attr_opt("axis")?.unwrap_or(1) })
}

impl Flatten {
    /// Returns the number of axes that the rows of the matrix combine, from 0 to `rank`.
    fn axis(&self, rank: usize) -> TractResult<usize> {
        let rank = i64::try_from(rank)?;
        let axis = if self.axis < 0 { self.axis.saturating_add(rank) } else { self.axis };
        let within = usize::try_from(axis).ok().filter(|_| axis <= rank);
        within.with_context(|| {
            format!("expected an axis from -{rank} to {rank}, found {}", self.axis)
        })
    }
}

impl Lowering for Flatten {
    fn name(&self) -> StaticName {
        "Flatten".into()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&outputs[0].datum_type, &inputs[0].datum_type)?;
        solver.equals(&outputs[0].rank, 2)?;
        solver.given(&inputs[0].shape, move |solver, shape| {
            let (before, after) = shape.split_at(self.axis(shape.len())?);
            solver.equals(&outputs[0].shape[0], before.iter().product::<TDim>())?;
            solver.equals(&outputs[0].shape[1], after.iter().product::<TDim>())
        })
    }

    fn wire(
        &self,
        Wiring { prefix, model }: Wiring,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let shape = model.outlet_fact(inputs[0])?.shape.to_tvec();
        let axis = self.axis(shape.len())?;
        let one = 1.to_dim();
        let (before, after) = shape.split_at(axis);
        // Number of axes that are not of length 1, on both sides.
        let longer = |dims: &[TDim]| dims.iter().filter(|dim| **dim != one).count();
        let counts = [longer(before), longer(after)];
        if counts.iter().any(|count| *count > 1) {
            return array::Flatten::new(i64::try_from(axis)?).wire(prefix, model, inputs);
        }
        // Removing and adding axes of length 1 moves no data and works with unknown dimensions.
        let removed = (0..shape.len()).rev().filter(|axis| shape[*axis] == one).map(AxisOp::Rm);
        let added = (0..2).filter(|side| counts[*side] == 0).map(AxisOp::Add);
        let mut outlets: TVec<OutletId> = inputs.into();
        for (index, op) in removed.chain(added).enumerate() {
            outlets = model.wire_node(format!("{prefix}.{index}"), op, &outlets)?;
        }
        Ok(outlets)
    }
}
