//! Kernel functions of support vector machines. A kernel function returns the similarity of a row
//! and a support vector.

use crate::kernels::math::{exp, tanh};
use crate::kernels::slices::each;
use crate::ops::ml::vectors::Vectors;
use serde::{Deserialize, Serialize};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// The kernel function of a row `x` and a support vector `y`, from the attributes `kernel_type` and
/// `kernel_params`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
pub enum Similarity {
    /// `dot(x, y)`
    Linear,
    /// `(gamma * dot(x, y) + coef0) ^ degree`
    Poly { gamma: f32, coef0: f32, degree: f32 },
    /// `exp(-gamma * squared_distance(x, y))`
    Rbf { gamma: f32 },
    /// `tanh(gamma * dot(x, y) + coef0)`
    Sigmoid { gamma: f32, coef0: f32 },
}

impl Similarity {
    /// Reads the attributes of `node`. The default function is linear; the default of each
    /// parameter is 0.
    ///
    /// # Errors
    ///
    /// Returns an error if the attributes do not describe a kernel function.
    pub fn parse(node: &NodeProto) -> TractResult<Similarity> {
        let parameters: Vec<f32> = node.get_attr_opt_vec("kernel_params")?.unwrap_or_default();
        let [gamma, coef0, degree] = match *parameters {
            [] => [0.0; 3],
            [gamma, coef0, degree] => [gamma, coef0, degree],
            _ => {
                let found = parameters.len();
                return node.bail_attr(
                    "kernel_params",
                    &format!(
                        "expected 3 elements (gamma, coef0 and degree), found {found} elements"
                    ),
                );
            }
        };
        match node.get_attr_opt("kernel_type")?.unwrap_or("LINEAR") {
            "LINEAR" => Ok(Similarity::Linear),
            "POLY" => Ok(Similarity::Poly { gamma, coef0, degree }),
            "RBF" => Ok(Similarity::Rbf { gamma }),
            "SIGMOID" => Ok(Similarity::Sigmoid { gamma, coef0 }),
            found => node.bail_attr(
                "kernel_type",
                &format!("expected LINEAR, POLY, RBF or SIGMOID, found {found}"),
            ),
        }
    }

    /// Writes the similarity of each row and each vector to `similarities`, as `[rows, vectors]`.
    /// `rows` has the same number of columns as `vectors`.
    pub fn compute(&self, rows: &[f32], vectors: &Vectors, similarities: &mut [f32]) {
        match *self {
            Similarity::Linear => vectors.dots(rows, similarities),
            Similarity::Poly { gamma, coef0, degree } => {
                vectors.dots(rows, similarities);
                let base = move |product| gamma * product + coef0;
                // Integer degrees without the slow `powf`.
                match degree {
                    2.0 => each(similarities, move |product| base(product) * base(product)),
                    3.0 => each(similarities, move |product| {
                        base(product) * base(product) * base(product)
                    }),
                    _ => each(similarities, move |product| base(product).powf(degree)),
                }
            }
            Similarity::Rbf { gamma } => {
                vectors.squared_distances(rows, similarities);
                each(similarities, move |distance| exp(-gamma * distance));
            }
            Similarity::Sigmoid { gamma, coef0 } => {
                vectors.dots(rows, similarities);
                each(similarities, move |product| tanh(gamma * product + coef0));
            }
        }
    }
}

/// Number of rows whose similarities are computed at a time. This number bounds the size of the buffer of similarities,
/// which is `[BLOCK, vectors]`.
pub const BLOCK: usize = 16;
