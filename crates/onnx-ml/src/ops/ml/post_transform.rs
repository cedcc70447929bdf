//! The attribute `post_transform` of classifiers and regressors. The specification does not define the formulas of the
//! transformations, so this module uses the formulas of ONNX Runtime.

use crate::kernels::logistic::{logistic, logistic_pair};
use crate::kernels::simd::{Vectorized, vectorized};
use crate::kernels::slices::columnwise;
use crate::kernels::softmax::softmax;
use serde::{Deserialize, Serialize};
use std::f32::consts::SQRT_2;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// Transformation of a row of scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub enum PostTransform {
    None,
    Softmax,
    /// The logistic function of each score.
    Logistic,
    /// Softmax over the scores that are not zero.
    SoftmaxZero,
    /// The quantile function of the normal distribution, of each score.
    Probit,
}

impl PostTransform {
    /// Reads the attribute of `node`. The default is no transformation.
    ///
    /// # Errors
    ///
    /// Returns an error if the transformation is unknown.
    pub fn parse(node: &NodeProto) -> TractResult<PostTransform> {
        match node.get_attr_opt("post_transform")?.unwrap_or("NONE") {
            "NONE" => Ok(PostTransform::None),
            "SOFTMAX" => Ok(PostTransform::Softmax),
            "LOGISTIC" => Ok(PostTransform::Logistic),
            "SOFTMAX_ZERO" => Ok(PostTransform::SoftmaxZero),
            "PROBIT" => Ok(PostTransform::Probit),
            found => node.bail_attr(
                "post_transform",
                &format!("expected NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO or PROBIT, found {found}"),
            ),
        }
    }

    /// Transforms `scores`, a matrix `[rows, width]`, in place. If `width` is 1, only PROBIT has an
    /// effect.
    pub fn apply(&self, scores: &mut [f32], width: usize) {
        match self {
            PostTransform::Softmax | PostTransform::Logistic | PostTransform::SoftmaxZero
                if width == 1 => {}
            PostTransform::None => {}
            PostTransform::Softmax => softmax(scores, width),
            PostTransform::Logistic => vectorized(Logistic(scores)),
            PostTransform::SoftmaxZero => scores.chunks_exact_mut(width).for_each(softmax_zero),
            PostTransform::Probit => scores.iter_mut().for_each(|score| *score = probit(*score)),
        }
    }

    /// Returns the scores of two classes from the single score of the second class. LOGISTIC turns
    /// the score into a probability first; other transformations are ignored.
    pub fn pair(&self, score: f32) -> [f32; 2] {
        match self {
            PostTransform::Logistic => logistic_pair(score),
            _ => [1.0 - score, score],
        }
    }

    /// Returns the [`PostTransform::pair`] of each score.
    pub fn pairs(&self, scores: &[f32]) -> Vec<f32> {
        let pairs: Vec<[f32; 2]> = match self {
            PostTransform::Logistic => columnwise(scores, &[()], |score, ()| logistic_pair(score)),
            _ => scores.iter().map(|score| [1.0 - score, *score]).collect(),
        };
        pairs.into_flattened()
    }
}

/// Scores that the logistic function transforms in place.
struct Logistic<'a>(&'a mut [f32]);

impl Vectorized for Logistic<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.0.iter_mut().for_each(|score| *score = logistic(*score));
    }
}

/// Returns the class with the highest score. If several classes have the highest score, returns the first of these
/// classes.
pub fn winner(scores: &[f32]) -> usize {
    let mut winner = 0;
    for (class, score) in scores.iter().enumerate() {
        if *score > scores[winner] {
            winner = class;
        }
    }
    winner
}

/// Returns the greatest score that is not NaN.
fn maximum(row: &[f32]) -> f32 {
    row.iter().fold(f32::MIN, |maximum, &score| if score > maximum { score } else { maximum })
}

/// Applies softmax to the scores that are not zero, in place. Scores of zero stay zero.
fn softmax_zero(row: &mut [f32]) {
    let maximum = maximum(row);
    // ONNX Runtime treats scores of at most 1e-7 in absolute value as zero. It multiplies these scores by
    // `exp(-maximum)` instead of setting them to 0. It also multiplies the exponentials of all other scores by
    // `exp(-maximum)`.
    let zero_scale = (-maximum).exp();
    let mut sum = 0.0;
    for score in row.iter_mut() {
        if score.abs() > 1e-7 {
            *score = (*score - maximum).exp();
            sum += *score;
        } else {
            *score *= zero_scale;
        }
    }
    row.iter_mut().for_each(|score| *score /= sum);
}

/// Returns the quantile `p` of the normal distribution: `sqrt(2) * erf_inverse(2 * p - 1)`. The
/// inverse error function is [Winitzki's
/// approximation](https://en.wikipedia.org/wiki/Error_function#Approximation_with_elementary_functions).
fn probit(p: f32) -> f32 {
    const A: f32 = 0.147;
    #[expect(clippy::approx_constant, reason = "the constant in ONNX Runtime")]
    const PI: f32 = 3.14159;
    let x = 2.0 * p - 1.0;
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let v = 2.0 / (PI * A) + 0.5 * log;
    let root = ((v * v - 1.0 / A * log).sqrt() - v).sqrt();
    SQRT_2 * if x < 0.0 { -root } else { root }
}
