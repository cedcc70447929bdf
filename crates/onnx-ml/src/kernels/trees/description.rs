//! The input and the output of [`Forest`](super::Forest): an ensemble as the model describes it,
//! and scores.

use serde::{Deserialize, Serialize};
use tract_onnx::tract_hir::internal::*;

/// The comparison of a branch: `feature <mode> threshold`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Leq,
    Lt,
    Gte,
    Gt,
    Eq,
    Neq,
}

/// A node with two children, as the model describes it.
#[derive(Debug, Clone)]
pub struct Branch<T> {
    /// Column of the input that is compared.
    pub feature: usize,
    pub mode: Mode,
    pub threshold: T,
    /// `true` if a feature that is NaN satisfies the comparison.
    pub missing_true: bool,
    /// The child if the comparison is true, and the child if it is false.
    pub children: [Child; 2],
}

/// A child of a branch: an index in [`Description::branches`] or in [`Description::leaves`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Child {
    Branch(usize),
    Leaf(usize),
}

/// An ensemble, as the model describes it.
#[derive(Debug)]
pub struct Description<T> {
    pub branches: Vec<Branch<T>>,
    /// For each leaf, pairs of a target and the weight for that target.
    pub leaves: Vec<Vec<(usize, T)>>,
    /// The root of each tree.
    pub roots: Vec<Child>,
    /// Number of targets (scores for each row).
    pub targets: usize,
}

/// How the weights of all trees for a target are combined to a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

impl Aggregate {
    /// Parses the attribute `aggregate_function`.
    ///
    /// # Errors
    ///
    /// Returns an error if `name` is not a value of the attribute.
    pub fn parse(name: &str) -> TractResult<Aggregate> {
        Ok(match name {
            "SUM" => Aggregate::Sum,
            "AVERAGE" => Aggregate::Average,
            "MIN" => Aggregate::Min,
            "MAX" => Aggregate::Max,
            _ => bail!("expected SUM, AVERAGE, MIN or MAX, found `{name}`"),
        })
    }
}

/// The scores of all rows, in row-major order (rows × targets).
#[derive(Debug)]
pub struct Scores<T> {
    pub scores: Vec<T>,
    /// For each score, `true` if at least one reached leaf has a weight for the target.
    pub has_weight: Vec<bool>,
}
