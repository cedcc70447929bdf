//! Runs a graph to find out which lengths its dynamic axes can have, and which shapes its outputs have.

use crate::error::LoadError;
use crate::example::example_rows;
use crate::plan::plan_error;
use crate::signature::Signature;
use tract_onnx::prelude::*;

/// Lengths that the dynamic axes of the inputs may have in an example, in the order in which they are tried.
/// A network may accept only long inputs, such as images or sound.
const LENS: [usize; 16] =
    [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768];

/// Numbers of channels that are tried for an image whose channel axis is dynamic.
const CHANNELS: [usize; 3] = [3, 1, 4];

/// Maximum number of elements in a row of an example. There is no maximum if all dynamic axes have length 1.
const MAX_ROW_ELEMENTS: usize = 1 << 20;

/// Maximum number of elements in all rows of a run, which limits the examples of graphs with a large fixed batch. There
/// is no maximum if all dynamic axes have length 1.
const MAX_ELEMENTS: usize = 1 << 24;

/// The length of the example's longest dynamic axis is multiplied by these factors, in this order, to find out whether
/// the graph runs with longer axes. The longer length is a multiple, because a network may accept only multiples of
/// some length. Some factors are small, because a network may have a maximum length. The next length, `len + 1`, is not
/// tried: a network that rounds lengths up has the same output shapes for `len` and `len + 1`.
const FACTORS: [usize; 3] = [64, 8, 2];

/// Sets the lengths of the dynamic axes in the examples. Tries the lengths of `lens` in turn until the graph runs with
/// examples of that length. Returns the outputs of that run for `rows` rows.
///
/// # Errors
///
/// Returns an error if the graph runs with none of the lengths: the error of the last run, or an error that every
/// length is too long for [`MAX_ROW_ELEMENTS`] or [`MAX_ELEMENTS`].
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
            let elements = elements(signature);
            if len > LENS[0]
                && (elements > MAX_ROW_ELEMENTS || elements.saturating_mul(rows) > MAX_ELEMENTS)
            {
                break;
            }
            match run(example_inputs(signature, rows)?) {
                Ok(outputs) => return Ok(outputs),
                Err(failed) => error = Some(failed),
            }
        }
    }
    Err(error.map_or_else(
        || {
            LoadError::Plan(format!(
                "expected at most {MAX_ROW_ELEMENTS} elements in an example row and {MAX_ELEMENTS} \
                 in {rows} rows, found more for every length of the dynamic axes"
            ))
        },
        |error| plan_error(&error),
    ))
}

/// Returns the inputs of a run with `rows` rows. The value of each feature is its example.
pub(crate) fn example_inputs(
    signature: &Signature,
    rows: usize,
) -> Result<TVec<TValue>, LoadError> {
    let inputs = example_rows(signature, rows)?.into_tensors().into_iter();
    Ok(inputs.map(|tensor| tensor.into_tract().into()).collect())
}

/// Returns the index of the channel axis, which is 0, if the feature may be an image with a dynamic number of channels.
/// `shape` is the shape of the feature's value in one row. Every shape of three axes with a dynamic first axis counts
/// as an image.
fn channels(shape: &[Option<usize>]) -> Option<usize> {
    matches!(shape, [None, _, _]).then_some(0)
}

/// Sets the dynamic axes in the examples of all features: channel axes to `channel_len`, and all other axes to `len`.
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
    let len = |shape: &[usize]| shape.iter().fold(1_usize, |len, dim| len.saturating_mul(*dim));
    features.fold(0, |sum, feature| sum.saturating_add(len(&feature.example_shape)))
}

/// Facts about a graph, observed in several runs.
#[derive(Debug)]
pub(crate) struct Observations {
    pub outputs: Vec<Observed>,
    /// True if the graph runs with longer axes than the examples have, or if the inputs have no dynamic axes besides
    /// the rows.
    pub runs_longer: bool,
}

/// The type of an output, and the shapes of the output in several runs. The runs differ in the number of rows and in
/// the lengths of the dynamic axes.
#[derive(Debug)]
pub(crate) struct Observed {
    pub datum_type: DatumType,
    /// The shape for 2 rows, or for the fixed number of rows.
    pub two: Vec<usize>,
    /// The shape for 3 rows, or for the fixed number of rows.
    pub three: Vec<usize>,
    /// An entry for each axis: true if the axis had the same length in all runs.
    pub is_fixed: Vec<bool>,
}

/// Runs the graph with different numbers of rows and different lengths of the dynamic axes. Returns the observed types
/// and shapes of the outputs. Sets `example_shape` of each feature to lengths with which the graph runs.
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
