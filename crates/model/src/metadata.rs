//! Metadata that an exporter can add to a model, because an ONNX graph has no fields for it.
//!
//! ONNX has fields for the name (the graph's `name`), the description (the `doc_string` of the model or of
//! its graph) and the version (`model_version`). Five entries of `metadata_props` contain the other
//! metadata. Each entry is optional, and its value is JSON:
//!
//! | key | value |
//! |---|---|
//! | `ml_app.features` | array of `{"name", "type", "description", "unit", "minimum", "maximum", "example"}`, with an entry for each column of the inputs, input by input; only `name` is required; `type` is `number`, `integer`, `boolean` or `string`; `minimum` and `maximum` are the range in the training data |
//! | `ml_app.axes` | object from the name of an input or output to the axis that has an entry for each row, counted from 0; `null` if the tensor has no such axis; names that are left out are decided from the graph |
//! | `ml_app.classes` | object from the label of a class to its meaning |
//! | `ml_app.metrics` | object from the name of a metric to its value on held-out data |
//! | `ml_app.golden` | array of `{"inputs", "outputs"}`; `inputs` is a row, as an object from feature to value; `outputs` is the expected prediction in the shape of the server's responses, `{"prediction", "probabilities"}`, with all or some of its members; a model that makes a different prediction does not load |

use crate::datatype::Kind;
use crate::error::LoadError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tract_onnx::pb::ModelProto;

pub(crate) const FEATURES: &str = "ml_app.features";
pub(crate) const AXES: &str = "ml_app.axes";
pub(crate) const CLASSES: &str = "ml_app.classes";
pub(crate) const METRICS: &str = "ml_app.metrics";
pub(crate) const GOLDEN: &str = "ml_app.golden";

/// The batch axes that the metadata states, by the names of inputs and outputs. `None` states that a tensor
/// has no batch axis.
pub(crate) type StatedAxes = BTreeMap<String, Option<usize>>;

/// The metadata entries of a model.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    /// `None` if the model has no entry [`FEATURES`].
    pub features: Option<Vec<FeatureMetadata>>,
    pub axes: StatedAxes,
    pub classes: Vec<(String, String)>,
    pub metrics: Vec<(String, f64)>,
    pub golden: Vec<GoldenRow>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FeatureMetadata {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: Option<Kind>,
    pub description: Option<String>,
    pub unit: Option<String>,
    pub minimum: Option<f64>,
    pub maximum: Option<f64>,
    pub example: Option<serde_json::Value>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GoldenRow {
    pub inputs: serde_json::Map<String, serde_json::Value>,
    pub outputs: serde_json::Map<String, serde_json::Value>,
}

impl Metadata {
    /// Reads the metadata entries of a model.
    ///
    /// # Errors
    ///
    /// Returns [`LoadError::Metadata`] if an entry does not have the format of the table above.
    pub(crate) fn read(model: &ModelProto) -> Result<Metadata, LoadError> {
        let classes: Option<serde_json::Map<String, serde_json::Value>> = entry(model, CLASSES)?;
        let metrics: Option<serde_json::Map<String, serde_json::Value>> = entry(model, METRICS)?;
        Ok(Metadata {
            features: entry(model, FEATURES)?,
            axes: entry(model, AXES)?.unwrap_or_default(),
            classes: pairs(CLASSES, "a string", classes, |value| {
                value.as_str().map(str::to_owned)
            })?,
            metrics: pairs(METRICS, "a number", metrics, serde_json::Value::as_f64)?,
            golden: entry(model, GOLDEN)?.unwrap_or_default(),
        })
    }
}

/// Parses the entry `key`. Returns `None` if the model has no such entry.
fn entry<T: DeserializeOwned>(
    model: &ModelProto,
    key: &'static str,
) -> Result<Option<T>, LoadError> {
    let Some(entry) = model.metadata_props.iter().find(|entry| entry.key == key) else {
        return Ok(None);
    };
    serde_json::from_str(&entry.value)
        .map(Some)
        .map_err(|error| LoadError::Metadata { key, reason: error.to_string() })
}

/// Converts the values of an object. `expected` describes a valid value, for the error if `convert`
/// returns `None`.
fn pairs<T>(
    key: &'static str,
    expected: &str,
    object: Option<serde_json::Map<String, serde_json::Value>>,
    convert: impl Fn(&serde_json::Value) -> Option<T>,
) -> Result<Vec<(String, T)>, LoadError> {
    object
        .into_iter()
        .flatten()
        .map(|(name, value)| match convert(&value) {
            Some(value) => Ok((name, value)),
            None => {
                let reason = format!("`{name}`: expected {expected}, found {value}");
                Err(LoadError::Metadata { key, reason })
            }
        })
        .collect()
}
