//! Metadata that an exporter can add to a model, because an ONNX graph has no fields for it.
//!
//! ONNX has fields for the name (the graph's `name`), the description (the `doc_string` of the model or of the graph)
//! and the version (`model_version`). All other metadata is in entries of `metadata_props`. Each of these entries is
//! optional, and its value is JSON:
//!
//! | key | value |
//! |---|---|
//! | `ml_app.features` | array of `{"name", "type", "description", "unit", "minimum", "maximum", "example"}`, with an entry for each feature, input by input: a feature is a column of an input, or a whole input whose rows have several axes or which has no batch axis; only `name` is required; `type` is `number`, `integer`, `boolean` or `string`; `minimum` and `maximum` are the range in the training data |
//! | `ml_app.axes` | object that maps the name of an input or output to the index of its batch axis, which has an entry for each row; indices count from 0; `null` declares that the tensor has no batch axis; the batch axes of all other tensors follow from the graph |
//! | `ml_app.classes` | object that maps the label of a class to the meaning of the class |
//! | `ml_app.metrics` | object that maps the name of a metric to its value on held-out data |
//! | `ml_app.golden` | array of `{"inputs", "outputs"}`; `inputs` is a row, as an object that maps the name of a feature to its value; `outputs` is the expected prediction in the shape of the server's responses, such as `{"prediction", "probabilities"}`, with all or some of the members; a model that makes a different prediction does not load |

use crate::datatype::Kind;
use crate::error::LoadError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tract_onnx::pb::ModelProto;

/// Key of the entry with the features.
pub(crate) const FEATURES: &str = "ml_app.features";
/// Key of the entry with the batch axes.
pub(crate) const AXES: &str = "ml_app.axes";
/// Key of the entry with the meanings of the classes.
pub(crate) const CLASSES: &str = "ml_app.classes";
/// Key of the entry with the metrics.
pub(crate) const METRICS: &str = "ml_app.metrics";
/// Key of the entry with the golden rows.
pub(crate) const GOLDEN: &str = "ml_app.golden";

/// The batch axes that the metadata states. The keys are the names of inputs and outputs. The value `None` states that
/// the tensor has no batch axis.
pub(crate) type StatedAxes = BTreeMap<String, Option<usize>>;

/// The metadata entries of a model, parsed.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    /// `None` if the model has no entry [`FEATURES`].
    pub features: Option<Vec<FeatureMetadata>>,
    pub axes: StatedAxes,
    pub classes: Vec<(String, String)>,
    pub metrics: Vec<(String, f64)>,
    pub golden: Vec<GoldenRow>,
}

/// An entry of `ml_app.features`.
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

/// An entry of `ml_app.golden`: the features of a row by name, and the members of the expected prediction.
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
    /// Returns [`LoadError::Metadata`] if an entry does not have the format that the table in the documentation of this
    /// module describes.
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

/// Returns the members of an object as pairs of name and converted value.
///
/// # Errors
///
/// Returns [`LoadError::Metadata`] if `convert` returns `None` for a value. `key` is the key of the metadata entry, and
/// `expected` describes a valid value; both become part of the message.
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
