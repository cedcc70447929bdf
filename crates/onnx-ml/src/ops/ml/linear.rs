//! What the linear operators share: `x * coefficients^T + intercepts`.

use crate::kernels::simd::columnwise;
use crate::operator::kernel::Fact;
use crate::ops::ml::vectors::Vectors;
use serde::{Deserialize, Serialize};
use tract_onnx::tract_hir::internal::*;

/// A linear function of the columns for each target.
#[derive(Debug, Deserialize, Serialize)]
pub struct Linear {
    coefficients: Vectors,
    /// One for each target.
    intercepts: Vec<f32>,
}

impl Linear {
    /// Of the row-major matrix of coefficients with a row for each target.
    ///
    /// # Errors
    ///
    /// Where the coefficients do not make such a matrix.
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

    /// The number of rows of an input, as [`Vectors::rows`].
    ///
    /// # Errors
    ///
    /// Where the function does not take the input.
    pub fn rows(&self, input: &Fact) -> TractResult<TDim> {
        self.coefficients.rows(input)
    }

    /// `[rows, targets]`
    pub fn apply(&self, rows: &[f32]) -> Vec<f32> {
        let targets = self.targets();
        let mut scores = vec![0.0; rows.len() / self.columns() * targets];
        self.coefficients.dots(rows, &mut scores);
        columnwise(&scores, &self.intercepts, |score, intercept| score + intercept)
    }

    /// As [`Linear::apply`], of one row that is zero but for some columns.
    pub fn apply_sparse(&self, columns: &[u32], values: &[f32], scores: &mut Vec<f32>) {
        let start = scores.len();
        scores.extend_from_slice(&self.intercepts);
        self.coefficients.sparse_dots(columns, values, &mut scores[start..]);
    }
}
