//! [Slice](https://onnx.ai/onnx/operators/onnx__Slice.html): supports bounds that are computed at
//! run time, and steps along axes of unknown length. tract's operator lacks both.

use crate::operator::adapter::{Built, kernel_op};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use crate::operator::tensors::{self, elements};
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::array::StridedSlice;

pub fn slice(context: &ParsingContext, node: &NodeProto) -> Built {
    if context.onnx_operator_set_version < 10 {
        let operators = tract_onnx::onnx().op_register.0;
        let slice =
            operators.get("Slice").context("expected an operator Slice of tract, found none")?;
        return slice(context, node);
    }
    let found: Vec<_> = optional_inputs(node).take(5).collect();
    let has_bounds = found[..3] == [Some(0), Some(1), Some(2)];
    node.expect(has_bounds, || format!("inputs data, starts and ends, found {:?}", node.input))?;
    let tract_operator = StridedSlice {
        begin_mask: 0,
        end_mask: 0,
        shrink_axis_mask: 0,
        optional_axes_input: found[3],
        optional_steps_input: found[4],
    };
    lower(Slice(tract_operator))
}

/// The operator. It is lowered to the tract operator that it contains, if tract supports the node.
#[derive(Debug, Clone)]
struct Slice(StridedSlice);

impl Slice {
    /// Returns `true` if tract supports the steps. Along axes of unknown length, it supports only
    /// step 1. If `axes` is `None`, the steps are for the first axes.
    fn tract_supports(shape: &[TDim], axes: Option<&Tensor>, steps: &Tensor) -> TractResult<bool> {
        let steps = steps.cast_to::<i64>()?;
        let steps = steps.try_as_plain_ram()?;
        let steps = steps.as_slice::<i64>()?;
        ensure!(!steps.contains(&0), "expected steps other than 0, found {steps:?}");
        let axes = match axes {
            Some(axes) => resolved_axes(axes, shape.len())?,
            None => (0..shape.len()).collect(),
        };
        let is_supported =
            |(axis, step): (usize, &i64)| *step == 1 || shape[axis].to_usize().is_ok();
        Ok(axes.into_iter().zip(steps).all(is_supported))
    }
}

impl Lowering for Slice {
    fn name(&self) -> StaticName {
        "Slice".into()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].rank, &outputs[0].rank)?;
        let Some(steps) = self.0.optional_steps_input else {
            return self.0.rules(solver, inputs, outputs);
        };
        let lists = [Some(steps), self.0.optional_axes_input].into_iter().flatten();
        let lists: Vec<_> = lists.map(|index| &inputs[index].value).collect();
        solver.given(&inputs[0].shape, move |solver, shape| {
            solver.given_all(lists.iter().copied(), move |solver, lists| {
                let axes = lists.get(1).map(|axes| &**axes);
                if Slice::tract_supports(&shape, axes, &lists[0])? {
                    self.0.rules(solver, inputs, outputs)?;
                }
                Ok(())
            })
        })
    }

    fn wire(
        &self,
        Wiring { prefix, model }: Wiring,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let constants = inputs.iter().map(|input| Ok(model.outlet_fact(*input)?.konst.clone()));
        let constants: Vec<_> = constants.collect::<TractResult<_>>()?;
        let shape = model.outlet_fact(inputs[0])?.shape.to_tvec();
        let list = |index: Option<usize>| index.map(|index| constants[index].as_deref());
        let is_supported =
            match (list(self.0.optional_steps_input), list(self.0.optional_axes_input)) {
                (None, _) => true,
                (Some(Some(steps)), axes) => Slice::tract_supports(&shape, axes.flatten(), steps)?,
                (Some(None), _) => false,
            };
        if is_supported && constants[1..].iter().all(Option::is_some) {
            return model.wire_node(prefix, self.0.clone(), inputs);
        }
        let axes = match self.0.optional_axes_input.map(|index| &constants[index]) {
            Some(None) => (0..shape.len()).collect(),
            Some(Some(axes)) => resolved_axes(axes, shape.len())?,
            None => (0..model.outlet_fact(inputs[1])?.shape[0].to_usize()?).collect::<Vec<_>>(),
        };
        let mut shape = shape;
        for axis in axes {
            let dim = shape.get_mut(axis).with_context(|| {
                format!("expected axes below the rank of the data, found axis {axis}")
            })?;
            *dim = model.symbols.new_with_prefix("slice").into();
        }
        let kernel =
            Window { axes: self.0.optional_axes_input, steps: self.0.optional_steps_input, shape };
        model.wire_node(prefix, kernel_op(kernel), inputs)
    }
}

