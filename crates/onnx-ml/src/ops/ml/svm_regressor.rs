//! [SVMRegressor](https://onnx.ai/onnx/operators/onnx_aionnxml_SVMRegressor.html): the sum of the intercept `rho` and
//! the weighted similarities of the row with the support vectors. Without support vectors, the result is a linear
//! function of the row. An anomaly detector (`one_class`) returns the sign of the result: 1 or -1.
//!
//! As in ONNX Runtime, `post_transform` has no effect.

use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, matrix, tensor};
use crate::ops::ml::post_transform::PostTransform;
use crate::ops::ml::svm::{BLOCK, Similarity};
use crate::ops::ml::vectors::{Vectors, dot};
use serde::{Deserialize, Serialize};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Deserialize, Serialize)]
pub struct SvmRegressor {
    similarity: Similarity,
    /// The support vectors. A linear function has a single vector: its coefficient for each column.
    vectors: Vectors,
    /// Weight of each vector.
    coefficients: Vec<f32>,
    /// The intercept.
    rho: f32,
    /// `true` for an anomaly detector, which returns 1 for positive values and -1 for others.
    one_class: bool,
}

/// Builds the operator.
pub fn svm_regressor(_: &ParsingContext, node: &NodeProto) -> Built {
    // The result is unused: this call only rejects unknown names.
    PostTransform::parse(node)?;
    let coefficients: Vec<f32> = node.get_attr_vec("coefficients")?;
    let rho: Vec<f32> = node.get_attr_vec("rho")?;
    let support_count: i64 = node.get_attr_opt("n_supports")?.unwrap_or(0);
    let one_class = node.get_attr_opt("one_class")?.unwrap_or(0i64) != 0;
    let similarity = Similarity::parse(node)?;
    node.expect_attr("n_supports", support_count >= 0, || {
        format!("0 or more, found {support_count}")
    })?;
    let &[rho] = &*rho else {
        let found = rho.len();
        return node.bail_attr("rho", &format!("expected 1 element, found {found}"));
    };
    let kernel = if support_count == 0 {
        SvmRegressor {
            similarity: Similarity::Linear,
            vectors: Vectors::new(1, &coefficients).context("coefficients")?,
            coefficients: vec![1.0],
            rho,
            one_class,
        }
    } else {
        let found = coefficients.len();
        node.expect_attr("coefficients", support_count as usize == found, || {
            format!("{support_count} elements, one for each support vector, found {found}")
        })?;
        let elements: Vec<f32> = node.get_attr_vec("support_vectors")?;
        let vectors = Vectors::new(found, &elements).context("support_vectors")?;
        match similarity {
            // A weighted sum of dot products with vectors equals the dot product with the weighted sum of the vectors.
            Similarity::Linear => {
                let sum = weighted_sum(&elements, &coefficients);
                let vectors = Vectors::new(1, &sum).context("support_vectors")?;
                SvmRegressor { similarity, vectors, coefficients: vec![1.0], rho, one_class }
            }
            _ => SvmRegressor { similarity, vectors, coefficients, rho, one_class },
        }
    };
    operator(node, 1, kernel)
}

/// Returns the sum of the vectors, each multiplied by its weight. `vectors` is
/// `[weights.len(), columns]`.
fn weighted_sum(vectors: &[f32], weights: &[f32]) -> Vec<f32> {
    let columns = vectors.len() / weights.len();
    let mut sum = vec![0.0; columns];
    for (vector, weight) in vectors.chunks_exact(columns).zip(weights) {
        for (sum, x) in sum.iter_mut().zip(vector) {
            *sum += f64::from(*weight) * f64::from(*x);
        }
    }
    sum.into_iter().map(|sum| sum as f32).collect()
}

impl Kernel for SvmRegressor {
    const NAME: &'static str = "SVMRegressor";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let rows = self.vectors.rows(&inputs[0])?;
        Ok(tvec!(Fact::new(f32::datum_type(), [rows, 1.to_dim()])))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let (rows, columns) = matrix(&inputs[0]);
        let input = elements::<f32>(&inputs[0])?;
        let input = input.try_as_plain_ram()?;
        let count = self.vectors.count();
        let mut scratch = vec![0.0; rows.min(BLOCK) * count];
        let mut values = Vec::with_capacity(rows);
        for block in input.as_slice::<f32>()?.chunks(BLOCK * columns) {
            let similarities = &mut scratch[..block.len() / columns * count];
            self.similarity.compute(block, &self.vectors, similarities);
            values.extend(similarities.chunks_exact(count).map(|similarities| {
                let value = (dot(similarities, &self.coefficients) + f64::from(self.rho)) as f32;
                if !self.one_class {
                    value
                } else if value > 0.0 {
                    1.0
                } else {
                    -1.0
                }
            }));
        }
        Ok(vec![tensor(&[rows, 1], values)?])
    }
}
