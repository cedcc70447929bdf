//! The interface of the fast paths.

use std::fmt::Debug;
use tract_onnx::prelude::*;

/// A faster implementation of an operator.
pub trait FastPath: Debug + Send + Sync + 'static {
    /// Returns the outputs, or `None` if it does not support the inputs' types or shapes.
    fn eval(&self, inputs: &[TValue]) -> TractResult<Option<Vec<Tensor>>>;
}