/// Returns the axes as indices. A negative axis counts from the last axis.
fn resolved_axes(axes: &Tensor, rank: usize) -> TractResult<Vec<usize>> {
    let axes = axes.cast_to::<i64>()?;
    let axes = axes.try_as_plain_ram()?;
    axes.as_slice::<i64>()?.iter().map(|axis| tensors::axis(*axis, rank)).collect()
}

/// The kernel for slices whose bounds are computed at run time.
#[derive(Debug)]
struct Window {
    /// Index of the input with the axes.
    axes: Option<usize>,
    /// Index of the input with the steps.
    steps: Option<usize>,
    /// Shape of the output, with a new symbol for the length along each sliced axis.
    shape: TVec<TDim>,
}

impl Kernel for Window {
    const NAME: &'static str = "Slice";

    fn mints_symbols(&self) -> bool {
        true
    }

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        Ok(tvec!(Fact::new(inputs[0].datum_type, self.shape.iter().cloned())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let list = |index: usize| -> TractResult<Vec<i64>> {
            let list = elements::<i64>(&inputs[index])?;
            Ok(list.try_as_plain_ram()?.as_slice::<i64>()?.to_vec())
        };
        let (starts, ends) = (list(1)?, list(2)?);
        let axes = match self.axes {
            Some(index) => resolved_axes(&*elements::<i64>(&inputs[index])?, inputs[0].rank())?,
            None => (0..starts.len()).collect(),
        };
        let steps = self.steps.map_or_else(|| Ok(vec![1; starts.len()]), list)?;
        let counts = [starts.len(), ends.len(), axes.len(), steps.len()];
        let equal = counts.iter().all(|count| *count == axes.len() && *count <= inputs[0].rank());
        ensure!(
            equal,
            "expected one start, end and step for each axis, found {counts:?} starts, ends, axes and steps"
        );
        let mut slices: TVec<tract_ndarray::Slice> =
            inputs[0].shape().iter().map(|_| tract_ndarray::Slice::from(..)).collect();
        for (index, axis) in axes.into_iter().enumerate() {
            let size = inputs[0].shape()[axis] as i64;
            slices[axis] = window(size, starts[index], ends[index], steps[index])?;
        }
        let datum_type = inputs[0].datum_type();
        Ok(vec![dispatch_datum!(cut(datum_type)(&inputs[0], &slices))?])
    }
}

/// Returns ndarray's range for every `step`-th element from `start` up to `end` (exclusive), on an
/// axis of length `size`. As ONNX defines, negative bounds count from the end, and bounds out of
/// range are clamped.
fn window(size: i64, start: i64, end: i64, step: i64) -> TractResult<tract_ndarray::Slice> {
    let from_start = |bound: i64| if bound < 0 { bound.saturating_add(size) } else { bound };
    let (start, end) = (from_start(start), from_start(end));
    let step = step.clamp(-size - 1, size + 1);
    if step > 0 {
        let (start, end) = (start.clamp(0, size), end.clamp(0, size));
        return Ok(tract_ndarray::Slice::new(
            start as isize,
            Some(end.max(start) as isize),
            isize::try_from(step)?,
        ));
    }
    ensure!(step < 0, "expected a step other than 0, found 0");
    let (start, end) = (start.clamp(-1, size - 1), end.clamp(-1, size - 1));
    // ndarray takes the range in ascending order, and walks it backwards if the step is negative.
    let first = end.min(start) + 1;
    Ok(tract_ndarray::Slice::new(first as isize, Some(start as isize + 1), isize::try_from(step)?))
}

/// Returns a copy of the sliced tensor.
fn cut<T: Datum>(data: &TValue, slices: &[tract_ndarray::Slice]) -> TractResult<Tensor> {
    let data = data.to_plain_array_view::<T>()?;
    let cut = data.slice_each_axis(|axis| slices[axis.axis.index()]);
    Ok(cut.to_owned().into_tensor())
}
