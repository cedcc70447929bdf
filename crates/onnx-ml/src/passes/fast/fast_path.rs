//! The interface of fast paths.

use std::fmt::Debug;
use tract_onnx::prelude::*;

/// A faster implementation of an operator of tract.
pub trait FastPath: Debug + Send + Sync + 'static {
    /// Returns the outputs, or `None` if the fast path does not support the types or shapes of the
    /// inputs. In that case tract's operator computes the outputs.
    ///
    /// # Errors
    ///
    /// Returns an error if the inputs are invalid.
    fn eval(&self, inputs: &[TValue]) -> TractResult<Option<Vec<Tensor>>>;
}
