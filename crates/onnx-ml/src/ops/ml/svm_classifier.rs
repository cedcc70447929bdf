//! [SVMClassifier](https://onnx.ai/onnx/operators/onnx_aionnxml_SVMClassifier.html): one-vs-one
//! classification.
//!
//! For each pair of classes (i, j) with i < j, a row has a decision value: the weighted sum of its
//! similarities with the support vectors of both classes, plus the pair's intercept `rho`. A
//! positive value is a vote for class i, any other value is a vote for class j. The label is the
//! class with the most votes. Without support vectors, each class has a linear function instead,
//! and the label is the class with the highest result.
//!
//! The scores are the decision values. With two classes there is a single value, and the scores are
//! `-value` and `value`. If the attributes `prob_a` and `prob_b` are present, the scores are class
//! probabilities. Platt scaling turns each decision value into the probability of class i within
//! its pair. The pairwise probabilities are coupled as in Wu, Lin and Weng, [Probability Estimates
//! for Multi-class Classification by Pairwise
//! Coupling](https://www.csie.ntu.edu.tw/~cjlin/papers/svmprob/svmprob.pdf).

use crate::kernels::logistic::logistic;
use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, matrix, tensor};
use crate::ops::ml::labels::Labels;
use crate::ops::ml::post_transform::{PostTransform, winner};
use crate::ops::ml::svm::{BLOCK, Similarity};
use crate::ops::ml::vectors::{Vectors, dot};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Deserialize, Serialize)]
pub struct SvmClassifier {
    labels: Labels,
    post_transform: PostTransform,
    mode: Mode,
    /// The support vectors, ordered by class. In [`Mode::Linear`], the coefficients of each class.
    vectors: Vectors,
}

/// The decision function.
#[derive(Debug, Deserialize, Serialize)]
enum Mode {
    Linear(Linear),
    Pairs(Pairs),
}

/// A linear function for each class.
#[derive(Debug, Deserialize, Serialize)]
struct Linear {
    /// The intercept of all functions.
    rho: f32,
    /// `true` if the node has the attributes `prob_a` and `prob_b`.
    has_probabilities: bool,
    /// `true` if no coefficient is negative.
    non_negative: bool,
}

/// Decision functions of the pairs of classes (i, j) with i < j. Lists with one entry per pair are
/// in the order (0, 1), (0, 2), …, (1, 2), …
#[derive(Debug, Deserialize, Serialize)]
struct Pairs {
    similarity: Similarity,
    /// For each class, the range of its support vectors.
    class_vectors: Vec<Range<usize>>,
    /// Weights of the similarities, `[classes - 1, vectors]`. A vector of class i has one weight
    /// for each other class j: in row j if j < i, and in row j - 1 if j > i.
    coefficients: Vec<f32>,
    /// Intercept of each pair.
    rho: Vec<f32>,
    /// Slope and intercept of each pair's sigmoid (Platt scaling), if the scores are probabilities.
    sigmoids: Option<Vec<(f32, f32)>>,
}

