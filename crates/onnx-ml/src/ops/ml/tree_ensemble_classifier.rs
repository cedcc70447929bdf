//! [TreeEnsembleClassifier](https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleClassifier.html)
//!
//! The specification does not define a binary model with weights for one class only; this follows
//! ONNX Runtime. The weights belong to the positive class. If none is negative, scores are
//! probabilities and the threshold is 0.5. Otherwise they are margins and the threshold is 0.

use crate::kernels::logistic::logistic_pair;
use crate::kernels::reduce::greatest;
use crate::kernels::trees::{Aggregate, Number, Scores};
use crate::operator::kernel::{Built, Fact, Kernel, matrix, operator, tensor};
use crate::ops::ml::labels::Labels;
use crate::ops::ml::post_transform::PostTransform;
use crate::ops::ml::tree_attributes::{Computed, Ensemble, numbers};
use serde::{Deserialize, Serialize};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Deserialize, Serialize)]
pub struct TreeEnsembleClassifier {
    ensemble: Ensemble,
    labels: Labels,
    base_values: Vec<f64>,
    post_transform: PostTransform,
    /// There are two classes, and only one has weights.
    one_sided: bool,
    /// All weights are at least 0.
    probabilities: bool,
}

pub fn tree_ensemble_classifier(context: &ParsingContext, node: &NodeProto) -> Built {
    let labels = Labels::parse(node, "classlabels_int64s", "classlabels_strings")?;
    let classes = labels.len();
    let ensemble = Ensemble::parse(context, node, "class", classes)?;
    let base_values = numbers::<f64>(context, node, "base_values")?;
    let found = base_values.len();
    let fits = found == 0 || found == classes || (found == 1 && classes == 2);
    node.expect_attr("base_values", fits, || format!("none or {classes}, found {found}"))?;
    let ids: Vec<i64> = node.get_attr_opt_vec("class_ids")?.unwrap_or_default();
    let weights = numbers::<f64>(context, node, "class_weights")?;
    operator(
        node,
        1,
        TreeEnsembleClassifier {
            ensemble,
            base_values,
            post_transform: PostTransform::parse(node)?,
            one_sided: classes == 2 && ids.windows(2).all(|pair| pair[0] == pair[1]),
            probabilities: weights.iter().all(|weight| *weight >= 0.0),
            labels,
        },
    )
}

impl Kernel for TreeEnsembleClassifier {
    const NAME: &'static str = "TreeEnsembleClassifier";

    const OUTPUTS: usize = 2;

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        ensure!(inputs[0].is_number(), "expected numbers, found {:?}", inputs[0].datum_type);
        let (rows, columns) = inputs[0].matrix()?;
        if let Ok(columns) = columns.to_usize() {
            self.ensemble.expect_columns(columns)?;
        }
        Ok(tvec!(
            Fact::new(self.labels.datum_type(), [rows.clone()]),
            Fact::new(f32::datum_type(), [rows, self.labels.len().to_dim()]),
        ))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let shape = matrix(&inputs[0]);
        let (winners, scores) = match self.ensemble.scores(&inputs[0], shape, Aggregate::Sum)? {
            Computed::Single(scores) => self.finish(scores),
            Computed::Double(scores) => self.finish(scores),
        };
        let labels = self.labels.tensor(&winners)?;
        Ok(vec![labels, tensor(&[shape.0, self.labels.len()], scores)?])
    }
}

impl TreeEnsembleClassifier {
    /// Returns the winning class of each row, and all scores.
    fn finish<T: Number>(&self, scores: Scores<T>) -> (Vec<usize>, Vec<f32>) {
        let Scores { mut scores, mut given } = scores;
        if self.base_values.is_empty() && given.iter().all(|given| *given) {
            return self.finish_given(scores);
        }
        let base_values: Vec<T> = self.base_values.iter().map(|v| T::from_f64(*v)).collect();
        let classes = self.labels.len();
        let mut finished = vec![0.0; scores.len()];
        let winners = scores
            .chunks_mut(classes)
            .zip(given.chunks_mut(classes))
            .zip(finished.chunks_mut(classes))
            .map(|((scores, given), finished)| match classes {
                2 => self.finish_two(scores, given, &base_values, finished),
                _ => self.finish_many(scores, given, &base_values, finished),
            })
            .collect();
        (winners, finished)
    }

    /// Returns classes and scores if every class has a score from the leaves and nothing else.
    fn finish_given<T: Number>(&self, scores: Vec<T>) -> (Vec<usize>, Vec<f32>) {
        let classes = self.labels.len();
        let threshold = T::from_f64(self.threshold());
        let winners = match classes {
            2 => scores.chunks_exact(2).map(|row| usize::from(row[1] > threshold)).collect(),
            _ => greatest(&scores, classes),
        };
        let mut finished = scores.into_iter().map(T::to_f32).collect::<Vec<_>>();
        self.post_transform.apply(&mut finished, classes);
        (winners, finished)
    }

    /// Score above which the second of two classes wins.
    fn threshold(&self) -> f64 {
        if self.one_sided && self.probabilities { 0.5 } else { 0.0 }
    }

    fn finish_many<T: Number>(
        &self,
        scores: &mut [T],
        given: &mut [bool],
        base_values: &[T],
        finished: &mut [f32],
    ) -> usize {
        for ((score, given), base_value) in scores.iter_mut().zip(given.iter_mut()).zip(base_values)
        {
            *score += *base_value;
            *given = true;
        }
        let mut winner: Option<usize> = None;
        for class in (0..scores.len()).filter(|class| given[*class]) {
            if winner.is_none_or(|best| scores[class] > scores[best]) {
                winner = Some(class);
            }
        }
        copy_given(scores, given, finished);
        self.post_transform.apply(finished, finished.len());
        winner.unwrap_or(0)
    }

    fn finish_two<T: Number>(
        &self,
        scores: &mut [T],
        given: &[bool],
        base_values: &[T],
        finished: &mut [f32],
    ) -> usize {
        match *base_values {
            // ONNX Runtime treats the scores as margins here, and the first as part of the sum.
            [_, second] if given[1] => {
                scores[1] = scores[0] + second;
                scores[0] = -scores[1];
            }
            [first, second] => {
                scores[0] += first;
                scores[1] += second;
            }
            [first] => scores[0] += first,
            _ => {}
        }
        let positive = if given[1] { scores[1] } else { scores[0] };
        let winner = usize::from(positive > T::from_f64(self.threshold()));
        if given[1] || base_values.len() == 2 {
            copy_given(scores, given, finished);
            self.post_transform.apply(finished, finished.len());
            return winner;
        }
        let positive = scores[0].to_f32();
        let pair = match self.post_transform {
            PostTransform::Logistic => logistic_pair(positive),
            _ if self.one_sided && self.probabilities => [1.0 - positive, positive],
            _ => [-positive, positive],
        };
        finished.copy_from_slice(&pair);
        winner
    }
}

/// Copies scores; a score that no leaf contributed to is zero, whatever the base value.
fn copy_given<T: Number>(scores: &[T], given: &[bool], finished: &mut [f32]) {
    for ((finished, score), given) in finished.iter_mut().zip(scores).zip(given) {
        *finished = if *given { score.to_f32() } else { 0.0 };
    }
}
