//! The errors of loading a model and of running it.

use crate::value::Mismatch;
use std::fmt;

/// The reason why a model cannot be served. The messages are for the person who exported the model.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("not an ONNX model: {0}")]
    NotOnnx(String),
    #[error("tensor `{name}`: {reason}")]
    Tensor { name: String, reason: String },
    #[error("{}", Unsupported::message(.0))]
    Unsupported(Vec<Unsupported>),
    #[error("metadata `{key}`: {reason}")]
    Metadata { key: &'static str, reason: String },
    #[error("input `{name}`: {reason}")]
    Input { name: String, reason: String },
    #[error("output `{name}`: {reason}")]
    Output { name: String, reason: String },
    #[error("node `{name}`: {reason}")]
    Node { name: String, reason: String },
    #[error("the graph cannot be prepared to run: {0}")]
    Plan(String),
    #[error("the model loads, but the first prediction fails: {0}")]
    WarmUp(#[from] RunError),
    #[error("golden row {row}, output `{output}`: {mismatch}")]
    Golden {
        /// Number of the golden row, counted from 1.
        row: usize,
        /// Path of the value that differs, such as `probabilities.1`.
        output: String,
        mismatch: Mismatch,
    },
    #[error("golden row {row}: unknown output `{output}`")]
    UnknownOutput {
        /// Number of the golden row, counted from 1.
        row: usize,
        /// Path of the expected value that the prediction lacks, such as `probabilities.1`.
        output: String,
    },
}

/// An operator that the runtime does not support, and the nodes that use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// `domain.Operator`, or `Operator` if the operator belongs to ONNX's own domain.
    pub operator: String,
    /// Names of the nodes, in the graph's order.
    pub nodes: Vec<String>,
}

impl Unsupported {
    fn message(list: &[Unsupported]) -> String {
        let each: Vec<String> = list.iter().map(Unsupported::to_string).collect();
        format!("unsupported operators: {}", each.join("; "))
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX_NODES: usize = 3;
        let nodes: Vec<String> =
            self.nodes.iter().take(MAX_NODES).map(|node| format!("`{node}`")).collect();
        write!(f, "{} (node {}", self.operator, nodes.join(", "))?;
        match self.nodes.len().saturating_sub(MAX_NODES) {
            0 => f.write_str(")"),
            more => write!(f, " and {more} more)"),
        }
    }
}

/// The reason why a prediction failed. The inputs agree with the signature, so the cause is a value or the model.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RunError {
    /// An operator rejected a value. The field `row` counts rows from 0, and the message counts rows from 1.
    #[error("row {}: {mismatch}", row + 1)]
    Rejected { row: usize, mismatch: Mismatch },
    #[error("{0}")]
    Failed(String),
    #[error("the runtime panicked: {0}")]
    Panicked(String),
    #[error("output `{output}`: {reason}")]
    Output { output: String, reason: String },
}