/// Builds the operator.
pub fn svm_classifier(_: &ParsingContext, node: &NodeProto) -> Built {
    let labels = Labels::parse(node, "classlabels_ints", "classlabels_strings")?;
    let classes = labels.len();
    node.expect(classes >= 2, || format!("labels of at least 2 classes, found {classes} labels"))?;
    let post_transform = PostTransform::parse(node)?;
    let similarity = Similarity::parse(node)?;
    let coefficients: Vec<f32> = node.get_attr_vec("coefficients")?;
    let rho: Vec<f32> = node.get_attr_vec("rho")?;
    let prob_a: Vec<f32> = node.get_attr_opt_vec("prob_a")?.unwrap_or_default();
    let prob_b: Vec<f32> = node.get_attr_opt_vec("prob_b")?.unwrap_or_default();
    let (a, b) = (prob_a.len(), prob_b.len());
    node.expect_attr("prob_b", a == b, || {
        format!("{a} elements, one for each of prob_a, found {b}")
    })?;

    let class_vectors = class_vectors(node)?;
    let vector_count = class_vectors.last().map_or(0, |range| range.end);
    let (mode, vectors) = if vector_count == 0 {
        node.expect_attr("rho", !rho.is_empty(), "at least 1 element, found none")?;
        let vectors = Vectors::new(classes, &coefficients).context("coefficients")?;
        let linear = Linear {
            rho: rho[0],
            has_probabilities: a > 0,
            non_negative: coefficients.iter().all(|coefficient| *coefficient >= 0.0),
        };
        (Mode::Linear(linear), vectors)
    } else {
        let found = class_vectors.len();
        node.expect_attr("vectors_per_class", found == classes, || {
            format!("{classes} elements, one for each label, found {found}")
        })?;
        let elements: Vec<f32> = node.get_attr_vec("support_vectors")?;
        let vectors = Vectors::new(vector_count, &elements).context("support_vectors")?;
        let pairs = classes.checked_mul(classes - 1).map(|product| product / 2);
        let expected = [
            ("coefficients", coefficients.len(), vector_count.checked_mul(classes - 1)),
            ("rho", rho.len(), pairs),
            ("prob_a", a, if a == 0 { Some(0) } else { pairs }),
        ];
        for (name, found, expected) in expected {
            node.expect_attr(name, expected == Some(found), || {
                let expected = expected.map_or("fewer".to_owned(), |expected| expected.to_string());
                format!(
                    "{expected} elements for {classes} classes with {vector_count} support \
                     vectors, found {found}"
                )
            })?;
        }
        if classes == 2 && a == 0 && post_transform == PostTransform::Probit {
            // There is a single decision value. ONNX Runtime does not define the score of the other
            // class for PROBIT.
            return node.bail_attr(
                "post_transform",
                "expected NONE, SOFTMAX, LOGISTIC or SOFTMAX_ZERO for two classes without \
                 probabilities, found PROBIT",
            );
        }
        let sigmoids = (a > 0).then(|| prob_a.into_iter().zip(prob_b).collect());
        let pairs = Pairs { similarity, class_vectors, coefficients, rho, sigmoids };
        (Mode::Pairs(pairs), vectors)
    };
    operator(node, 1, SvmClassifier { labels, post_transform, mode, vectors })
}

/// Returns, for each class, the range of its support vectors, from the attribute
/// `vectors_per_class`.
fn class_vectors(node: &NodeProto) -> TractResult<Vec<Range<usize>>> {
    let counts: Vec<i64> = node.get_attr_opt_vec("vectors_per_class")?.unwrap_or_default();
    let mut end = 0usize;
    counts
        .into_iter()
        .map(|found| {
            let start = end;
            let sum = usize::try_from(found).ok().and_then(|count| end.checked_add(count));
            let Some(sum) = sum else {
                return node.bail_attr(
                    "vectors_per_class",
                    &format!("expected the number of support vectors of each class, found {found}"),
                );
            };
            end = sum;
            Ok(start..end)
        })
        .collect()
}

impl SvmClassifier {
    /// Returns the number of scores of a row.
    fn score_count(&self) -> usize {
        match &self.mode {
            Mode::Pairs(pairs) if pairs.sigmoids.is_none() => pairs.rho.len().max(2),
            _ => self.labels.len(),
        }
    }
}

impl Kernel for SvmClassifier {
    const NAME: &'static str = "SVMClassifier";
    const OUTPUTS: usize = 2;

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let rows = self.vectors.rows(&inputs[0])?;
        let labels = Fact::new(self.labels.datum_type(), [rows.clone()]);
        Ok(tvec!(labels, Fact::new(f32::datum_type(), [rows, self.score_count().to_dim()])))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let (rows, _) = matrix(&inputs[0]);
        let input = elements::<f32>(&inputs[0])?;
        let input = input.try_as_plain_ram()?;
        let input = input.as_slice::<f32>()?;
        let mut scores = vec![0.0; rows * self.score_count()];
        let winners = match &self.mode {
            Mode::Linear(linear) => self.eval_linear(linear, input, &mut scores),
            Mode::Pairs(pairs) => self.eval_pairs(pairs, input, &mut scores),
        };
        let labels = self.labels.tensor(&winners)?;
        Ok(vec![labels, tensor(&[rows, self.score_count()], scores)?])
    }
}

