//! The shape of a prediction: which values of a model's outputs it has, and under which names.
//!
//! Golden rows and the protocols with named features have predictions in this shape. It is about names
//! and indices only: how a value is written is up to the encoder.

use crate::signature::{Signature, Task, TensorSpec};

/// The named members of the prediction for a row.
///
/// A classifier has two members: the label as `prediction`, and a value for each class as
/// `probabilities` or `scores`. Every other model has `prediction` only: the value of its one output, or
/// a value for each output by name.
#[derive(Debug, Clone, Copy)]
pub struct PredictionShape<'s> {
    prediction: Member<'s>,
    scores: Option<Member<'s>>,
}

/// A part of a prediction that has a name.
#[derive(Debug, Clone, Copy)]
pub struct Member<'s> {
    /// Name of the member, such as `probabilities`.
    pub name: &'static str,
    /// Name for one of its values, such as `probability`.
    pub singular: &'static str,
    pub content: Content<'s>,
}

#[derive(Debug, Clone, Copy)]
pub enum Content<'s> {
    Value(Source),
    /// An object with a value for each name.
    Named(Named<'s>),
}

/// The values of a member by name: those of the classes or of the outputs.
#[derive(Debug, Clone, Copy)]
pub struct Named<'s>(Names<'s>);

#[derive(Debug, Clone, Copy)]
enum Names<'s> {
    Classes { classes: &'s [String], output: usize },
    Outputs(&'s [TensorSpec]),
}

/// The element or the row of an output that a value is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Index of the output.
    pub output: usize,
    /// Index of the element within the output's row; `None` for the whole row.
    pub element: Option<usize>,
}

impl<'s> PredictionShape<'s> {
    pub fn new(signature: &'s Signature) -> PredictionShape<'s> {
        let prediction = |content| Member { name: "prediction", singular: "prediction", content };
        let whole = |output| Content::Value(Source { output, element: None });
        match &signature.task {
            Task::Classification { label, scores, classes, meaning } => PredictionShape {
                prediction: prediction(whole(*label)),
                scores: Some(Member {
                    name: meaning.plural(),
                    singular: meaning.singular(),
                    content: Content::Named(Named(Names::Classes { classes, output: *scores })),
                }),
            },
            Task::Other => {
                let content = match &*signature.outputs {
                    [_] => whole(0),
                    outputs => Content::Named(Named(Names::Outputs(outputs))),
                };
                PredictionShape { prediction: prediction(content), scores: None }
            }
        }
    }

    /// The members in their order. At most one of them is [`Content::Named`].
    #[inline]
    pub fn members(&self) -> impl Iterator<Item = &Member<'s>> {
        std::iter::once(&self.prediction).chain(&self.scores)
    }

    /// Returns the source of value number `index`, counted over all members.
    #[inline]
    pub fn source(&self, index: usize) -> Source {
        match (&self.prediction.content, &self.scores) {
            (Content::Named(named), _) => named.source(index),
            (Content::Value(_), Some(Member { content: Content::Named(named), .. }))
                if index > 0 =>
            {
                named.source(index - 1)
            }
            (Content::Value(source), _) => *source,
        }
    }
}

impl<'s> Named<'s> {
    pub fn len(self) -> usize {
        match self.0 {
            Names::Classes { classes, .. } => classes.len(),
            Names::Outputs(outputs) => outputs.len(),
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    pub fn names(self) -> impl Iterator<Item = &'s str> {
        let (classes, outputs): (&[String], &[TensorSpec]) = match self.0 {
            Names::Classes { classes, .. } => (classes, &[]),
            Names::Outputs(outputs) => (&[], outputs),
        };
        let outputs = outputs.iter().map(|output| output.name.as_str());
        classes.iter().map(String::as_str).chain(outputs)
    }

    /// Returns the source of value number `index`.
    #[inline]
    pub fn source(self, index: usize) -> Source {
        match self.0 {
            Names::Classes { output, .. } => Source { output, element: Some(index) },
            Names::Outputs(_) => Source { output: index, element: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datatype::Datatype;
    use crate::signature::Scores;

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

    /// The sources, found through the members, with the names that lead to them.
    fn values(shape: &PredictionShape<'_>) -> Vec<(String, Source)> {
        let mut values = vec![];
        for member in shape.members() {
            match member.content {
                Content::Value(source) => values.push((member.name.to_owned(), source)),
                Content::Named(named) => {
                    for (index, name) in named.names().enumerate() {
                        values.push((format!("{}.{name}", member.name), named.source(index)));
                    }
                }
            }
        }
        values
    }

    fn check(task: Task, outputs: &[&str], expected: &[(&str, usize, Option<usize>)]) {
        let signature = signature(task, outputs);
        let shape = PredictionShape::new(&signature);
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, output, element)| {
                ((*name).to_owned(), Source { output: *output, element: *element })
            })
            .collect();
        assert_eq!(values(&shape), expected);
        for (index, (_, source)) in expected.iter().enumerate() {
            assert_eq!(shape.source(index), *source);
        }
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
                ("probabilities.no", 0, Some(0)),
                ("probabilities.yes", 0, Some(1)),
            ],
        );
        check(
            task(Scores::Other),
            &["p", "label"],
            &[("prediction", 1, None), ("scores.no", 0, Some(0)), ("scores.yes", 0, Some(1))],
        );
    }

    #[test]
    fn other_models_have_the_values_of_their_outputs() {
        check(Task::Other, &["y"], &[("prediction", 0, None)]);
        check(
            Task::Other,
            &["mean", "deviation"],
            &[("prediction.mean", 0, None), ("prediction.deviation", 1, None)],
        );
    }
}
