//! The parts of an ensemble as a model describes them, and its scores.

use serde::{Deserialize, Serialize};
use tract_onnx::tract_hir::internal::*;

/// How a branch compares a feature with its threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Leq,
    Lt,
    Gte,
    Gt,
    Eq,
    Neq,
}

/// An inner node, as a model describes it.
#[derive(Debug, Clone)]
pub struct Branch<T> {
    pub feature: usize,
    pub mode: Mode,
    pub threshold: T,
    /// Whether NaN takes the way of a comparison that holds.
    pub missing_true: bool,
    /// Where to go if the comparison holds, and if it does not.
    pub children: [Child; 2],
}

/// Index of a branch or of a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Child {
    Branch(usize),
    Leaf(usize),
}

/// An ensemble, as a model describes it.
#[derive(Debug)]
pub struct Description<T> {
    pub branches: Vec<Branch<T>>,
    /// Target and weight, as many as a leaf has.
    pub leaves: Vec<Vec<(usize, T)>>,
    pub roots: Vec<Child>,
    pub targets: usize,
}

/// How the trees' weights for a target become its score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

impl Aggregate {
    /// # Errors
    ///
    /// Where `name` is none of `aggregate_function`'s values.
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

/// A score per row and target, and whether any leaf gave one.
#[derive(Debug)]
pub struct Scores<T> {
    pub scores: Vec<T>,
    pub given: Vec<bool>,
}
