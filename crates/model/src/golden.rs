//! Golden rows: inputs and the outputs that the exporter's own runtime gives to them, in the model's
//! metadata. A model that answers otherwise here is not the one that was exported.

use crate::error::{LoadError, RunError};
use crate::example::{push_array, scalar};
use crate::metadata::{GOLDEN, GoldenRow};
use crate::prediction::{Content, Member, PredictionShape, Source};
use crate::rows::Rows;
use crate::signature::Signature;
use crate::tensor::{Elements, Tensor};
use crate::tensors::Tensors;
use crate::value::{Mismatch, article, cut};
use serde_json::{Map, Value as Json};

/// By which a float may differ: absolute, and relative where it is beyond 1. An exporter computes in
/// doubles what the graph does in floats.
const TOLERANCE: f64 = 1e-4;

/// Runs the rows, each on its own, as their shapes may differ.
///
/// # Errors
///
/// [`LoadError::Golden`] for the first value that differs, [`LoadError::Metadata`] where a row is
/// none of this model's.
pub(crate) fn check(
    signature: &Signature,
    rows: &[GoldenRow],
    run: impl Fn(Tensors) -> Result<Tensors, RunError>,
) -> Result<(), LoadError> {
    for (index, golden) in rows.iter().enumerate() {
        let row = index + 1;
        let unusable = |reason: String| LoadError::Metadata {
            key: GOLDEN,
            reason: format!("row {row}, {reason}"),
        };
        if golden.outputs.is_empty() {
            return Err(unusable("`outputs`: expected at least one, but found none".into()));
        }
        let inputs = inputs(signature, &golden.inputs).map_err(unusable)?;
        let found = run(inputs).map_err(|error| unusable(format!("no answer: {error}")))?;
        let found = prediction(signature, &found);
        if let Some((output, mismatch)) = members("", &golden.outputs, &found) {
            return Err(LoadError::Golden { row, output, mismatch });
        }
    }
    Ok(())
}

fn inputs(signature: &Signature, row: &Map<String, Json>) -> Result<Tensors, String> {
    if let Some(unknown) = row.keys().find(|name| signature.feature(name).is_none()) {
        return Err(format!("`{unknown}`: expected a feature of the model"));
    }
    let mut rows = Rows::new(signature);
    rows.add_row();
    for (index, feature) in signature.features.iter().enumerate() {
        let filled = match row.get(&feature.name) {
            None if feature.optional => Ok(()),
            None => Err(Mismatch::new("a value", "no such feature")),
            Some(value) if !feature.is_scalar() => push_array(&mut rows, index, value),
            Some(value @ (Json::Array(_) | Json::Object(_))) => {
                Err(Mismatch::new(article(feature.kind), excerpt(value)))
            }
            Some(value) => rows.set(0, index, scalar(value)),
        };
        filled.map_err(|mismatch| format!("`{}`: {mismatch}", feature.name))?;
    }
    rows.finish().map_err(|mismatch| mismatch.to_string())
}

/// Returns the prediction for a single row as JSON.
fn prediction(signature: &Signature, outputs: &Tensors) -> Map<String, Json> {
    let value = |source: Source| {
        let tensor = &outputs.tensors()[source.output];
        match source.element {
            Some(column) => element(tensor, column),
            None => nested(tensor, tensor.row_shape(), 0),
        }
    };
    let shape = PredictionShape::new(signature);
    let member = |member: &Member<'_>| {
        let content = match member.content {
            Content::Value(source) => value(source),
            Content::Named(named) => {
                let values = named.names().enumerate();
                let values =
                    values.map(|(index, name)| (name.to_owned(), value(named.source(index))));
                Json::Object(values.collect())
            }
        };
        (member.name.to_owned(), content)
    };
    shape.members().map(member).collect()
}

/// Returns nested arrays for the elements of a row from `start` on.
fn nested(tensor: &Tensor, shape: &[usize], start: usize) -> Json {
    match shape {
        [] => element(tensor, start),
        [len, rest @ ..] => {
            let stride: usize = rest.iter().product();
            (0..*len).map(|index| nested(tensor, rest, start + index * stride)).collect()
        }
    }
}

/// What is not finite is null.
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

/// A place, such as `probabilities.1` or `prediction[0][2]`, and what is wrong there.
type Difference = (String, Mismatch);

/// The first of them.
fn difference(place: &str, expected: &Json, found: &Json) -> Option<Difference> {
    match (expected, found) {
        (Json::Object(expected), Json::Object(found)) => {
            members(&format!("{place}."), expected, found)
        }
        (Json::Array(expected), Json::Array(found)) if expected.len() == found.len() => {
            let mut pairs = expected.iter().zip(found).enumerate();
            pairs.find_map(|(index, (expected, found))| {
                difference(&format!("{place}[{index}]"), expected, found)
            })
        }
        _ if agree(expected, found) => None,
        _ => Some((place.to_owned(), Mismatch::new(excerpt(expected), excerpt(found)))),
    }
}

fn members(
    prefix: &str,
    expected: &Map<String, Json>,
    found: &Map<String, Json>,
) -> Option<Difference> {
    expected.iter().find_map(|(name, expected)| {
        let place = format!("{prefix}{name}");
        match found.get(name) {
            Some(found) => difference(&place, expected, found),
            None => Some((place, Mismatch::new(excerpt(expected), "no such output"))),
        }
    })
}

fn agree(expected: &Json, found: &Json) -> bool {
    match (expected.as_f64(), found.as_f64()) {
        (Some(expected), Some(close)) if found.is_f64() => {
            (close - expected).abs() <= TOLERANCE * expected.abs().max(1.0)
        }
        (Some(whole), Some(_)) if expected.is_f64() => {
            found.as_f64() == Some(whole) && whole.abs() <= EXACT
        }
        _ => expected == found,
    }
}

/// 2^53: beyond, a double no longer tells which integer was meant.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The start of it; a float that was single as such.
fn excerpt(value: &Json) -> String {
    let single = value.as_f64().filter(|_| value.is_f64()).map(|number| (number, number as f32));
    match single {
        Some((number, single)) if f64::from(single) == number => single.to_string(),
        _ => cut(&value.to_string()).into_owned(),
    }
}
