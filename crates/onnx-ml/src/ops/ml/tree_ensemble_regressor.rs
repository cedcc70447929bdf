//! [TreeEnsembleRegressor](https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleRegressor.html):
//! for each target, an aggregate of the weights of the leaves that a row reaches.

use crate::kernels::trees::{Aggregate, Number, Scores};
use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{matrix, tensor};
use crate::ops::ml::post_transform::PostTransform;
use crate::ops::ml::tree_attributes::{Computed, Ensemble, numbers};
use serde::{Deserialize, Serialize};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Deserialize, Serialize)]
pub struct TreeEnsembleRegressor {
    ensemble: Ensemble,
    /// Number of targets.
    targets: usize,
    /// One base value per target, or an empty list.
    base_values: Vec<f64>,
    aggregate: Aggregate,
    post_transform: PostTransform,
}

/// Builds the operator.
pub fn tree_ensemble_regressor(context: &ParsingContext, node: &NodeProto) -> Built {
    let targets: usize = node.get_attr_opt("n_targets")?.unwrap_or(1);
    let ensemble = Ensemble::parse(context, node, "target", targets)?;
    let base_values = numbers::<f64>(context, node, "base_values")?;
    let found = base_values.len();
    node.expect_attr("base_values", found == 0 || found == targets, || {
        format!("none or {targets} elements, found {found}")
    })?;
    let aggregate = Aggregate::parse(node.get_attr_opt("aggregate_function")?.unwrap_or("SUM"))?;
    let post_transform = PostTransform::parse(node)?;
    operator(
        node,
        1,
        TreeEnsembleRegressor { ensemble, targets, base_values, aggregate, post_transform },
    )
}

impl Kernel for TreeEnsembleRegressor {
    const NAME: &'static str = "TreeEnsembleRegressor";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        ensure!(inputs[0].is_number(), "expected numbers, found {:?}", inputs[0].datum_type);
        let (rows, columns) = inputs[0].matrix()?;
        if let Ok(columns) = columns.to_usize() {
            self.ensemble.expect_columns(columns)?;
        }
        Ok(tvec!(Fact::new(f32::datum_type(), [rows, self.targets.to_dim()])))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let shape = matrix(&inputs[0]);
        let scores = match self.ensemble.scores(&inputs[0], shape, self.aggregate)? {
            Computed::Single(scores) => self.finish(scores),
            Computed::Double(scores) => self.finish(scores),
        };
        Ok(vec![tensor(&[shape.0, self.targets], scores)?])
    }
}

impl TreeEnsembleRegressor {
    /// Adds the base values to the aggregated weights and transforms the sums. Returns
    /// `[rows, targets]`.
    fn finish<T: Number>(&self, scores: Scores<T>) -> Vec<f32> {
        let Scores { mut scores, has_weight: has_leaf } = scores;
        if !self.base_values.is_empty() {
            let base_values: Vec<T> = self.base_values.iter().map(|v| T::from_f64(*v)).collect();
            for row in scores.chunks_mut(self.targets) {
                for (score, base_value) in row.iter_mut().zip(&base_values) {
                    *score += *base_value;
                }
            }
        }
        let mut scores: Vec<f32> = scores.into_iter().map(T::to_f32).collect();
        // If no leaf contributes to a score, ONNX Runtime returns 0 without the base value, unless
        // there is a single target.
        if self.targets > 1 {
            for (score, _) in scores.iter_mut().zip(has_leaf).filter(|(_, has_leaf)| !has_leaf) {
                *score = 0.0;
            }
        }
        // If there is a single target, ONNX Runtime applies no transformation except PROBIT.
        if self.targets > 1 || self.post_transform == PostTransform::Probit {
            self.post_transform.apply(&mut scores, self.targets);
        }
        scores
    }
}
