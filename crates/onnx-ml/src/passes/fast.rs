//! Faster versions of operators that tract computes slowly: operators on many short rows, as in
//! classical models, products with constant weights, and convolutions for any batch size.
//!
//! Products and convolutions are fused with the operators after them before tract optimizes the
//! model. Then [`optimize`](super::optimize) wraps each remaining slow operator in a [`FastPath`].
//! tract's operator inside the wrapper still computes the facts, and evaluates inputs that the fast
//! path does not support (other types, other axes).

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

/// Wraps the operator in its faster version, if it has one.
pub fn around(op: Box<dyn TypedOp>) -> Box<dyn TypedOp> {
    match fast(op.as_ref()) {
        Some(fast) => Box::new(FastOp { slow: op, fast: fast.into() }),
        None => op,
    }
}

/// Returns the wrapped operator, if `op` is a wrapper.
pub fn slow(op: &dyn TypedOp) -> Option<&dyn TypedOp> {
    Some(op.downcast_ref::<FastOp>()?.slow.as_ref())
}

fn fast(op: &dyn TypedOp) -> Option<Box<dyn FastPath>> {
    if let Some(op) = op.downcast_ref::<Reduce>() {
        return Some(Box::new(reduce::FastReduce { axes: op.axes.clone(), reducer: op.reducer }));
    }
    if let Some(op) = op.downcast_ref::<Softmax>() {
        return softmax::fast(op);
    }
    if let Some(op) = op.downcast_ref::<TypedBinOp>() {
        return binary::fast(op);
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
        return max_pool::fast(&op.pool_spec);
    }
    if let Some(op) = op.downcast_ref::<OptMaxPool>()
        && op.with_index_outputs.is_none()
    {
        return max_pool::fast(&op.pool_spec);
    }
    if let Some(AxisOp::Move(from, to)) = op.downcast_ref::<AxisOp>() {
        return Some(Box::new(transpose::FastMove { from: *from, to: *to }));
    }
    if let Some(op) = op.downcast_ref::<Resize>() {
        return Some(resize::fast(op));
    }
    if op.is::<Iff>() {
        return Some(Box::new(iff::FastChoice));
    }
    None
}

#[derive(Debug, Clone)]
struct FastOp {
    slow: Box<dyn TypedOp>,
    fast: Arc<dyn FastPath>,
}

impl PartialEq for FastOp {
    fn eq(&self, other: &Self) -> bool {
        self.slow == other.slow
    }
}

impl Eq for FastOp {}

impl Op for FastOp {
    fn name(&self) -> StaticName {
        self.slow.name()
    }

    fn mints_runtime_symbols(&self) -> bool {
        self.slow.mints_runtime_symbols()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        self.slow.info()
    }

    op_as_typed_op!();
}

impl EvalOp for FastOp {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        match self.fast.eval(&inputs)? {
            Some(outputs) => Ok(outputs.into_iter().map(Tensor::into_tvalue).collect()),
            None => self.slow.eval(context, inputs),
        }
    }
}

impl TypedOp for FastOp {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.slow.output_facts(inputs)
    }

    as_op!();
}
