//! The linear function `x * coefficients^T + intercepts` that the linear operators share.

use crate::kernels::simd::columnwise;
use crate::operator::kernel::Fact;
use crate::ops::ml::vectors::Vectors;
use serde::{Deserialize, Serialize};
use tract_onnx::tract_hir::internal::*;

/// A linear function of the columns for each target.
#[derive(Debug, Deserialize, Serialize)]
pub struct Linear {
    coefficients: Vectors,
    /// One intercept per target.
    intercepts: Vec<f32>,
}

impl Linear {
    /// Creates the function from the row-major matrix of coefficients, `[targets, columns]`.
    ///
    /// # Errors
    ///
    /// Returns an error if the coefficients do not form such a matrix.
    pub fn new(coefficients: &[f32], intercepts: Vec<f32>) -> TractResult<Linear> {
        let coefficients = Vectors::new(intercepts.len(), coefficients).context("coefficients")?;
        Ok(Linear { coefficients, intercepts })
    }

    pub fn targets(&self) -> usize {
        self.intercepts.len()
    }

    pub fn columns(&self) -> usize {
        self.coefficients.columns()
    }

    /// Returns the number of rows of an input; see [`Vectors::rows`].
    ///
    /// # Errors
    ///
    /// Returns an error if the input's type or shape does not fit.
    pub fn rows(&self, input: &Fact) -> TractResult<TDim> {
        self.coefficients.rows(input)
    }

    /// Returns the results as `[rows, targets]`.
    pub fn apply(&self, rows: &[f32]) -> Vec<f32> {
        let targets = self.targets();
        let mut scores = vec![0.0; rows.len() / self.columns() * targets];
        self.coefficients.dots(rows, &mut scores);
        columnwise(&scores, &self.intercepts, |score, intercept| score + intercept)
    }

    /// Appends the results for one row that is zero except in `columns`.
    pub fn apply_sparse(&self, columns: &[u32], values: &[f32], scores: &mut Vec<f32>) {
        let start = scores.len();
        scores.extend_from_slice(&self.intercepts);
        self.coefficients.sparse_dots(columns, values, &mut scores[start..]);
    }
}
