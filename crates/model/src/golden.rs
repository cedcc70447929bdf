//! Checks a model against its golden rows. A golden row is an entry of the model's metadata: the inputs of a row, and
//! the outputs that the training library computed for these inputs. If the ONNX model computes different outputs, the
//! ONNX model does not behave like the model that was exported.

use crate::convert::MAX_EXACT_INTEGER;
use crate::error::{LoadError, RunError};
use crate::example::{json_scalar, push_array};
use crate::metadata::{GOLDEN, GoldenRow};
use crate::prediction::{ClassScores, PREDICTION, Prediction, PredictionShape, REQUEST_OUTPUTS};
use crate::row_outputs::RowOutputs;
use crate::rows::Rows;
use crate::signature::Signature;
use crate::tensor::{Elements, Tensor};
use crate::tensors::Tensors;
use crate::value::{Mismatch, truncated, with_article};
use serde_json::{Map, Value as Json};

/// Maximum difference between a float and its expected value. The difference is relative if the absolute
/// value of the expected value exceeds 1, and absolute otherwise. The two values may differ because some
/// training libraries compute with doubles, and the exported graph computes with floats.
const TOLERANCE: f64 = 1e-4;

/// Runs each golden row and compares the prediction with the expected outputs. Each row runs on its own, because rows
/// may differ in shape.
///
/// # Errors
///
/// Returns [`LoadError::Golden`] for the first value that differs. Returns [`LoadError::UnknownOutput`] if the
/// prediction lacks an expected value. Returns [`LoadError::Metadata`] if a row has no expected outputs, if the row
/// does not fit the model, or if the prediction of the row fails.
pub(crate) fn check(
    signature: &Signature,
    rows: &[GoldenRow],
    run: impl Fn(Tensors) -> Result<Tensors, RunError>,
) -> Result<(), LoadError> {
    for (index, golden) in rows.iter().enumerate() {
        let row = index + 1;
        let invalid = |reason: String| LoadError::Metadata { key: GOLDEN, reason };
        if golden.outputs.is_empty() {
            let reason = format!("row {row}, `outputs`: expected at least one output, found none");
            return Err(invalid(reason));
        }
        let inputs = inputs(signature, &golden.inputs)
            .map_err(|error| invalid(format!("row {row}{error}")))?;
        let found = run(inputs)
            .map_err(|error| invalid(format!("row {row}: the prediction fails: {error}")))?;
        let found = prediction(signature, &RowOutputs::new(signature, found));
        if let Some(Difference { output, mismatch }) = first_difference("", &golden.outputs, &found)
        {
            return Err(match mismatch {
                Some(mismatch) => LoadError::Golden { row, output, mismatch },
                None => LoadError::UnknownOutput { row, output },
            });
        }
    }
    Ok(())
}

/// Reads the inputs of a golden row.
///
/// # Errors
///
/// Returns the end of a message if the row does not fit the model. The end begins with a colon or a comma, and the
/// caller puts the number of the row in front. For example, the caller turns ``: missing feature `age` `` into the
/// message ``row 1: missing feature `age` ``.
fn inputs(signature: &Signature, row: &Map<String, Json>) -> Result<Tensors, String> {
    if let Some(unknown) = row.keys().find(|name| signature.feature(name).is_none()) {
        return Err(format!(": unknown feature `{unknown}`"));
    }
    let mut rows = Rows::new(signature);
    rows.add_row();
    for (index, feature) in signature.features.iter().enumerate() {
        let result = match row.get(&feature.name) {
            None if feature.optional => Ok(()),
            None => return Err(format!(": missing feature `{}`", feature.name)),
            Some(value) if !feature.is_scalar() => push_array(&mut rows, index, value),
            Some(value @ (Json::Array(_) | Json::Object(_))) => {
                Err(Mismatch::new(with_article(feature.kind), excerpt(value)))
            }
            Some(value) => rows.set(0, index, json_scalar(value)),
        };
        result.map_err(|mismatch| format!(", `{}`: {mismatch}", feature.name))?;
    }
    rows.finish().map_err(|mismatch| format!(": {mismatch}"))
}

