//! The interface of operators that this crate computes.
//!
//! A [`Kernel`] derives the [facts](Fact) (type and shape) of its outputs from the facts of its
//! inputs, and computes the outputs. A shape may contain symbols, such as `N` for the size of the
//! batch.

use std::fmt::Debug;
use std::sync::Arc;
use tract_onnx::tract_hir::internal::*;

/// An operator that this crate computes.
pub trait Kernel: Debug + Send + Sync + 'static {
    /// Name of the operator in ONNX.
    const NAME: &'static str;

    /// Maximum number of outputs. A node may omit optional outputs.
    const OUTPUTS: usize = 1;

    /// Indices of the inputs whose [`Fact::value`] the kernel needs to determine the shapes of its outputs. During
    /// tract's inference, [`Kernel::outputs`] is called only if all these inputs are constants of the model. If one of
    /// these inputs is computed at run time, loading the model fails.
    const CONSTANTS: &'static [usize] = &[];

    /// Returns `true` if the shapes of the outputs contain symbols that the kernel created. A kernel creates a symbol
    /// for a size that is known only after [`Kernel::eval`].
    fn mints_symbols(&self) -> bool {
        false
    }

    /// Returns whether [`Kernel::eval`] may fail with an
    /// [`InvalidValue`](super::invalid_value::InvalidValue).
    fn may_reject(&self) -> bool {
        false
    }

    /// Returns the type and the shape of each output for inputs with the given facts.
    ///
    /// # Errors
    ///
    /// Returns an error if the operator does not accept inputs with these facts.
    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>>;

    /// Computes the outputs. [`Kernel::outputs`] has accepted the types and shapes of `inputs`.
    ///
    /// # Errors
    ///
    /// Returns an error if the operator does not accept the values.
    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>>;

    /// Returns a faster variant of the kernel that makes use of constant inputs, or `None` if no
    /// such variant exists. tract calls this method at the end of its optimization.
    ///
    /// # Errors
    ///
    /// Returns an error if the operator does not accept the values.
    fn prepared(&self, _: &[Fact]) -> TractResult<Option<Self>>
    where
        Self: Sized,
    {
        Ok(None)
    }

    /// Adapts a deserialized kernel to this processor. The kernel may have been serialized on a
    /// machine with a different instruction set.
    fn adapt_to_processor(self: Arc<Self>) -> Arc<Self> {
        self
    }

    /// Returns a patch that fuses `node`, whose kernel is `self`, with an adjacent node of `model`.
    ///
    /// # Errors
    ///
    /// Returns an error if the model is invalid.
    fn fuse(self: &Arc<Self>, _model: &TypedModel, _node: &TypedNode) -> Patch {
        Ok(None)
    }
}

/// Type and shape of a tensor, and its value if it is a constant of the model.
#[derive(Debug, Clone)]
pub struct Fact {
    pub datum_type: DatumType,
    /// Dimensions: integers, symbols or expressions of symbols.
    pub shape: TVec<TDim>,
    /// Value of the tensor if it is a constant. `None` if the tensor is computed at run time.
    pub value: Option<Arc<Tensor>>,
}

impl Fact {
    /// Creates the fact of a tensor that is computed at run time.
    pub fn new(datum_type: DatumType, shape: impl IntoIterator<Item = TDim>) -> Fact {
        Fact { datum_type, shape: shape.into_iter().collect(), value: None }
    }

    /// Returns the number of rows and of columns. As `ai.onnx.ml` defines, a tensor of shape `[C]`
    /// is a single row of `C` columns.
    pub fn matrix(&self) -> TractResult<(TDim, TDim)> {
        match self.shape.as_slice() {
            [columns] => Ok((1.to_dim(), columns.clone())),
            [rows, columns] => Ok((rows.clone(), columns.clone())),
            shape => bail!("expected a vector or a matrix, found shape {shape:?}"),
        }
    }

    /// Returns `true` if the elements are numbers (floats, integers or tract's dimensions).
    pub fn is_number(&self) -> bool {
        self.datum_type.is_float() || self.datum_type.is_integer() || self.datum_type.is_tdim()
    }
}

/// A change of a model, or `None` if there is nothing to change.
pub type Patch = TractResult<Option<TypedModelPatch>>;
