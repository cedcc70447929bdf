//! The interface of what is serialized for an operator.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tract_onnx::prelude::*;

/// An operator's parameters.
pub(super) trait Parameters: DeserializeOwned + Serialize {
    /// `None` for another operator, and for one with parameters that have no form.
    fn of(op: &dyn TypedOp) -> Option<Self>;

    /// # Errors
    ///
    /// Where they are not by [`Parameters::of`] of the same build.
    fn op(self, symbols: &SymbolScope) -> TractResult<Box<dyn TypedOp>>;
}
