//! The shape of a prediction: the names of its members, and the model output that contains the value of each member.
//!
//! Golden rows and the protocols with named features have predictions of this shape. The shape contains only names and
//! indices. The encoder of each format decides how a value is written.

use crate::signature::{Scores, Signature, Task};

/// Name of the member that every prediction has.
pub const PREDICTION: &str = "prediction";

/// Name of the member with the outputs that belong to the whole request.
pub const REQUEST_OUTPUTS: &str = "outputs";

/// The members of a row's prediction.
///
/// The prediction of a classifier has two members: the label as `prediction`, and a value for each class as
/// `probabilities` or `scores`. The prediction of any other model has only the member `prediction`: the value of the
/// model's only output, or an object with the value of each output.
///
/// Outputs that belong to the whole request are in a separate member of the response. If all outputs of a model belong
/// to the whole request, there is no separate member: the outputs are the `prediction`, and there is a single
/// prediction for the whole request.
#[derive(Debug, Clone)]
pub struct PredictionShape<'s> {
    /// The member [`PREDICTION`].
    pub prediction: Prediction,
    /// The member with the scores of a classifier. `None` if the model is not a classifier.
    pub scores: Option<ClassScores<'s>>,
    /// Indices of the outputs in the member [`REQUEST_OUTPUTS`]. Empty if the response has no such member.
    pub request_outputs: Vec<usize>,
    /// True if there is a single prediction, for the whole request.
    pub is_single: bool,
}

/// The value of the member [`PREDICTION`].
#[derive(Debug, Clone)]
pub enum Prediction {
    /// The value of one output in the row. The field is the index of the output.
    Output(usize),
    /// An object with the values of several outputs in the row. The field contains the indices of the outputs.
    Outputs(Vec<usize>),
}

/// The member with a score for each class. The scores of a row are the elements of one output in this row.
#[derive(Debug, Clone, Copy)]
pub struct ClassScores<'s> {
    /// The meaning of the scores, which determines the name of the member.
    pub meaning: Scores,
    /// Index of the output that contains the scores.
    pub output: usize,
    pub classes: &'s [String],
}

/// The origin of a value in a prediction: an output's whole value in the row, or one element of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Index of the output.
    pub output: usize,
    /// Index of the element within the output's value in the row. `None` for the whole value.
    pub element: Option<usize>,
}

impl<'s> PredictionShape<'s> {
    pub fn new(signature: &'s Signature) -> PredictionShape<'s> {
        if let Task::Classification { label, scores, classes, meaning } = &signature.task {
            return PredictionShape {
                prediction: Prediction::Output(*label),
                scores: Some(ClassScores { meaning: *meaning, output: *scores, classes }),
                request_outputs: vec![],
                is_single: false,
            };
        }
        let is_per_row = |index: &usize| !signature.is_given_once(&signature.outputs[*index]);
        let (mut outputs, mut request_outputs): (Vec<usize>, Vec<usize>) =
            (0..signature.outputs.len()).partition(is_per_row);
        let is_single = outputs.is_empty();
        if is_single {
            std::mem::swap(&mut outputs, &mut request_outputs);
        }
        let prediction = match outputs.as_slice() {
            [output] => Prediction::Output(*output),
            _ => Prediction::Outputs(outputs),
        };
        PredictionShape { prediction, scores: None, request_outputs, is_single }
    }

    /// Returns the names of the columns in a table of predictions, such as `prediction`, `probability_yes` and
    /// `output_loss`.
    pub fn columns(&self, signature: &Signature) -> Vec<String> {
        let name = |output: &usize| &signature.outputs[*output].name;
        let mut columns = match &self.prediction {
            Prediction::Output(_) => vec![PREDICTION.to_owned()],
            Prediction::Outputs(outputs) => {
                outputs.iter().map(|output| format!("{PREDICTION}_{}", name(output))).collect()
            }
        };
        if let Some(ClassScores { meaning, classes, .. }) = self.scores {
            columns.extend(classes.iter().map(|class| format!("{}_{class}", meaning.singular())));
        }
        columns
            .extend(self.request_outputs.iter().map(|output| format!("output_{}", name(output))));
        columns
    }

    /// Returns the source of each column's values, in the order of [`PredictionShape::columns`].
    pub fn sources(&self) -> Vec<Source> {
        let whole = |output: &usize| Source { output: *output, element: None };
        let mut sources = match &self.prediction {
            Prediction::Output(output) => vec![whole(output)],
            Prediction::Outputs(outputs) => outputs.iter().map(whole).collect(),
        };
        if let Some(ClassScores { output, classes, .. }) = self.scores {
            let scores = 0..classes.len();
            sources.extend(scores.map(|class| Source { output, element: Some(class) }));
        }
        sources.extend(self.request_outputs.iter().map(whole));
        sources
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datatype::Datatype;
    use crate::signature::TensorSpec;

    fn signature(task: Task, outputs: &[&str]) -> Signature {
        let output = |name: &&str| TensorSpec {
            name: (*name).to_owned(),
            datatype: Datatype::Float32,
            shape: vec![None, Some(2)],
            // Names of outputs of the request begin with `!`.
            batch_axis: (!name.starts_with('!')).then_some(0),
        };
        Signature {
            name: "model".into(),
            version: "1".into(),
            description: None,
            inputs: vec![],
            outputs: outputs.iter().map(output).collect(),
            fixed_rows: None,
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
        let columns = shape.columns(&signature);
        let found: Vec<_> = columns
            .iter()
            .zip(shape.sources())
            .map(|(name, s)| (&**name, s.output, s.element))
            .collect();
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

    #[test]
    fn outputs_of_the_request_are_beside_the_prediction() {
        check(Task::Other, &["!loss", "y"], &[("prediction", 1, None), ("output_!loss", 0, None)]);
        check(
            Task::Other,
            &["a", "!loss", "b"],
            &[("prediction_a", 0, None), ("prediction_b", 2, None), ("output_!loss", 1, None)],
        );
        check(Task::Other, &["!boxes"], &[("prediction", 0, None)]);
    }
}
