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

/// The operator. If tract supports the node, the operator is lowered to the tract operator that it contains.
#[derive(Debug, Clone)]
struct Slice(StridedSlice);

impl Slice {
    /// Returns `true` if tract supports the steps. Along axes of unknown length, tract supports only step 1. If `axes`
    /// is `None`, the steps are for the first axes.
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

    /// Returns the length of the output along each axis that is sliced, if the bounds are `constants`. The length is
    /// `None` for an axis of unknown length. The list is empty if a bound is computed at run time. The caller needs the
    /// lengths because tract's operator rejects an output of length 0.
    fn lengths(
        &self,
        shape: &[TDim],
        constants: &[Option<Arc<Tensor>>],
    ) -> TractResult<Vec<Option<usize>>> {
        let integers = |index: usize| {
            let tensor = constants[index].as_ref()?.cast_to::<i64>().ok()?;
            Some(tensor.try_as_plain_ram().ok()?.as_slice::<i64>().ok()?.to_vec())
        };
        let (Some(starts), Some(ends)) = (integers(1), integers(2)) else { return Ok(vec![]) };
        let axes = match self.0.optional_axes_input.map(|index| &constants[index]) {
            None => (0..starts.len()).collect(),
            Some(Some(axes)) => resolved_axes(axes, shape.len())?,
            Some(None) => return Ok(vec![]),
        };
        let steps = match self.0.optional_steps_input.map(integers) {
            None => vec![1; starts.len()],
            Some(Some(steps)) => steps,
            Some(None) => return Ok(vec![]),
        };
        let bounds = starts.into_iter().zip(ends).zip(steps).zip(axes);
        let length = |(((start, end), step), axis): (((i64, i64), i64), usize)| {
            let Some(size) = shape.get(axis).and_then(|dim| dim.to_i64().ok()) else {
                return Ok(None);
            };
            let tract_ndarray::Slice { start, end, step } = window(size, start, end, step)?;
            let span = end.unwrap_or_default() - start;
            Ok(Some(span.unsigned_abs().div_ceil(step.unsigned_abs())))
        };
        bounds.map(length).collect()
    }
}

impl Lowering for Slice {
    fn name(&self) -> StaticName {
        "Slice".into()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].rank, &outputs[0].rank)?;
        let axes = self.0.optional_axes_input;
        if let Some(axes) = axes {
            solver.given(&inputs[axes].value, move |solver, axes| {
                solver.given(&inputs[0].rank, move |solver, rank| {
                    let axes = resolved_axes(&axes, usize::try_from(rank)?)?;
                    for axis in (0..rank as usize).filter(|axis| !axes.contains(axis)) {
                        solver.equals(&inputs[0].shape[axis], &outputs[0].shape[axis])?;
                    }
                    Ok(())
                })
            })?;
        }
        let bounds: Vec<_> = inputs[1..].iter().map(|input| &input.value).collect();
        solver.given(&inputs[0].shape, move |solver, shape| {
            solver.given_all(bounds.iter().copied(), move |solver, bounds| {
                let constants = std::iter::once(None).chain(bounds.into_iter().map(Some));
                let constants: Vec<Option<Arc<Tensor>>> = constants.collect();
                let lengths = self.lengths(&shape, &constants)?;
                let list =
                    |index: Option<usize>| index.and_then(|index| constants[index].as_deref());
                if let Some(lengths) = lengths.iter().copied().collect::<Option<Vec<usize>>>() {
                    let mut shape = shape.clone();
                    let axes = match list(axes) {
                        Some(axes) => resolved_axes(axes, shape.len())?,
                        None => (0..lengths.len()).collect(),
                    };
                    axes.into_iter()
                        .zip(lengths)
                        .for_each(|(axis, len)| shape[axis] = len.to_dim());
                    return solver.equals(&outputs[0].shape, shape);
                }
                let steps = list(self.0.optional_steps_input);
                let is_supported = steps
                    .map_or(Ok(true), |steps| Slice::tract_supports(&shape, list(axes), steps))?;
                if is_supported { self.0.rules(solver, inputs, outputs) } else { Ok(()) }
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
        let lengths = self.lengths(&shape, &constants)?;
        if is_supported
            && constants[1..].iter().all(Option::is_some)
            && lengths.iter().all(|length| *length != Some(0))
        {
            return model.wire_node(prefix, self.0.clone(), inputs);
        }
        let axes = match self.0.optional_axes_input.map(|index| &constants[index]) {
            Some(None) => (0..shape.len()).collect(),
            Some(Some(axes)) => resolved_axes(axes, shape.len())?,
            None => (0..model.outlet_fact(inputs[1])?.shape[0].to_usize()?).collect::<Vec<_>>(),
        };
        let mut shape = shape;
        for (index, axis) in axes.into_iter().enumerate() {
            let dim = shape.get_mut(axis).with_context(|| {
                format!("expected axes below the rank of the data, found axis {axis}")
            })?;
            *dim = match lengths.get(index) {
                Some(Some(length)) => length.to_dim(),
                _ => model.symbols.new_with_prefix("slice").into(),
            };
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
