//! Values in a request that an operator cannot process.

use crate::operator::kernel::kernel;
use crate::ops::ml::columns::OfColumns;
use crate::ops::ml::one_hot_encoder::OneHotEncoder;
use crate::ops::tensor::gather_scatter::Positions;
use crate::ops::text::string_cast::StringCast;
use std::fmt;
use tract_onnx::prelude::*;

/// The element of an operator's input that made a run fail. It is the cause of the run's
/// [`TractError`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedValue {
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

impl RefusedValue {
    /// Returns the rejected value that made a run fail, if that was the reason.
    pub fn cause(error: &TractError) -> Option<&RefusedValue> {
        error.chain().find_map(|error| error.downcast_ref())
    }
}

/// Returns `true` if a run of the model may fail with a [`RefusedValue`]. Nodes in subgraphs are
/// not considered.
pub fn may_refuse(model: &TypedModel) -> bool {
    model.nodes.iter().any(|node| {
        kernel::<Positions>(node).is_some()
            || kernel::<OneHotEncoder>(node).is_some()
            || kernel::<OfColumns<OneHotEncoder>>(node).is_some()
            || node.op_is::<StringCast>()
    })
}

impl fmt::Display for RefusedValue {
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

impl std::error::Error for RefusedValue {}
