//! Fast paths for operators of tract that are slow, mostly on many short rows, as in classical
//! models.
//!
//! After tract has optimized the model, [`optimize`](super::optimize) wraps each of these operators in a [`FastOp`],
//! which contains tract's operator and a [`FastPath`]. The fast path computes the outputs. If the fast path does not
//! support the types or shapes of the inputs, tract's operator computes the outputs. tract's operator also determines
//! the types and shapes of the outputs.
//!
//! Products and convolutions are not handled here. The other modules of [`passes`](super) replace
//! them before tract optimizes the model.

mod binary;
mod cast;
mod concat;
mod fast_path;
mod iff;
mod max_pool;
mod reduce;
mod resize;
mod softmax;
mod top_k;
mod transpose;

use fast_path::FastPath;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::array::{Topk, TypedConcat};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::cnn::{MaxPool, OptMaxPool};
use tract_onnx::tract_core::ops::logic::Iff;
use tract_onnx::tract_core::ops::nn::resize::Resize;
use tract_onnx::tract_core::ops::nn::{Reduce, Softmax};
use tract_onnx::tract_hir::internal::*;

/// Wraps the operator in a [`FastOp`] if a fast path exists for it, or returns it unchanged.
pub fn with_fast_path(op: Box<dyn TypedOp>) -> Box<dyn TypedOp> {
    match fast_path(op.as_ref()) {
        Some(fast) => Box::new(FastOp { tract_operator: op, fast: fast.into() }),
        None => op,
    }
}

/// Returns tract's operator inside a [`FastOp`], or `None` if `op` is not a `FastOp`.
pub fn tract_operator(op: &dyn TypedOp) -> Option<&dyn TypedOp> {
    Some(op.downcast_ref::<FastOp>()?.tract_operator.as_ref())
}

/// Returns the fast path for an operator of tract, or `None` if it has no fast path.
fn fast_path(op: &dyn TypedOp) -> Option<Box<dyn FastPath>> {
    if let Some(op) = op.downcast_ref::<Reduce>() {
        return Some(Box::new(reduce::FastReduce { axes: op.axes.clone(), reducer: op.reducer }));
    }
    if let Some(op) = op.downcast_ref::<Softmax>() {
        return softmax::fast_path(op);
    }
    if let Some(op) = op.downcast_ref::<TypedBinOp>() {
        return binary::fast_path(op);
    }
    if let Some(op) = op.downcast_ref::<Topk>() {
        return Some(Box::new(top_k::FastTopK { axis: op.axis, largest: op.largest }));
    }
    if let Some(op) = op.downcast_ref::<TypedConcat>() {
        return Some(Box::new(concat::FastConcat { axis: op.axis }));
    }
    if let Some(op) = op.downcast_ref::<Cast>() {
        return Some(Box::new(cast::FastCast { to: op.to }));
    }
    if let Some(op) = op.downcast_ref::<MaxPool>()
        && op.with_index_outputs.is_none()
    {
        return max_pool::fast_path(&op.pool_spec);
    }
    if let Some(op) = op.downcast_ref::<OptMaxPool>()
        && op.with_index_outputs.is_none()
    {
        return max_pool::fast_path(&op.pool_spec);
    }
    if let Some(AxisOp::Move(from, to)) = op.downcast_ref::<AxisOp>() {
        return Some(Box::new(transpose::FastMoveAxis { from: *from, to: *to }));
    }
    if let Some(op) = op.downcast_ref::<Resize>() {
        return Some(resize::fast_path(op));
    }
    if op.is::<Iff>() {
        return Some(Box::new(iff::FastIff));
    }
    None
}

/// An operator of tract with a fast path for the common types and shapes of its inputs.
#[derive(Debug, Clone)]
struct FastOp {
    tract_operator: Box<dyn TypedOp>,
    fast: Arc<dyn FastPath>,
}

impl PartialEq for FastOp {
    fn eq(&self, other: &Self) -> bool {
        self.tract_operator == other.tract_operator
    }
}

impl Eq for FastOp {}

impl Op for FastOp {
    fn name(&self) -> StaticName {
        self.tract_operator.name()
    }

    fn mints_runtime_symbols(&self) -> bool {
        self.tract_operator.mints_runtime_symbols()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        self.tract_operator.info()
    }

    op_as_typed_op!();
}

impl EvalOp for FastOp {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        match self.fast.eval(&inputs)? {
            Some(outputs) => Ok(outputs.into_iter().map(Tensor::into_tvalue).collect()),
            None => self.tract_operator.eval(context, inputs),
        }
    }
}

impl TypedOp for FastOp {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.tract_operator.output_facts(inputs)
    }

    as_op!();
}
