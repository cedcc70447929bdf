//! Builds rows from the examples of the features, and converts JSON to values of features.

use crate::error::LoadError;
use crate::metadata::FEATURES;
use crate::rows::Rows;
use crate::signature::Signature;
use crate::tensors::Tensors;
use crate::value::{Mismatch, Value};
use serde_json::Value as Json;

/// Returns `count` equal rows. The value of each feature is its example.
///
/// # Errors
///
/// Returns [`LoadError::Metadata`] if an example does not fit its feature, and [`LoadError::Plan`] if
/// the rows are incomplete.
pub(crate) fn example_rows(signature: &Signature, count: usize) -> Result<Tensors, LoadError> {
    let mut rows = Rows::new(signature);
    for row in 0..count {
        rows.add_row();
        for (index, feature) in signature.features.iter().enumerate() {
            // The compact example of an array feature is the whole array, or a scalar that stands for all elements.
            let result = match &feature.compact_example {
                value if feature.is_scalar() => rows.set(row, index, json_scalar(value)),
                array @ Json::Array(_) => push_array(&mut rows, index, array),
                element => rows.push_filled(index, json_scalar(element)),
            };
            result.map_err(|mismatch| LoadError::Metadata {
                key: FEATURES,
                reason: format!("`{}`: example: {mismatch}", feature.name),
            })?;
        }
    }
    rows.finish().map_err(|mismatch| LoadError::Plan(mismatch.to_string()))
}

/// Converts a JSON scalar to a value. Returns [`Value::Missing`] for arrays and objects.
pub(crate) fn json_scalar(json: &Json) -> Value<'_> {
    match json {
        Json::Bool(flag) => Value::Bool(*flag),
        Json::String(text) => Value::String(text),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::Integer(integer.into()),
            (None, Some(number)) => Value::Number(number),
            (None, None) => Value::Missing,
        },
        Json::Null | Json::Array(_) | Json::Object(_) => Value::Missing,
    }
}

/// Appends the elements of a nested JSON array to the array feature with index `feature`.
///
/// # Errors
///
/// Returns an error if the shape of the array differs from the feature's shape, or if an element does not fit the
/// feature's type. If the feature is a parameter, also returns an error if the array differs from the parameter's first
/// value.
pub(crate) fn push_array(
    rows: &mut Rows<'_>,
    feature: usize,
    array: &Json,
) -> Result<(), Mismatch> {
    rows.start_value(feature);
    push_axis(rows, feature, 0, array)
}

/// Appends the elements of `value`. This JSON value is nested in `axis` arrays, so `axis` is the index of the feature's
/// axis to which the entries of `value` belong.
fn push_axis(
    rows: &mut Rows<'_>,
    feature: usize,
    axis: usize,
    value: &Json,
) -> Result<(), Mismatch> {
    let rank = rows.signature().features[feature].shape.len();
    match value {
        _ if axis == rank => rows.push(feature, json_scalar(value)),
        Json::Array(entries) => {
            rows.set_axis_len(feature, axis, entries.len())?;
            entries.iter().try_for_each(|entry| push_axis(rows, feature, axis + 1, entry))
        }
        other => Err(Mismatch::new("an array", other.to_string())),
    }
}
