//! Values that an operator has no answer for, in a tensor that a model was asked with.

use crate::operator::kernel::kernel;
use crate::ops::ml::columns::OfColumns;
use crate::ops::ml::one_hot_encoder::OneHotEncoder;
use crate::ops::tensor::gather_scatter::Positions;
use crate::ops::text::string_cast::StringCast;
use std::fmt;
use tract_onnx::prelude::*;

/// Why an operator did not run: one element of its input. It is the cause of the run's
/// [`TractError`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedValue {
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
    /// A text that is an integer.
    Integer,
    /// A text that is a number.
    Number,
}

impl RefusedValue {
    /// The one that a run failed for, if it did for one.
    pub fn cause(error: &TractError) -> Option<&RefusedValue> {
        error.chain().find_map(|error| error.downcast_ref())
    }
}

/// Whether a run of the model may end with a [`RefusedValue`], as far as nodes outside its inner graphs
/// go.
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

/// Categories that an error lists.
const NAMED: usize = 10;

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expected::OneOf(categories) => {
                let more = if categories.len() > NAMED { " and more" } else { "" };
                write!(f, "one of {:?}{more}", &categories[..categories.len().min(NAMED)])
            }
            Expected::Index { least, most } => write!(f, "an index from {least} to {most}"),
            Expected::Integer => f.write_str("an integer"),
            Expected::Number => f.write_str("a number"),
        }
    }
}

impl std::error::Error for RefusedValue {}
