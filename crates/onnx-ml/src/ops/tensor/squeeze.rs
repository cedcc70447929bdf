//! [Squeeze](https://onnx.ai/onnx/operators/onnx__Squeeze.html): removes axes of length 1. If the node lists axes, only
//! these axes are removed. The listed axes may be negative and in any order.

use crate::operator::adapter::Built;
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use crate::operator::tensors;
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// The operator. The variant is the source of the axes to remove.
#[derive(Debug, Clone)]
enum Squeeze {
    /// The axes are the second input.
    Input,
    /// The axes are an attribute.
    Axes(Vec<i64>),
    /// All axes of length 1.
    All,
}

pub fn squeeze(_: &ParsingContext, node: &NodeProto) -> Built {
    let squeeze = match (optional_inputs(node).nth(1).flatten(), node.get_attr_opt_vec("axes")?) {
        (Some(_), _) => Squeeze::Input,
        (None, Some(axes)) => Squeeze::Axes(axes),
        (None, None) => Squeeze::All,
    };
    lower(squeeze)
}

impl Squeeze {
    /// Returns the axes to remove, in descending order.
    fn axes(&self, shape: &[TDim], input: Option<&Tensor>) -> TractResult<Vec<usize>> {
        let axes = match (self, input) {
            (Squeeze::All, _) => {
                let single = |axis: &usize| shape[*axis] == 1.to_dim();
                return Ok((0..shape.len()).rev().filter(single).collect());
            }
            (Squeeze::Axes(axes), _) => axes.clone(),
            (Squeeze::Input, input) => {
                let axes = input
                    .context("expected constant axes, found computed axes")?
                    .cast_to::<i64>()?;
                axes.try_as_plain_ram()?.as_slice::<i64>()?.to_vec()
            }
        };
        let axes = axes.into_iter().map(|axis| tensors::axis(axis, shape.len()));
        let mut axes = axes.collect::<TractResult<Vec<usize>>>()?;
        axes.sort_unstable_by(|a, b| b.cmp(a));
        axes.dedup();
        for axis in &axes {
            let length = shape[*axis].as_i64();
            ensure!(
                length.is_none_or(|length| length == 1),
                "expected length 1 along axis {axis}, found shape {shape:?}"
            );
        }
        Ok(axes)
    }
}

impl Lowering for Squeeze {
    fn name(&self) -> StaticName {
        "Squeeze".into()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        solver.equals(&outputs[0].datum_type, &inputs[0].datum_type)?;
        let values: Vec<_> = inputs.iter().skip(1).map(|input| &input.value).collect();
        solver.given(&inputs[0].shape, move |solver, shape| {
            solver.given_all(values.clone(), move |solver, values| {
                let axes = self.axes(&shape, values.first().map(|value| &**value))?;
                let mut shape = shape.clone();
                axes.into_iter().for_each(|axis| drop(shape.remove(axis)));
                solver.equals(&outputs[0].shape, shape)
            })
        })
    }

    fn wire(
        &self,
        Wiring { prefix, model }: Wiring,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let axes = match inputs.get(1) {
            Some(axes) => model.outlet_fact(*axes)?.konst.clone(),
            None => None,
        };
        let shape = model.outlet_fact(inputs[0])?.shape.to_tvec();
        let mut wire = inputs[0];
        for axis in self.axes(&shape, axes.as_deref())? {
            wire = model.wire_node(format!("{prefix}.{axis}"), AxisOp::Rm(axis), &[wire])?[0];
        }
        Ok(tvec![wire])
    }
}