impl SvmClassifier {
    /// Writes the scores `[rows, classes]`, and returns the winning class of each row.
    fn eval_linear(&self, linear: &Linear, input: &[f32], scores: &mut [f32]) -> Vec<usize> {
        self.vectors.dots(input, scores);
        scores
            .chunks_exact_mut(self.vectors.count())
            .map(|scores| {
                scores.iter_mut().for_each(|score| *score += linear.rho);
                let mut class = winner(scores);
                // For two classes without probabilities, ONNX Runtime compares the higher score
                // with a fixed threshold, and chooses class 1 if the score is above it.
                let is_above_threshold =
                    if linear.non_negative { scores[class] >= 0.5 } else { scores[class] > 0.0 };
                if scores.len() == 2 && !linear.has_probabilities && is_above_threshold {
                    class = 1;
                }
                self.post_transform.apply(scores, scores.len());
                class
            })
            .collect()
    }

    /// Writes the scores `[rows, score_count]`, and returns the winning class of each row.
    fn eval_pairs(&self, pairs: &Pairs, input: &[f32], scores: &mut [f32]) -> Vec<usize> {
        let count = self.vectors.count();
        let columns = self.vectors.columns();
        let mut similarities = vec![0.0; BLOCK.min(input.len() / columns) * count];
        let mut scratch = Scratch::new(pairs);
        let mut winners = Vec::with_capacity(input.len() / columns);
        let blocks = scores.chunks_mut(BLOCK * self.score_count());
        for (rows, scores) in input.chunks(BLOCK * columns).zip(blocks) {
            let similarities = &mut similarities[..rows.len() / columns * count];
            pairs.similarity.compute(rows, &self.vectors, similarities);
            let scores = scores.chunks_exact_mut(self.score_count());
            for (similarities, scores) in similarities.chunks_exact(count).zip(scores) {
                winners.push(pairs.decide(similarities, &mut scratch));
                match (&pairs.sigmoids, &*scratch.values) {
                    (Some(sigmoids), _) => {
                        scratch.couple(sigmoids, scores);
                        self.post_transform.apply(scores, scores.len());
                    }
                    (None, &[value]) => scores.copy_from_slice(&self.scores_of_two(value)),
                    (None, values) => {
                        scores.copy_from_slice(values);
                        self.post_transform.apply(scores, scores.len());
                    }
                }
            }
        }
        winners
    }

    /// Returns the scores of two classes, from their only decision value.
    fn scores_of_two(&self, value: f32) -> [f32; 2] {
        match self.post_transform {
            PostTransform::None => [-value, value],
            transform => transform.pair(value),
        }
    }
}

/// Buffers for the computation of one row, reused between rows.
struct Scratch {
    /// `[classes - 1, classes]`. The element `[k, i]` is the sum of the similarities with the
    /// vectors of class i, weighted by row k of [`Pairs::coefficients`].
    sums: Vec<f64>,
    /// Number of votes for each class.
    votes: Vec<usize>,
    /// Decision value of each pair.
    values: Vec<f32>,
    /// `[classes, classes]`. The element `[i, j]` is the probability of class i, given that the
    /// class is i or j. The diagonal is unused.
    pairwise: Vec<f32>,
    /// The matrix Q of the paper, `[classes, classes]`.
    q: Vec<f32>,
    /// The product of Q and the vector of class probabilities, `[classes]`.
    qp: Vec<f32>,
}

impl Scratch {
    fn new(pairs: &Pairs) -> Scratch {
        let classes = pairs.class_vectors.len();
        // Only probabilities need the last three buffers.
        let coupled = if pairs.sigmoids.is_some() { classes } else { 0 };
        Scratch {
            sums: vec![0.0; (classes - 1) * classes],
            votes: vec![0; classes],
            values: vec![0.0; pairs.rho.len()],
            pairwise: vec![0.0; coupled * coupled],
            q: vec![0.0; coupled * coupled],
            qp: vec![0.0; coupled],
        }
    }
}

