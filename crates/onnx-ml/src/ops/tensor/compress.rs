//! [Compress](https://onnx.ai/onnx/operators/onnx__Compress.html): keeps the slices along an axis
//! for which the condition is true. Without an axis, keeps elements of the flattened tensor.
//! Slices or elements beyond the last condition are dropped.

use crate::operator::adapter::Built;
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use crate::operator::tensors;
use crate::ops::tensor::gathered::{grid, pick};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::array::Gather;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Compress {
    axis: Option<i64>,
    /// Stands for the number of slices kept, which is only known at run time.
    count: Symbol,
}

pub fn compress(context: &ParsingContext, node: &NodeProto) -> Built {
    let count = context.template.symbols.new_with_prefix("compressed");
    lower(Compress { axis: node.get_attr_opt("axis")?, count })
}

impl Compress {
    /// Returns the axis and the indices of the slices to keep. Returns `None` if there is no axis, or if the slices are known only at run time.
    fn constant_indices(
        &self,
        model: &TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<Option<(usize, Vec<i64>)>> {
        let facts = [model.outlet_fact(inputs[0])?, model.outlet_fact(inputs[1])?];
        let (Some(axis), Some(conditions)) = (self.axis, &facts[1].konst) else { return Ok(None) };
        let axis = tensors::axis(axis, facts[0].rank())?;
        let in_range =
            facts[0].shape[axis].to_usize().is_ok_and(|length| conditions.len() <= length);
        let conditions = conditions.try_as_plain_ram()?;
        let conditions = (0..).zip(conditions.as_slice::<bool>()?);
        let indices = conditions.filter(|(_, holds)| **holds).map(|(index, _)| index).collect();
        Ok(in_range.then_some((axis, indices)))
    }

    /// Returns the shape of the output.
    fn shape(&self, data: &[TDim]) -> TractResult<TVec<TDim>> {
        let count = TDim::from(self.count.clone());
        let Some(axis) = self.axis else { return Ok(tvec!(count)) };
        let mut shape: TVec<TDim> = data.into();
        shape[tensors::axis(axis, data.len())?] = count;
        Ok(shape)
    }
}

impl Lowering for Compress {
    fn name(&self) -> StaticName {
        "Compress".into()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        check_input_arity(inputs, 2)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[1].datum_type, bool::datum_type())?;
        solver.equals(&inputs[1].rank, 1)?;
        match self.axis {
            Some(_) => solver.equals(&inputs[0].rank, &outputs[0].rank),
            None => solver.equals(&outputs[0].rank, 1),
        }
    }

    fn wire(
        &self,
        Wiring { prefix, model }: Wiring,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        match self.constant_indices(model, inputs)? {
            Some((axis, indices)) => {
                let indices = model.add_const(format!("{prefix}.kept"), tensor1(&indices))?;
                model.wire_node(prefix, Gather::new(axis), &[inputs[0], indices])
            }
            None => model.wire_node(prefix, self.clone(), inputs),
        }
    }
}

impl Op for Compress {
    fn name(&self) -> StaticName {
        "Compress".into()
    }

    fn mints_runtime_symbols(&self) -> bool {
        true
    }

    op_as_typed_op!();
}

impl EvalOp for Compress {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let data_shape = inputs[0].shape();
        let conditions = inputs[1].try_as_plain_ram()?;
        let conditions = conditions.as_slice::<bool>()?;
        let indices = conditions.iter().enumerate().filter(|(_, holds)| **holds);
        let indices: Vec<Option<usize>> = indices.map(|(index, _)| Some(index)).collect();
        let axis = self.axis.map(|axis| tensors::axis(axis, data_shape.len())).transpose()?;
        let length = axis.map_or(inputs[0].len(), |axis| data_shape[axis]);
        let found = conditions.len();
        ensure!(found <= length, "expected at most {length} conditions, found {found}");
        let output = match axis {
            None => pick(&inputs[0], &[indices.len()], &indices, None)?,
            Some(axis) => {
                let mut axes: Vec<Vec<Option<usize>>> =
                    data_shape.iter().map(|length| (0..*length).map(Some).collect()).collect();
                axes[axis] = indices;
                let shape: Vec<usize> = axes.iter().map(Vec::len).collect();
                pick(&inputs[0], &shape, &grid(data_shape, &axes), None)?
            }
        };
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Compress {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].datum_type.fact(&*self.shape(&inputs[0].shape)?)))
    }

    as_op!();
}
