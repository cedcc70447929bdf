//! Finds out by running a graph which lengths its dynamic axes can have, and which shapes its outputs have.

use crate::error::LoadError;
use crate::example::example_rows;
use crate::plan::plan_error;
use crate::signature::Signature;
use tract_onnx::prelude::*;

/// Lengths that the dynamic axes of the inputs may have in an example, in the order in which they are tried.
/// A network may accept only long inputs, such as images or sound.
const LENS: [usize; 16] =
    [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768];

/// Numbers of channels that images may have if the axis of the channels is dynamic.
const CHANNELS: [usize; 3] = [3, 1, 4];

/// Maximum number of elements in a row of an example with dynamic axes longer than 1.
const MAX_ELEMENTS: usize = 1 << 20;

/// Factors for longer axes than in the example. A network may accept only multiples of a length, and only
/// inputs up to a length. It may also round lengths up, so that the next length has the same outputs.
const FACTORS: [usize; 3] = [64, 8, 2];

/// Sets the lengths of the dynamic axes in the examples to the first of `lens` with which the graph runs.
/// Returns the outputs for `rows` rows.
///
/// # Errors
///
/// Returns the error of the last run if the graph runs with none of the lengths.
fn find_example_shapes(
    signature: &mut Signature,
    rows: usize,
    lens: impl IntoIterator<Item = usize>,
    run: impl Fn(TVec<TValue>) -> TractResult<TVec<TValue>>,
) -> Result<TVec<TValue>, LoadError> {
    let has_channels = signature.features.iter().any(|feature| channels(&feature.shape).is_some());
    let mut error = None;
    for len in lens {
        let channel_lens = CHANNELS.into_iter().filter(|channels| has_channels && *channels != len);
        for channel_len in std::iter::once(len).chain(channel_lens) {
            set_example_shapes(signature, len, channel_len);
            if len > LENS[0] && elements(signature) > MAX_ELEMENTS {
                break;
            }
            match run(example_inputs(signature, rows)?) {
                Ok(outputs) => return Ok(outputs),
                Err(failed) => error = Some(failed),
            }
        }
    }
    Err(error.map_or_else(
        || LoadError::Plan("expected an input with fewer elements".into()),
        |error| plan_error(&error),
    ))
}

/// Returns the inputs of a run with examples.
pub(crate) fn example_inputs(
    signature: &Signature,
    rows: usize,
) -> Result<TVec<TValue>, LoadError> {
    let inputs = example_rows(signature, rows)?.into_tensors().into_iter();
    Ok(inputs.map(|tensor| tensor.into_tract().into()).collect())
}

/// Returns the index of the axis of the channels if it is dynamic: the first axis of an image in a row.
fn channels(shape: &[Option<usize>]) -> Option<usize> {
    matches!(shape, [None, _, _]).then_some(0)
}

fn set_example_shapes(signature: &mut Signature, len: usize, channel_len: usize) {
    for feature in &mut signature.features {
        let channels = channels(&feature.shape);
        let lens = feature.shape.iter().enumerate().map(|(axis, fixed)| match fixed {
            Some(fixed) => *fixed,
            None if Some(axis) == channels => channel_len,
            None => len,
        });
        feature.example_shape = lens.collect();
    }
}

/// Returns the lengths of the dynamic axes in the examples.
fn dynamic_lens(signature: &Signature) -> impl Iterator<Item = usize> {
    signature.features.iter().flat_map(|feature| {
        let axes = feature.shape.iter().zip(&feature.example_shape);
        axes.filter(|(fixed, _)| fixed.is_none()).map(|(_, len)| *len)
    })
}

/// Returns the number of elements in a row.
fn elements(signature: &Signature) -> usize {
    let features = signature.features.iter();
    features.map(|feature| feature.example_shape.iter().product::<usize>()).sum()
}

/// Facts about a graph, observed in several runs.
#[derive(Debug)]
pub(crate) struct Observations {
    pub outputs: Vec<Observed>,
    /// True if the graph runs with longer axes than in the examples.
    pub runs_longer: bool,
}

/// The type of an output, and its shape in several runs with different numbers of rows and different
/// lengths of the dynamic axes.
#[derive(Debug)]
pub(crate) struct Observed {
    pub datum_type: DatumType,
    /// The shape for 2 rows, or for the fixed number of rows.
    pub two: Vec<usize>,
    /// The shape for 3 rows, or for the fixed number of rows.
    pub three: Vec<usize>,
    /// For each axis, whether its length was equal in all runs.
    pub is_fixed: Vec<bool>,
}

/// Runs the graph with different numbers of rows and different lengths of the dynamic axes, and returns
/// what is known about its outputs.
///
/// # Errors
///
/// Returns an error if the graph does not run with examples.
pub(crate) fn observe(
    signature: &mut Signature,
    fixed_rows: Option<usize>,
    run: impl Fn(TVec<TValue>) -> TractResult<TVec<TValue>>,
) -> Result<Observations, LoadError> {
    let rows = fixed_rows.unwrap_or(2);
    let is_dynamic = signature.features.iter().any(|feature| feature.shape.contains(&None));
    let lens = if is_dynamic { &LENS[..] } else { &LENS[..1] };
    let two = find_example_shapes(signature, rows, lens.iter().copied(), &run)?;
    let three = match fixed_rows {
        Some(_) => two.clone(),
        None => run(example_inputs(signature, 3)?).map_err(|error| plan_error(&error))?,
    };
    let shapes: Vec<Vec<usize>> =
        signature.features.iter().map(|feature| feature.example_shape.clone()).collect();
    let len = dynamic_lens(signature).max();
    let longer = len.map(|len| FACTORS.map(|factor| len * factor));
    let longer = longer.and_then(|lens| find_example_shapes(signature, rows, lens, &run).ok());
    for (feature, shape) in signature.features.iter_mut().zip(shapes) {
        feature.example_shape = shape;
    }
    let shape = |outputs: &TVec<TValue>, index: usize| {
        outputs.get(index).map(|output| output.shape().to_vec()).unwrap_or_default()
    };
    let observed = |(index, output): (usize, &TValue)| {
        let others = [Some(&three), longer.as_ref()].map(|run| run.map(|run| shape(run, index)));
        let equal = |axis: usize| {
            let len = output.shape()[axis];
            others.iter().flatten().all(|shape| shape.get(axis) == Some(&len))
        };
        Observed {
            datum_type: output.datum_type(),
            two: output.shape().to_vec(),
            three: shape(&three, index),
            is_fixed: (0..output.rank()).map(equal).collect(),
        }
    };
    let outputs = two.iter().enumerate().map(observed).collect();
    Ok(Observations { outputs, runs_longer: len.is_none() || longer.is_some() })
}
