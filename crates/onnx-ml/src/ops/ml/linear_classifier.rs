//! [LinearClassifier](https://onnx.ai/onnx/operators/onnx_aionnxml_LinearClassifier.html): a linear
//! score per class, and the label with the highest score.
//!
//! Two classes may share one row of coefficients. A positive score then selects the second label.

use crate::kernels::reduce::greatest;
use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, matrix, tensor};
use crate::ops::ml::labels::Labels;
use crate::ops::ml::linear::Linear;
use crate::ops::ml::post_transform::PostTransform;
use serde::{Deserialize, Serialize};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Deserialize, Serialize)]
pub struct LinearClassifier {
    labels: Labels,
    /// One or two linear functions; the input's number of columns selects one of them. Without
    /// intercepts, for example, 6 coefficients of two classes are either 2 rows of 3 columns or 1
    /// row of 6 columns.
    alternatives: Vec<Linear>,
    post_transform: PostTransform,
}

/// Builds the operator.
pub fn linear_classifier(_: &ParsingContext, node: &NodeProto) -> Built {
    let labels = Labels::parse(node, "classlabels_ints", "classlabels_strings")?;
    let classes = labels.len();
    let coefficients: Vec<f32> = node.get_attr_vec("coefficients")?;
    let intercepts: Vec<f32> = node.get_attr_opt_vec("intercepts")?.unwrap_or_default();
    let post_transform = PostTransform::parse(node)?;
    node.expect(classes >= 2, || format!("labels of at least 2 classes, found {classes} labels"))?;

    let mut alternatives = match intercepts.len() {
        0 if classes == 2 && coefficients.len().is_multiple_of(2) => {
            vec![Linear::new(&coefficients, vec![0.0; 2])?, Linear::new(&coefficients, vec![0.0])?]
        }
        0 if classes == 2 => vec![Linear::new(&coefficients, vec![0.0])?],
        0 => {
            let found = coefficients.len();
            node.expect_attr("coefficients", found >= classes, || {
                format!("at least one for each of {classes} classes, found {found}")
            })?;
            vec![Linear::new(&coefficients, vec![0.0; classes])?]
        }
        found => {
            let matches_classes = found == classes || (found, classes) == (1, 2);
            node.expect_attr("intercepts", matches_classes, || {
                format!("{classes} elements, one for each label, found {found}")
            })?;
            vec![Linear::new(&coefficients, intercepts)?]
        }
    };
    if post_transform == PostTransform::Probit {
        alternatives.retain(|linear| linear.targets() > 1);
        // Two classes with one row of coefficients have a single score. ONNX Runtime does not
        // define the score of the other class for PROBIT.
        let expected = "NONE, SOFTMAX, LOGISTIC or SOFTMAX_ZERO for two classes with one row of \
                        coefficients, found PROBIT";
        node.expect_attr("post_transform", !alternatives.is_empty(), expected)?;
    }
    operator(node, 1, LinearClassifier { labels, alternatives, post_transform })
}

impl LinearClassifier {
    /// Returns the linear function for inputs with `columns` columns. If no function has that number of columns,
    /// returns the first function, and [`Linear::rows`] then rejects the input.
    pub fn linear(&self, columns: &TDim) -> &Linear {
        let matching =
            self.alternatives.iter().find(|linear| *columns == linear.columns().to_dim());
        matching.unwrap_or(&self.alternatives[0])
    }
}

impl Kernel for LinearClassifier {
    const NAME: &'static str = "LinearClassifier";
    const OUTPUTS: usize = 2;

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let (_, columns) = inputs[0].matrix()?;
        let rows = self.linear(&columns).rows(&inputs[0])?;
        let labels = Fact::new(self.labels.datum_type(), [rows.clone()]);
        Ok(tvec!(labels, Fact::new(f32::datum_type(), [rows, self.labels.len().to_dim()])))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let (_, columns) = matrix(&inputs[0]);
        let input = elements::<f32>(&inputs[0])?;
        let linear = self.linear(&columns.to_dim());
        self.finish(linear, linear.apply(input.try_as_plain_ram()?.as_slice::<f32>()?))
    }
}

impl LinearClassifier {
    /// Returns the two outputs, labels and scores. `scores` are the results of `linear` before the
    /// post-transform, `[rows, linear.targets()]`.
    ///
    /// # Errors
    ///
    /// Returns an error if a tensor cannot be created.
    pub fn finish(&self, linear: &Linear, mut scores: Vec<f32>) -> TractResult<Vec<Tensor>> {
        let winners: Vec<usize> = if linear.targets() == 1 {
            let winners = scores.iter().map(|score| usize::from(*score > 0.0)).collect();
            scores = self.post_transform.pairs(&scores);
            winners
        } else {
            let winners = greatest(&scores, linear.targets());
            self.post_transform.apply(&mut scores, linear.targets());
            winners
        };
        let labels = self.labels.tensor(&winners)?;
        Ok(vec![labels, tensor(&[winners.len(), self.labels.len()], scores)?])
    }
}