/// Returns the prediction for a single row as JSON.
fn prediction(signature: &Signature, outputs: &RowOutputs) -> Map<String, Json> {
    let tensor = |output: usize| &outputs.tensors()[output];
    let name = |output: usize| signature.outputs[output].name.clone();
    let value = |output: usize| {
        let is_whole = signature.is_given_once(&signature.outputs[output]);
        let tensor = tensor(output);
        nested(tensor, if is_whole { tensor.value_shape() } else { tensor.row_shape() }, 0)
    };
    let object = |outputs: &[usize]| -> Json {
        Json::Object(outputs.iter().map(|output| (name(*output), value(*output))).collect())
    };
    let shape = PredictionShape::new(signature);
    let prediction = match &shape.prediction {
        Prediction::Output(output) => value(*output),
        Prediction::Outputs(outputs) => object(outputs),
    };
    let mut members = Map::from_iter([(PREDICTION.to_owned(), prediction)]);
    if let Some(ClassScores { meaning, output, classes }) = shape.scores {
        let scores = classes.iter().enumerate();
        let scores = scores.map(|(column, class)| (class.clone(), element(tensor(output), column)));
        members.insert(meaning.plural().to_owned(), Json::Object(scores.collect()));
    }
    if !shape.request_outputs.is_empty() {
        members.insert(REQUEST_OUTPUTS.to_owned(), object(&shape.request_outputs));
    }
    members
}

/// Returns nested arrays of the given shape, filled with the elements of `tensor` from index `start` on.
fn nested(tensor: &Tensor, shape: &[usize], start: usize) -> Json {
    match shape {
        [] => element(tensor, start),
        [len, rest @ ..] => {
            let stride: usize = rest.iter().product();
            (0..*len).map(|index| nested(tensor, rest, start + index * stride)).collect()
        }
    }
}

/// Returns the element at `index` as JSON. A float that is not finite becomes `null`.
fn element(tensor: &Tensor, index: usize) -> Json {
    match tensor.elements() {
        Elements::Bool(elements) => elements[index].into(),
        Elements::Uint8(elements) => elements[index].into(),
        Elements::Uint16(elements) => elements[index].into(),
        Elements::Uint32(elements) => elements[index].into(),
        Elements::Uint64(elements) => elements[index].into(),
        Elements::Int8(elements) => elements[index].into(),
        Elements::Int16(elements) => elements[index].into(),
        Elements::Int32(elements) => elements[index].into(),
        Elements::Int64(elements) => elements[index].into(),
        Elements::Float32(elements) => elements[index].into(),
        Elements::Float16(elements) => elements[index].to_f64().into(),
        Elements::Float64(elements) => elements[index].into(),
        Elements::String(elements) => elements.get(index).into(),
    }
}

/// A value of a prediction that differs from the expected value.
struct Difference {
    /// Path of the value, such as `probabilities.1` or `prediction[0][2]`.
    output: String,
    /// `None` if the prediction lacks the value.
    mismatch: Option<Mismatch>,
}

/// Returns the first difference between two values. `path` is the path of both values in the prediction.
fn difference(path: &str, expected: &Json, found: &Json) -> Option<Difference> {
    match (expected, found) {
        (Json::Object(expected), Json::Object(found)) => {
            first_difference(&format!("{path}."), expected, found)
        }
        (Json::Array(expected), Json::Array(found)) if expected.len() == found.len() => {
            let mut pairs = expected.iter().zip(found).enumerate();
            pairs.find_map(|(index, (expected, found))| {
                difference(&format!("{path}[{index}]"), expected, found)
            })
        }
        _ if agree(expected, found) => None,
        _ => {
            let mismatch = Mismatch::new(excerpt(expected), excerpt(found));
            Some(Difference { output: path.to_owned(), mismatch: Some(mismatch) })
        }
    }
}

/// Returns the first difference between two objects. Ignores members that only `found` has. The path of a member is
/// `prefix`, followed by the member's name.
fn first_difference(
    prefix: &str,
    expected: &Map<String, Json>,
    found: &Map<String, Json>,
) -> Option<Difference> {
    expected.iter().find_map(|(name, expected)| {
        let path = format!("{prefix}{name}");
        match found.get(name) {
            Some(found) => difference(&path, expected, found),
            None => Some(Difference { output: path, mismatch: None }),
        }
    })
}

/// Returns whether two values are equal. If `found` is a float, the values may differ by [`TOLERANCE`].
fn agree(expected: &Json, found: &Json) -> bool {
    match (expected.as_f64(), found.as_f64()) {
        (Some(expected), Some(number)) if found.is_f64() => {
            (number - expected).abs() <= TOLERANCE * expected.abs().max(1.0)
        }
        // `found` is an integer. An exporter may have written the expected integer as a float, such as `3.0`.
        (Some(integer), Some(_)) if expected.is_f64() => {
            found.as_f64() == Some(integer) && integer.abs() <= MAX_EXACT_INTEGER
        }
        _ => expected == found,
    }
}

/// Returns the first 60 characters of a value's JSON, for a message. If the value is a double that a 32-bit float
/// represents exactly, the result has only the digits of the 32-bit float: `0.1` instead of `0.10000000149011612`.
fn excerpt(value: &Json) -> String {
    let rounded = value.as_f64().filter(|_| value.is_f64()).map(|number| (number, number as f32));
    match rounded {
        Some((number, float)) if f64::from(float) == number => float.to_string(),
        _ => truncated(&value.to_string()).into_owned(),
    }
}
