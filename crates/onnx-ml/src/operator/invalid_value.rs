//! Values in a request that an operator cannot process.

use std::fmt;
use tract_onnx::prelude::*;

/// The element of an operator's input that made a run fail. It is the cause of the run's
/// [`TractError`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidValue {
    pub expected: Expected,
    pub found: String,
}

/// Values that the operator accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// The categories of a `OneHotEncoder` whose `zeros` is 0, in their order.
    OneOf(Vec<String>),
    /// Indices into an axis; negative ones count from its end.
    Index { least: i64, most: i64 },
    /// Text that is an integer.
    Integer,
    /// Text that is a number.
    Number,
}

impl InvalidValue {
    /// Returns the invalid value that made a run fail, if that was the reason.
    pub fn cause(error: &TractError) -> Option<&InvalidValue> {
        error.chain().find_map(|error| error.downcast_ref())
    }
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found `{:.60}`", self.expected, self.found)
    }
}

/// Maximum number of categories that an error lists.
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
