//! The interface of what is serialized for an operator.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tract_onnx::prelude::*;

/// An operator's parameters.
pub(super) trait Parameters: DeserializeOwned + Serialize {
    /// Returns the parameters, or `None` for another operator or parameters that are not
    /// serializable.
    fn of(op: &dyn TypedOp) -> Option<Self>;

    /// Creates the operator.
    ///
    /// # Errors
    ///
    /// Returns an error if the parameters are not from [`Parameters::of`] of the same build.
    fn op(self, symbols: &SymbolScope) -> TractResult<Box<dyn TypedOp>>;
}
