//! The serializable parameters of an operator.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tract_onnx::prelude::*;

/// The parameters of an operator, from which the operator can be created again.
pub(super) trait Parameters: DeserializeOwned + Serialize {
    /// Returns the parameters of `op`, or `None` if `op` is a different operator or if its
    /// parameters cannot be serialized.
    fn from_op(op: &dyn TypedOp) -> Option<Self>;

    /// Creates the operator. `symbols` are the symbols of the model.
    ///
    /// # Errors
    ///
    /// Returns an error if the parameters were written by a different build.
    fn into_op(self, symbols: &SymbolScope) -> TractResult<Box<dyn TypedOp>>;
}
