//! The shape of a prediction: the names of its members, and the output that each member's value comes
//! from.
//!
//! Golden rows and the protocols with named features have predictions in this shape. The shape contains
//! only names and indices. The encoder of each format decides how a value is written.

use crate::signature::{Scores, Signature, Task, TensorSpec};

/// Name of the member that every prediction has.
pub const PREDICTION: &str = "prediction";

/// The members of a row's prediction.
///
/// A classifier has two members: the label as `prediction`, and a value for each class as
/// `probabilities` or `scores`. Every other model has `prediction` only: the value of its
/// only output, or an object with the value of each output.
#[derive(Debug, Clone, Copy)]
pub struct PredictionShape<'s> {
    /// The member [`PREDICTION`].
    pub prediction: Prediction<'s>,
    /// The member with the scores of a classifier.
    pub scores: Option<ClassScores<'s>>,
}

/// The value of the member [`PREDICTION`].
#[derive(Debug, Clone, Copy)]
pub enum Prediction<'s> {
    /// The row of the output with this index.
    Output(usize),
    /// An object with a member for each output: the row of that output.
    Outputs(&'s [TensorSpec]),
}

/// The member with a score for each class. The scores are the elements of a row of one output.
#[derive(Debug, Clone, Copy)]
pub struct ClassScores<'s> {
    /// The meaning of the scores. It determines the name of the member.
    pub meaning: Scores,
    /// Index of the output.
    pub output: usize,
    pub classes: &'s [String],
}

/// The origin of a value in a prediction: the whole row of an output, or one element of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Index of the output.
    pub output: usize,
    /// Index of the element within the output's row; `None` for the whole row.
    pub element: Option<usize>,
}

impl<'s> PredictionShape<'s> {
    pub fn new(signature: &'s Signature) -> PredictionShape<'s> {
        match (&signature.task, &*signature.outputs) {
            (Task::Classification { label, scores, classes, meaning }, _) => PredictionShape {
                prediction: Prediction::Output(*label),
                scores: Some(ClassScores { meaning: *meaning, output: *scores, classes }),
            },
            (Task::Other, [_]) => {
                PredictionShape { prediction: Prediction::Output(0), scores: None }
            }
            (Task::Other, outputs) => {
                PredictionShape { prediction: Prediction::Outputs(outputs), scores: None }
            }
        }
    }

    /// Returns the columns of a table of predictions: a name for each value, such as `prediction` and
    /// `probability_yes`.
    pub fn columns(&self) -> Vec<String> {
        let mut columns = match self.prediction {
            Prediction::Output(_) => vec![PREDICTION.to_owned()],
            Prediction::Outputs(outputs) => {
                outputs.iter().map(|output| format!("{PREDICTION}_{}", output.name)).collect()
            }
        };
        if let Some(ClassScores { meaning, classes, .. }) = self.scores {
            columns.extend(classes.iter().map(|class| format!("{}_{class}", meaning.singular())));
        }
        columns
    }

    /// Returns the source of a column's values. `column` is an index into [`PredictionShape::columns`].
    #[inline]
    pub fn source(&self, column: usize) -> Source {
        match (self.prediction, self.scores) {
            (Prediction::Outputs(_), _) => Source { output: column, element: None },
            (Prediction::Output(_), Some(ClassScores { output, .. })) if column > 0 => {
                Source { output, element: Some(column - 1) }
            }
            (Prediction::Output(output), _) => Source { output, element: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datatype::Datatype;

    fn signature(task: Task, outputs: &[&str]) -> Signature {
        let output = |name: &&str| TensorSpec {
            name: (*name).to_owned(),
            datatype: Datatype::Float32,
            shape: vec![None, Some(2)],
        };
        Signature {
            name: "model".into(),
            version: "1".into(),
            description: None,
            inputs: vec![],
            outputs: outputs.iter().map(output).collect(),
            features: vec![],
            task,
            class_meanings: vec![],
            metrics: vec![],
            by_name: Default::default(),
        }
    }

    fn check(task: Task, outputs: &[&str], expected: &[(&str, usize, Option<usize>)]) {
        let signature = signature(task, outputs);
        let shape = PredictionShape::new(&signature);
        let columns = shape.columns();
        let sources = (0..columns.len()).map(|column| shape.source(column));
        let found: Vec<_> =
            columns.iter().zip(sources).map(|(name, s)| (&**name, s.output, s.element)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_classifier_has_a_label_and_a_value_for_each_class() {
        let task = |meaning| Task::Classification {
            label: 1,
            scores: 0,
            classes: vec!["no".into(), "yes".into()],
            meaning,
        };
        check(
            task(Scores::Probabilities),
            &["p", "label"],
            &[
                ("prediction", 1, None),
                ("probability_no", 0, Some(0)),
                ("probability_yes", 0, Some(1)),
            ],
        );
        check(
            task(Scores::Other),
            &["p", "label"],
            &[("prediction", 1, None), ("score_no", 0, Some(0)), ("score_yes", 0, Some(1))],
        );
    }

    #[test]
    fn a_model_without_classes_has_a_value_for_each_output() {
        check(Task::Other, &["y"], &[("prediction", 0, None)]);
        check(
            Task::Other,
            &["mean", "deviation"],
            &[("prediction_mean", 0, None), ("prediction_deviation", 1, None)],
        );
    }
}
