//! The linear function `x * transpose(coefficients) + intercepts`, which LinearRegressor and
//! LinearClassifier share.

use crate::kernels::slices::columnwise;
use crate::operator::kernel::Fact;
use crate::ops::ml::vectors::Vectors;
use serde::{Deserialize, Serialize};
use tract_onnx::tract_hir::internal::*;

/// For each target, a linear function of the input's columns. A target is a regression target or a
/// class.
#[derive(Debug, Deserialize, Serialize)]
pub struct Linear {
    /// `[targets, columns]`.
    coefficients: Vectors,
    /// One intercept per target.
    intercepts: Vec<f32>,
}

impl Linear {
    /// Creates the functions from the row-major matrix of coefficients, `[targets, columns]`. The
    /// number of targets is the number of intercepts.
    ///
    /// # Errors
    ///
    /// Returns an error if the number of coefficients is not a positive multiple of the number of
    /// targets.
    pub fn new(coefficients: &[f32], intercepts: Vec<f32>) -> TractResult<Linear> {
        let coefficients = Vectors::new(intercepts.len(), coefficients).context("coefficients")?;
        Ok(Linear { coefficients, intercepts })
    }

    /// Returns the number of targets.
    pub fn targets(&self) -> usize {
        self.intercepts.len()
    }

    /// Returns the number of columns of the input.
    pub fn columns(&self) -> usize {
        self.coefficients.columns()
    }

    /// Checks the input's type and shape, and returns its number of rows.
    ///
    /// # Errors
    ///
    /// Returns an error if the input is not a matrix of numbers with [`Linear::columns`] columns.
    pub fn rows(&self, input: &Fact) -> TractResult<TDim> {
        self.coefficients.rows(input)
    }

    /// Returns the scores of the row-major matrix `rows` as `[rows, targets]`.
    pub fn apply(&self, rows: &[f32]) -> Vec<f32> {
        let targets = self.targets();
        let mut scores = vec![0.0; rows.len() / self.columns() * targets];
        self.coefficients.dots(rows, &mut scores);
        columnwise(&scores, &self.intercepts, |score, intercept| score + intercept)
    }

    /// Appends the scores of one sparse row. The row holds `values` in `columns`, and zero in every
    /// other column.
    pub fn apply_sparse(&self, columns: &[u32], values: &[f32], scores: &mut Vec<f32>) {
        let start = scores.len();
        scores.extend_from_slice(&self.intercepts);
        self.coefficients.sparse_dots(columns, values, &mut scores[start..]);
    }
}
