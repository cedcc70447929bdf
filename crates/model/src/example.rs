//! Rows of the features' examples, and JSON as the values of a row.

use crate::error::LoadError;
use crate::metadata::FEATURES;
use crate::rows::Rows;
use crate::signature::Signature;
use crate::tensors::Tensors;
use crate::value::{Mismatch, Value};
use serde_json::Value as Json;

/// Returns `count` rows of the features' examples.
///
/// # Errors
///
/// Returns [`LoadError::Metadata`] if an example does not fit its feature.
pub(crate) fn example_rows(signature: &Signature, count: usize) -> Result<Tensors, LoadError> {
    let mut rows = Rows::new(signature);
    for row in 0..count {
        rows.add_row();
        for (index, feature) in signature.features.iter().enumerate() {
            let result = match &feature.typical {
                value if feature.is_scalar() => rows.set(row, index, scalar(value)),
                array @ Json::Array(_) => push_array(&mut rows, index, array),
                element => rows.fill(index, scalar(element)),
            };
            result.map_err(|mismatch| LoadError::Metadata {
                key: FEATURES,
                reason: format!("`{}`: example: {mismatch}", feature.name),
            })?;
        }
    }
    rows.finish().map_err(|mismatch| LoadError::Plan(mismatch.to_string()))
}

/// Returns a JSON scalar as a feature's value; arrays and objects are missing values.
pub(crate) fn scalar(example: &Json) -> Value<'_> {
    match example {
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

/// Appends a nested JSON array to array feature number `feature`.
///
/// # Errors
///
/// Returns an error if the arrays have another shape than the feature, or an element does not fit it.
pub(crate) fn push_array(
    rows: &mut Rows<'_>,
    feature: usize,
    array: &Json,
) -> Result<(), Mismatch> {
    push_axis(rows, feature, 0, array)
}

fn push_axis(
    rows: &mut Rows<'_>,
    feature: usize,
    axis: usize,
    value: &Json,
) -> Result<(), Mismatch> {
    let rank = rows.signature().features[feature].shape.len();
    match value {
        _ if axis == rank => rows.push(feature, scalar(value)),
        Json::Array(entries) => {
            rows.axis(feature, axis, entries.len())?;
            entries.iter().try_for_each(|entry| push_axis(rows, feature, axis + 1, entry))
        }
        other => Err(Mismatch::new("an array", other.to_string())),
    }
}
