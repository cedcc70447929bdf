//! The parts of an ensemble as a model describes them, and its scores.

use serde::{Deserialize, Serialize};
use tract_onnx::tract_hir::internal::*;

/// Comparison of a feature with a branch's threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Leq,
    Lt,
    Gte,
    Gt,
    Eq,
    Neq,
}

/// An inner node, as the model describes it.
#[derive(Debug, Clone)]
pub struct Branch<T> {
    pub feature: usize,
    pub mode: Mode,
    pub threshold: T,
    /// NaN follows the branch of a comparison that holds.
    pub missing_true: bool,
    /// Children for a comparison that holds, and for one that does not.
    pub children: [Child; 2],
}

/// Index of a branch or of a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Child {
    Branch(usize),
    Leaf(usize),
}

/// An ensemble, as the model describes it.
#[derive(Debug)]
pub struct Description<T> {
    pub branches: Vec<Branch<T>>,
    /// Targets and weights of each leaf.
    pub leaves: Vec<Vec<(usize, T)>>,
    pub roots: Vec<Child>,
    pub targets: usize,
}

/// Aggregation of the trees' weights for a target.
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
    /// Returns an error if `name` is not one of its values.
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

/// A score per row and target, and a flag that is set if any leaf contributed to it.
#[derive(Debug)]
pub struct Scores<T> {
    pub scores: Vec<T>,
    pub given: Vec<bool>,
}
