//! The signature of a model: the input and output tensors as the graph declares them, and the features. A feature is
//! usually a column of an input.

use crate::datatype::{Datatype, Kind};
use crate::json_text;
use crate::value::{Mismatch, nearest_name, truncated};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

/// The description of a model: its inputs, outputs and features, and its documentation.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Signature {
    /// The graph's name. `model` if the graph has no name.
    pub name: String,
    /// ONNX's `model_version`, in decimal. `1` if unset.
    pub version: String,
    /// The `doc_string` of the model, or of the graph if the model has no `doc_string`.
    pub description: Option<String>,
    pub inputs: Vec<TensorSpec>,
    pub outputs: Vec<TensorSpec>,
    /// Number of rows in a run. `None` if a run can have any number of rows. If the number is 1, each row runs alone.
    pub fixed_rows: Option<usize>,
    /// The features of the inputs, input by input. Each feature has a different name. The parameters are last.
    pub features: Vec<Feature>,
    pub task: Task,
    /// The label and the meaning of each class that the metadata describes.
    pub class_meanings: Vec<(String, String)>,
    /// Name and value of each metric that was measured on held-out data, from the metadata.
    pub metrics: Vec<(String, f64)>,
    /// Index of each feature by name. Built at the first lookup.
    #[serde(skip)]
    pub(crate) by_name: OnceLock<HashMap<String, usize>>,
}

/// A tensor's name, element type and shape.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct TensorSpec {
    pub name: String,
    pub datatype: Datatype,
    /// Length of each axis in the graph. `None` for a dynamic axis.
    pub shape: Vec<Option<usize>>,
    /// Index of the axis that has an entry for each row. `None` if the tensor has no such axis. The tensor then belongs
    /// to the whole request, or to a single row if each row runs alone (see [`Signature::fixed_rows`]).
    pub batch_axis: Option<usize>,
}

impl TensorSpec {
    /// Checks the shape of a tensor against this specification. The batch axis may have any length above 0. Any other
    /// dynamic axis may have any length. The length 0 stands for an empty axis, such as the past of a decoder before
    /// the first step.
    ///
    /// # Errors
    ///
    /// Returns an error if the number of axes differs from the specification, if the length of an axis other than the
    /// batch axis differs from a fixed length in the specification, or if the tensor has no rows.
    pub fn check(&self, shape: &[usize]) -> Result<(), Mismatch> {
        let mut dims = self.shape.iter().zip(shape).enumerate();
        let fits = shape.len() == self.shape.len()
            && dims.all(|(axis, (expected, found))| {
                self.batch_axis == Some(axis) || expected.is_none_or(|len| len == *found)
            });
        if !fits {
            let found: Vec<_> = shape.iter().map(|len| Some(*len)).collect();
            let expected = format!("shape {}", shape_text(&self.shape));
            return Err(Mismatch::new(expected, truncated(&shape_text(&found)).into_owned()));
        }
        match self.batch_axis {
            Some(axis) if shape[axis] == 0 => Err(Mismatch::new("at least one row", "none")),
            _ => Ok(()),
        }
    }

    /// Returns the lengths of all axes other than the batch axis. If the tensor has a batch axis, this is the shape of
    /// the value in one row.
    pub fn row_shape(&self) -> Vec<Option<usize>> {
        let axes = self.shape.iter().enumerate();
        axes.filter(|(axis, _)| self.batch_axis != Some(*axis)).map(|(_, len)| *len).collect()
    }
}