impl Pairs {
    /// Writes the decision values of one row to `scratch`, and returns the class with the most
    /// votes. `similarities` has the similarity of the row with each support vector.
    fn decide(&self, similarities: &[f32], scratch: &mut Scratch) -> usize {
        let classes = self.class_vectors.len();
        let rows = self.coefficients.chunks_exact(similarities.len());
        for (row, sums) in rows.zip(scratch.sums.chunks_exact_mut(classes)) {
            for (range, sum) in self.class_vectors.iter().zip(sums) {
                *sum = dot(&row[range.clone()], &similarities[range.clone()]);
            }
        }
        scratch.votes.fill(0);
        let mut pairs = scratch.values.iter_mut().zip(&self.rho);
        for i in 0..classes {
            for j in i + 1..classes {
                let Some((value, rho)) = pairs.next() else { break };
                // The weights of class i against j are in row j - 1, and the weights of j against i are in row i.
                let sums = scratch.sums[(j - 1) * classes + i] + scratch.sums[i * classes + j];
                let sum = sums + f64::from(*rho);
                *value = sum as f32;
                scratch.votes[if sum > 0.0 { i } else { j }] += 1;
            }
        }
        // If several classes have the most votes, the first of these classes wins.
        let mut winner = 0;
        for (class, votes) in scratch.votes.iter().enumerate() {
            if *votes > scratch.votes[winner] {
                winner = class;
            }
        }
        winner
    }
}

impl Scratch {
    /// Computes the class probabilities `p` from the decision values in `values`.
    ///
    /// This is algorithm 2 of the paper, in single precision and with ONNX Runtime's bounds. It
    /// minimizes `p^T Q p` for probabilities that add up to 1. At the minimum, all elements of
    /// `Q p` equal `p^T Q p`. Each iteration adjusts one element of `p` after the other and scales
    /// `p` to the sum 1.
    fn couple(&mut self, sigmoids: &[(f32, f32)], p: &mut [f32]) {
        let classes = p.len();
        // The pairwise probabilities. The bounds keep Q from becoming singular.
        let mut pairs = self.values.iter().zip(sigmoids);
        for i in 0..classes {
            for j in i + 1..classes {
                let Some((value, (slope, intercept))) = pairs.next() else { break };
                let probability = 1.0 - logistic(value * slope + intercept);
                let bounded = probability.clamp(1e-7, 1.0 - 1e-7);
                self.pairwise[i * classes + j] = bounded;
                self.pairwise[j * classes + i] = 1.0 - bounded;
            }
        }
        // Q[i, i] is the sum of r[j, i]^2 over j, and Q[i, j] is -r[j, i] * r[i, j].
        let (r, q, qp) = (&self.pairwise, &mut self.q, &mut self.qp);
        for i in 0..classes {
            q[i * classes + i] = 0.0;
            for j in (0..classes).filter(|j| *j != i) {
                let (ij, ji) = (r[i * classes + j], r[j * classes + i]);
                q[i * classes + i] += ji * ji;
                q[i * classes + j] = -ji * ij;
            }
        }
        p.fill(1.0 / classes as f32);
        let tolerance = 0.005 / classes as f32;
        for _ in 0..100 {
            let mut pqp = 0.0;
            for (i, row) in q.chunks_exact(classes).enumerate() {
                qp[i] = row.iter().zip(&*p).fold(0.0, |sum, (q, p)| sum + q * p);
                pqp += p[i] * qp[i];
            }
            if qp.iter().fold(0.0f32, |error, qp| error.max((qp - pqp).abs())) < tolerance {
                break;
            }
            // Update `qp` and `pqp` along with `p`, instead of computing them anew.
            for (i, row) in q.chunks_exact(classes).enumerate() {
                let step = (pqp - qp[i]) / row[i];
                p[i] += step;
                let scale = 1.0 + step;
                pqp = (pqp + step * (step * row[i] + 2.0 * qp[i])) / scale / scale;
                for ((qp, p), q) in qp.iter_mut().zip(p.iter_mut()).zip(row) {
                    *qp = (*qp + step * q) / scale;
                    *p /= scale;
                }
            }
        }
    }
}
