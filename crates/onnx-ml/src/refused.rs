//! Values that an operator has no answer for, in a tensor that a model was asked with.

use std::fmt;
use tract_onnx::tract_hir::internal::TractError;

/// Why an operator did not run: one element of its input. It is the cause of the run's
/// [`TractError`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedValue {
    /// The row of the operator's input, counted from 0.
    pub row: usize,
    /// How many rows the operator's input has: not as many as the model's inputs where the graph has
    /// made others of them.
    pub rows: usize,
    pub expected: Expected,
    pub found: String,
}

/// What an operator takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// The categories of a `OneHotEncoder` whose `zeros` is 0, in their order.
    OneOf(Vec<String>),
    /// The indices into an axis, which count from its end where they are negative.
    Index { least: i64, most: i64 },
    /// A text that is a number.
    Number,
}

impl RefusedValue {
    /// Of the `index`th element of a tensor.
    pub(crate) fn new(
        shape: &[usize],
        index: usize,
        expected: Expected,
        found: impl Into<String>,
    ) -> RefusedValue {
        let rows = shape.first().copied().unwrap_or(1);
        let per_row = shape.iter().skip(1).product::<usize>();
        RefusedValue { row: index / per_row.max(1), rows, expected, found: found.into() }
    }

    /// The one that a run failed for, if it did for one.
    pub fn cause(error: &TractError) -> Option<&RefusedValue> {
        error.chain().find_map(|error| error.downcast_ref())
    }
}

impl fmt::Display for RefusedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RefusedValue { row, expected, found, .. } = self;
        write!(f, "row {row}: expected {expected}, but found {found:?}")
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expected::OneOf(categories) => write!(f, "one of {categories:?}"),
            Expected::Index { least, most } => write!(f, "an index from {least} to {most}"),
            Expected::Number => f.write_str("a number"),
        }
    }
}

impl std::error::Error for RefusedValue {}
