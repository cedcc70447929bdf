//! [SpaceToDepth](https://onnx.ai/onnx/operators/onnx__SpaceToDepth.html): moves blocks of pixels
//! into channels. In mode DCR, the position within a block is the outer index of the output channel
//! and the input channel is the inner index. In mode CRD, the input channel is the outer index and
//! the position is the inner index.

use crate::operator::adapter::Built;
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Clone)]
struct SpaceToDepth {
    /// Number of rows and columns of a block.
    size: usize,
    /// `true` if the input channel is the outer index of the output channel (CRD).
    channels_outer: bool,
}

pub fn space_to_depth(_: &ParsingContext, node: &NodeProto) -> Built {
    let size = node.get_attr("blocksize")?;
    node.expect_attr("blocksize", size > 0, "a size above 0, found 0")?;
    let channels_outer = match node.get_attr_opt("mode")?.unwrap_or("DCR") {
        "DCR" => false,
        "CRD" => true,
        found => bail!("expected mode DCR or CRD, found {found}"),
    };
    lower(SpaceToDepth { size, channels_outer })
}

impl Lowering for SpaceToDepth {
    fn name(&self) -> StaticName {
        "SpaceToDepth".into()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].rank, 4)?;
        solver.equals(&outputs[0].datum_type, &inputs[0].datum_type)?;
        solver.given(&inputs[0].shape, move |solver, shape| {
            let channels = shape[1].clone() * self.size * self.size;
            let (height, width) = (shape[2].clone() / self.size, shape[3].clone() / self.size);
            solver.equals(&outputs[0].shape, tvec![shape[0].clone(), channels, height, width])
        })
    }

    fn wire(
        &self,
        Wiring { prefix, model }: Wiring,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let shape = model.outlet_fact(inputs[0])?.shape.to_tvec();
        let size = self.size.to_dim();
        for length in &shape[2..] {
            let divides = length.as_i64().is_none_or(|length| length % self.size as i64 == 0);
            ensure!(divides, "expected a multiple of {size} rows and columns, found {length}");
        }
        let (height, width) = (shape[2].clone() / self.size, shape[3].clone() / self.size);
        let blocks = tvec![height, size.clone(), width, size.clone()];
        let channels = tvec![shape[1].clone() * self.size * self.size];
        // `split` gives the shape [N, C, H, S, W, S], for H × W blocks of S × S pixels.
        let order = if self.channels_outer {
            [AxisOp::Move(3, 2), AxisOp::Move(5, 3)]
        } else {
            [AxisOp::Move(3, 1), AxisOp::Move(5, 2)]
        };
        let parts = if self.channels_outer {
            tvec![shape[1].clone(), size.clone(), size]
        } else {
            tvec![size.clone(), size, shape[1].clone()]
        };
        let split = AxisOp::Reshape(2, shape[2..].into(), blocks);
        let join = AxisOp::Reshape(1, parts, channels);
        let mut outlets: TVec<OutletId> = inputs.into();
        for (index, op) in [split].into_iter().chain(order).chain([join]).enumerate() {
            outlets = model.wire_node(format!("{prefix}.{index}"), op, &outlets)?;
        }
        Ok(outlets)
    }
}
