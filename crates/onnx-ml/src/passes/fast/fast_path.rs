//! The interface of the fast paths.

use std::fmt::Debug;
use tract_onnx::prelude::*;

/// A faster way to compute what an operator does.
pub trait FastPath: Debug + Send + Sync + 'static {
    /// The outputs; `None` for inputs of a type or shape that are left to the slow way.
    fn eval(&self, inputs: &[TValue]) -> TractResult<Option<Vec<Tensor>>>;
}