/// A named value of a row or of the request. If a row of an input has at most one axis, each column of the input is a
/// feature. If a row of an input has several axes, the whole input is one feature. An input without a batch axis is one
/// feature too.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Feature {
    pub name: String,
    pub kind: Kind,
    /// Element type of the input.
    pub datatype: Datatype,
    /// Index into [`Signature::inputs`].
    pub input: usize,
    /// Index of the column within the input. 0 if the feature is the whole input.
    pub column: usize,
    /// True if the feature is a parameter: it has one value for all rows of a request.
    pub parameter: bool,
    /// Shape of the value in one row, or of a parameter's value. Empty for a scalar. `None` for the length of a dynamic
    /// axis.
    pub shape: Vec<Option<usize>>,
    /// True if a row may omit the feature. The feature's value in the row is then zero or an empty string. Only the
    /// features of a map input are optional.
    pub optional: bool,
    pub description: Option<String>,
    pub unit: Option<String>,
    /// Smallest value seen in training. Not a constraint.
    pub minimum: Option<f64>,
    /// Largest value seen in training. Not a constraint.
    pub maximum: Option<f64>,
    /// An example as JSON. For an array feature, this is the whole array, or a scalar that stands for all elements of
    /// the array.
    #[serde(with = "json_text")]
    pub compact_example: Json,
    /// Shape of the example if `compact_example` is a scalar. Equals `shape`, with a length for each dynamic axis.
    pub example_shape: Vec<usize>,
}

/// Maximum number of elements of an example that is written as an array.
const MAX_EXAMPLE_ELEMENTS: usize = 64;

/// Key of the short form of an array whose elements are equal.
pub const FILL: &str = "fill";

/// Returns the number of scalars in nested arrays.
fn count_scalars(json: &Json) -> usize {
    match json {
        Json::Array(entries) => entries.iter().map(count_scalars).sum(),
        _ => 1,
    }
}

/// Returns the first scalar in nested arrays, or null if the arrays are empty.
fn first_scalar(json: &Json) -> &Json {
    match json {
        Json::Array(entries) => entries.first().map_or(&Json::Null, first_scalar),
        scalar => scalar,
    }
}

impl Feature {
    /// Returns the kind and the shape, such as "integer" or "number[2, 2]".
    pub fn kind_and_shape(&self) -> String {
        match self.shape.as_slice() {
            [] => self.kind.to_string(),
            shape => format!("{}{}", self.kind, shape_text(shape)),
        }
    }

    pub fn is_scalar(&self) -> bool {
        self.shape.is_empty()
    }

    /// Returns whether the example has too many elements to be written as an array.
    pub fn has_long_example(&self) -> bool {
        let elements = match &self.compact_example {
            array @ Json::Array(_) => count_scalars(array),
            _ => self.example_shape.iter().product(),
        };
        elements > MAX_EXAMPLE_ELEMENTS
    }

    /// Returns the example as JSON: a scalar, or an array of the feature's shape. If the array would be [too
    /// long](Feature::has_long_example), returns `{"fill": element}` instead, where `element` is the first element of
    /// the array.
    pub fn example(&self) -> Json {
        if self.has_long_example() {
            return json!({ FILL: first_scalar(&self.compact_example) });
        }
        if self.compact_example.is_array() {
            return self.compact_example.clone();
        }
        let lens = self.example_shape.iter().rev();
        lens.fold(self.compact_example.clone(), |inner, len| Json::Array(vec![inner; *len]))
    }

    /// Returns a description such as "Age of the visitor (years). Seen in training: 17 to 123."
    pub fn summary(&self) -> Option<String> {
        let mut text = match (&self.description, &self.unit) {
            (Some(description), Some(unit)) => {
                format!("{} ({unit}).", description.trim_end_matches('.'))
            }
            (Some(description), None) => format!("{}.", description.trim_end_matches('.')),
            (None, Some(unit)) => format!("In {unit}."),
            (None, None) => String::new(),
        };
        if let (Some(minimum), Some(maximum)) = (self.minimum, self.maximum) {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&format!("Seen in training: {minimum} to {maximum}."));
        }
        (!text.is_empty()).then_some(text)
    }
}

/// The meaning of the outputs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub enum Task {
    /// A classifier.
    Classification {
        /// Index of the output with the labels.
        label: usize,
        /// Index of the output with the scores. The shape of the output is `[N, C]`, with a column for each class.
        scores: usize,
        /// Labels of the classes, in the order of the columns.
        classes: Vec<String>,
        /// The meaning of the scores.
        meaning: Scores,
    },
    /// Any other model. The meaning of its outputs is unknown.
    Other,
}

