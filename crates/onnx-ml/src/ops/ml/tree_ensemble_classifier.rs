//! [TreeEnsembleClassifier](https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleClassifier.html):
//! for each class, the sum of the weights of the leaves that a row reaches. The label is the class
//! with the highest sum.
//!
//! A model of two classes may have weights for one class only. The specification does not define the result in this
//! case, so this module computes the result of ONNX Runtime: the weights belong to the positive class. If no weight is
//! negative, the sums are probabilities, and a sum above 0.5 selects the positive class. Otherwise the sums are
//! margins, and a sum above 0 selects the positive class.

use crate::kernels::logistic::logistic_pair;
use crate::kernels::reduce::greatest;
use crate::kernels::trees::{Aggregate, Number, Scores};
use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{matrix, tensor};
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
    /// Values that are added to the sums: one per class, a single value for two classes, or none.
    base_values: Vec<f64>,
    post_transform: PostTransform,
    /// `true` if there are two classes, and only one of them has weights.
    one_sided: bool,
    /// `true` if no weight is negative.
    non_negative: bool,
}

/// Builds the operator.
pub fn tree_ensemble_classifier(context: &ParsingContext, node: &NodeProto) -> Built {
    let labels = Labels::parse(node, "classlabels_int64s", "classlabels_strings")?;
    let classes = labels.len();
    let ensemble = Ensemble::parse(context, node, "class", classes)?;
    let base_values = numbers::<f64>(context, node, "base_values")?;
    let found = base_values.len();
    let matches = found == 0 || found == classes || (found == 1 && classes == 2);
    node.expect_attr("base_values", matches, || {
        format!("none or {classes} elements, found {found}")
    })?;
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
            non_negative: weights.iter().all(|weight| *weight >= 0.0),
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
    /// Returns the winning class of each row, and the scores `[rows, classes]`.
    fn finish<T: Number>(&self, scores: Scores<T>) -> (Vec<usize>, Vec<f32>) {
        let Scores { mut scores, has_weight: mut has_leaf } = scores;
        if self.base_values.is_empty() && has_leaf.iter().all(|has_leaf| *has_leaf) {
            return self.finish_sums(scores);
        }
        let base_values: Vec<T> = self.base_values.iter().map(|v| T::from_f64(*v)).collect();
        let classes = self.labels.len();
        let mut finished = vec![0.0; scores.len()];
        let winners = scores
            .chunks_mut(classes)
            .zip(has_leaf.chunks_mut(classes))
            .zip(finished.chunks_mut(classes))
            .map(|((scores, has_leaf), finished)| match classes {
                2 => self.finish_two(scores, has_leaf, &base_values, finished),
                _ => self.finish_many(scores, has_leaf, &base_values, finished),
            })
            .collect();
        (winners, finished)
    }

    /// Fast path if there are no base values, and leaves contributed to the sum of each row and
    /// class.
    fn finish_sums<T: Number>(&self, scores: Vec<T>) -> (Vec<usize>, Vec<f32>) {
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

    /// Returns the threshold above which a sum selects the positive class, the second of two
    /// classes.
    fn threshold(&self) -> f64 {
        if self.one_sided && self.non_negative { 0.5 } else { 0.0 }
    }

    /// Writes the scores of one row with three or more classes to `finished`, and returns the winning class. `scores`
    /// are the sums of leaf weights. `has_leaf` is `true` for the sums to which a leaf contributed.
    fn finish_many<T: Number>(
        &self,
        scores: &mut [T],
        has_leaf: &mut [bool],
        base_values: &[T],
        finished: &mut [f32],
    ) -> usize {
        let sums = scores.iter_mut().zip(has_leaf.iter_mut());
        for ((score, has_leaf), base_value) in sums.zip(base_values) {
            *score += *base_value;
            // ONNX Runtime counts a base value as a contribution.
            *has_leaf = true;
        }
        let mut winner: Option<usize> = None;
        for class in (0..scores.len()).filter(|class| has_leaf[*class]) {
            if winner.is_none_or(|best| scores[class] > scores[best]) {
                winner = Some(class);
            }
        }
        copy_scores(scores, has_leaf, finished);
        self.post_transform.apply(finished, finished.len());
        winner.unwrap_or(0)
    }

    /// Writes the scores of one row with two classes to `finished`, and returns the winning class.
    /// The arguments are the arguments of [`TreeEnsembleClassifier::finish_many`].
    fn finish_two<T: Number>(
        &self,
        scores: &mut [T],
        has_leaf: &[bool],
        base_values: &[T],
        finished: &mut [f32],
    ) -> usize {
        match *base_values {
            // With two base values, ONNX Runtime derives both scores from the sum of the first
            // class and the base value of the second class.
            [_, second] if has_leaf[1] => {
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
        let positive = if has_leaf[1] { scores[1] } else { scores[0] };
        let winner = usize::from(positive > T::from_f64(self.threshold()));
        if has_leaf[1] || base_values.len() == 2 {
            copy_scores(scores, has_leaf, finished);
            self.post_transform.apply(finished, finished.len());
            return winner;
        }
        // Only the first score is set. This score belongs to the positive class, which is the second class. Derive the
        // score of the first class from this score.
        let positive = scores[0].to_f32();
        let pair = match self.post_transform {
            PostTransform::Logistic => logistic_pair(positive),
            _ if self.one_sided && self.non_negative => [1.0 - positive, positive],
            _ => [-positive, positive],
        };
        finished.copy_from_slice(&pair);
        winner
    }
}

/// Copies `scores` to `finished`. A score without a leaf becomes zero, whatever its base value.
fn copy_scores<T: Number>(scores: &[T], has_leaf: &[bool], finished: &mut [f32]) {
    for ((finished, score), has_leaf) in finished.iter_mut().zip(scores).zip(has_leaf) {
        *finished = if *has_leaf { score.to_f32() } else { 0.0 };
    }
}
