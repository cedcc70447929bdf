//! The error for a value in a request that an operator cannot process.

use std::fmt;
use tract_onnx::prelude::*;

/// An element of an operator's input that made a run of the model fail. The run returns a [`TractError`], and
/// [`InvalidValue::cause`] finds the invalid value in this error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidValue {
    /// The values that the operator accepts.
    pub expected: Expected,
    /// The invalid value as a string.
    pub found: String,
}

/// Values that the operator accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// One of these categories of a `OneHotEncoder` whose attribute `zeros` is 0. The categories have the order of the
    /// model.
    OneOf(Vec<String>),
    /// An index into an axis, from `least` to `most` (inclusive). A negative index counts from the
    /// end of the axis.
    Index { least: i64, most: i64 },
    /// A string that is an integer.
    Integer,
    /// A string that is a number.
    Number,
}

impl InvalidValue {
    /// Returns the invalid value that caused `error`, or `None` if `error` has a different cause.
    pub fn cause(error: &TractError) -> Option<&InvalidValue> {
        error.chain().find_map(|error| error.downcast_ref())
    }
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found `{:.60}`", self.expected, self.found)
    }
}

/// Maximum number of categories that a message lists.
const MAX_LISTED: usize = 10;

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expected::OneOf(categories) => {
                let more = if categories.len() > MAX_LISTED { " and more" } else { "" };
                write!(f, "one of {:?}{more}", &categories[..categories.len().min(MAX_LISTED)])
            }
            Expected::Index { least, most } => write!(f, "an index from {least} to {most}"),
            Expected::Integer => f.write_str("an integer"),
            Expected::Number => f.write_str("a number"),
        }
    }
}

impl std::error::Error for InvalidValue {}