/// The meaning of a classifier's scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub enum Scores {
    /// All scores are between 0 and 1, and the sum of each row is 1.
    Probabilities,
    /// The scores are anything else, such as margins, distances or votes.
    Other,
}

impl Signature {
    /// Returns the number of features that have a value in each row. All features from this index on are parameters.
    pub fn row_features(&self) -> usize {
        self.features.partition_point(|feature| !feature.parameter)
    }

    /// Returns whether several rows of this tensor are stacked along a new first axis. That is the case if the tensor
    /// has no batch axis and each row runs alone.
    pub fn is_stacked(&self, spec: &TensorSpec) -> bool {
        self.fixed_rows == Some(1) && spec.batch_axis.is_none()
    }

    /// Returns whether this tensor belongs to the whole request, and not to a row.
    pub fn is_given_once(&self, spec: &TensorSpec) -> bool {
        self.fixed_rows != Some(1) && spec.batch_axis.is_none()
    }

    /// Returns the index of the feature with this name.
    pub fn feature(&self, name: &str) -> Option<usize> {
        /// Maximum number of features for which comparing all names is faster than hashing.
        const SCAN_LIMIT: usize = 16;
        let names = || self.features.iter().map(|feature| &feature.name);
        if self.features.len() <= SCAN_LIMIT {
            return names().position(|candidate| candidate == name);
        }
        let by_name = || names().enumerate().map(|(index, name)| (name.clone(), index)).collect();
        self.by_name.get_or_init(by_name).get(name).copied()
    }

    /// Returns the feature name that is [most similar](nearest_name) to `name`. Compares the first 1,000 features only.
    pub fn nearest_feature(&self, name: &str) -> Option<&str> {
        /// Maximum number of features that are compared.
        const MAX_FEATURES: usize = 1000;
        let features = self.features.iter().take(MAX_FEATURES);
        nearest_name(name, features.map(|feature| feature.name.as_str()))
    }

    /// Returns the classes of a classifier. Other models have no classes.
    pub fn classes(&self) -> &[String] {
        match &self.task {
            Task::Classification { classes, .. } => classes,
            Task::Other => &[],
        }
    }

    /// Returns a summary such as "age integer, city string → prediction int64, probabilities of 0, 1".
    pub fn summary(&self) -> String {
        let inputs: Vec<String> = self.features.iter().map(Feature::to_string).collect();
        let outputs = match &self.task {
            Task::Classification { label, classes, meaning, .. } => format!(
                "prediction {}, {} of {}",
                self.outputs[*label].datatype.onnx_name(),
                meaning.plural(),
                classes.join(", ")
            ),
            Task::Other => {
                let outputs: Vec<String> = self.outputs.iter().map(TensorSpec::to_string).collect();
                outputs.join(", ")
            }
        };
        format!("{} → {outputs}", inputs.join(", "))
    }
}

impl Scores {
    /// Returns the name of the member of a prediction that contains the scores of all classes.
    pub fn plural(self) -> &'static str {
        match self {
            Scores::Probabilities => "probabilities",
            Scores::Other => "scores",
        }
    }

    /// Returns the first word of a column's name, for a column with the scores of one class.
    pub(crate) fn singular(self) -> &'static str {
        match self {
            Scores::Probabilities => "probability",
            Scores::Other => "score",
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.kind_and_shape())
    }
}

impl fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.name, self.datatype.onnx_name(), shape_text(&self.shape))
    }
}

/// Returns a shape for a message, such as "[?, 3]". A question mark stands for a dynamic axis.
pub(crate) fn shape_text(shape: &[Option<usize>]) -> String {
    let dims: Vec<String> =
        shape.iter().map(|dim| dim.map_or("?".to_owned(), |dim| dim.to_string())).collect();
    format!("[{}]", dims.join(", "))
}
