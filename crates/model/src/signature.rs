//! What a model takes and gives: tensors as the graph declares them, and features, the columns of
//! a table, as people know them.

use crate::datatype::{Datatype, Kind};
use crate::json_text;
use crate::value::{Mismatch, cut};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

/// What a model takes and gives, and what it is about.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Signature {
    /// The graph's name; `model` if it has none.
    pub name: String,
    /// ONNX's `model_version`, in decimal; `1` if unset.
    pub version: String,
    /// The model's or the graph's `doc_string`.
    pub description: Option<String>,
    pub inputs: Vec<TensorSpec>,
    pub outputs: Vec<TensorSpec>,
    /// The columns of the inputs, input by input. Their names differ.
    pub features: Vec<Feature>,
    pub task: Task,
    /// Class label and meaning, as the metadata tells them.
    pub class_meanings: Vec<(String, String)>,
    /// Measured quality, as the metadata tells it.
    pub metrics: Vec<(String, f64)>,
    /// The features by name, once they have been asked for.
    #[serde(skip)]
    pub(crate) by_name: OnceLock<HashMap<String, usize>>,
}

/// A tensor's name, element type and shape.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct TensorSpec {
    pub name: String,
    pub datatype: Datatype,
    /// The first axis is the batch, one entry per row; `None` is any length.
    pub shape: Vec<Option<usize>>,
}

impl TensorSpec {
    /// Whether a tensor of this shape can be taken: of the same axes, any number of rows, none empty.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(&self, shape: &[usize]) -> Result<(), Mismatch> {
        let mut dims = self.shape.iter().zip(shape).skip(1);
        let fits = shape.len() == self.shape.len()
            && dims.all(|(expected, found)| expected.is_none_or(|len| len == *found));
        if !fits {
            let found: Vec<_> = shape.iter().map(|len| Some(*len)).collect();
            let expected = format!("shape {}", shape_text(&self.shape));
            return Err(Mismatch::new(expected, cut(&shape_text(&found)).into_owned()));
        }
        match shape.iter().position(|len| *len == 0) {
            Some(0) => Err(Mismatch::new("at least one row", "none")),
            Some(axis) => {
                Err(Mismatch::new(format!("at least one entry along axis {axis}"), "none"))
            }
            None => Ok(()),
        }
    }
}

/// A named part of the input of one row: a column of an input of one or two dimensions, or a
/// whole input of more.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub struct Feature {
    pub name: String,
    pub kind: Kind,
    /// The element type of its input.
    pub datatype: Datatype,
    /// Index into [`Signature::inputs`].
    pub input: usize,
    /// Column within the input; 0 for a whole input.
    pub column: usize,
    /// Shape of one row's value: empty for a scalar.
    pub shape: Vec<Option<usize>>,
    /// A row may leave it out; it is then zero, or an empty string. So are the keys of a map.
    pub optional: bool,
    pub description: Option<String>,
    pub unit: Option<String>,
    /// Range observed in training. Not a constraint.
    pub minimum: Option<f64>,
    pub maximum: Option<f64>,
    /// A value that makes sense, as JSON: of an array, the whole or what each element is.
    #[serde(with = "json_text")]
    pub typical: Json,
}

impl Feature {
    /// "integer", "number[2, 2]".
    pub fn declared(&self) -> String {
        match self.shape.as_slice() {
            [] => self.kind.to_string(),
            shape => format!("{}{}", self.kind, shape_text(shape)),
        }
    }

    pub fn is_scalar(&self) -> bool {
        self.shape.is_empty()
    }

    /// A value that makes sense, as JSON. Free axes have one entry.
    pub fn example(&self) -> Json {
        if self.typical.is_array() {
            return self.typical.clone();
        }
        let lens = self.shape.iter().rev().map(|len| len.unwrap_or(1));
        lens.fold(self.typical.clone(), |inner, len| Json::Array(vec![inner; len]))
    }

    /// "Age of the visitor (years). Seen in training: 17 to 123."
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

/// How the outputs are to be read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub enum Task {
    /// One output of labels, and one of scores `[N, C]` whose columns are `classes`.
    Classification { label: usize, scores: usize, classes: Vec<String>, meaning: Scores },
    /// Outputs speak for themselves.
    Other,
}

/// What a classifier's scores are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub enum Scores {
    /// Between 0 and 1, and 1 in all.
    Probabilities,
    /// Margins, distances, votes.
    Other,
}

impl Signature {
    pub fn feature(&self, name: &str) -> Option<usize> {
        // A few are compared sooner than hashed.
        const FEW: usize = 16;
        let names = || self.features.iter().map(|feature| &feature.name);
        if self.features.len() <= FEW {
            return names().position(|known| known == name);
        }
        let by_name = || names().enumerate().map(|(index, known)| (known.clone(), index)).collect();
        self.by_name.get_or_init(by_name).get(name).copied()
    }

    /// The known feature whose name is nearest to `name`, if one is near; of very many features, one
    /// of the first.
    pub fn nearest_feature(&self, name: &str) -> Option<&str> {
        // A distance takes time by the product of the lengths.
        const MOST: usize = 1000;
        const LONGEST: usize = 64;
        let name = name.to_lowercase();
        let len = name.chars().count();
        if len > LONGEST {
            return None;
        }
        let distance = |feature: &Feature| {
            let known = feature.name.to_lowercase();
            let known_len = known.chars().count();
            let near = known_len.div_ceil(3);
            if len.abs_diff(known_len) > near {
                return None;
            }
            let distance = strsim::osa_distance(&name, &known);
            (distance <= near).then_some(distance)
        };
        let features = self.features.iter().take(MOST);
        let near = features.filter_map(|feature| Some((distance(feature)?, &feature.name)));
        near.min().map(|(_, known)| known.as_str())
    }

    /// The scores' column names where this is a classifier.
    pub fn classes(&self) -> &[String] {
        match &self.task {
            Task::Classification { classes, .. } => classes,
            Task::Other => &[],
        }
    }

    /// "age integer, city string → prediction int64, probabilities 0, 1".
    pub fn summary(&self) -> String {
        let takes: Vec<String> = self.features.iter().map(Feature::to_string).collect();
        let gives = match &self.task {
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
        format!("{} → {gives}", takes.join(", "))
    }
}

impl Scores {
    /// The member of a JSON answer that holds them by class.
    pub fn plural(self) -> &'static str {
        match self {
            Scores::Probabilities => "probabilities",
            Scores::Other => "scores",
        }
    }

    /// How a table's columns of them begin.
    pub fn singular(self) -> &'static str {
        match self {
            Scores::Probabilities => "probability",
            Scores::Other => "score",
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.declared())
    }
}

impl fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.name, self.datatype.onnx_name(), shape_text(&self.shape))
    }
}

/// "[?, 3]".
pub(crate) fn shape_text(shape: &[Option<usize>]) -> String {
    let dims: Vec<String> =
        shape.iter().map(|dim| dim.map_or("?".to_owned(), |dim| dim.to_string())).collect();
    format!("[{}]", dims.join(", "))
}
