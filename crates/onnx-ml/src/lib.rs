//! ONNX models of classical machine learning (the `ai.onnx.ml` domain) for tract, and what tract
//! lacks of ONNX's main domain.
//!
//! [`onnx`] is tract's ONNX front end with the operators of this crate, which add to tract's and
//! replace those that answer wrongly; [`functions::inline`] takes a model's own functions,
//! [`zip_map::lower`] and [`maps::lower`] take what tract has no
//! type for out of a model before it is parsed, and [`label_outputs::lower`] the strings that cost
//! time. It knows nothing of any service.
//!
//! An operator is a file: a [`Kernel`](operator::kernel::Kernel), a function that makes one of a node's attributes,
//! and a line in the `register` of its group.

mod encoding;
mod kernels;
mod operator;
mod ops;
mod passes;
pub mod prepared;
mod proto;
#[cfg(test)]
mod random;

pub use operator::invalid_value::{Expected, InvalidValue};
pub use operator::kernel::may_refuse;
pub use passes::{optimize, row_wise};
pub use proto::{categories, functions, label_outputs, maps, zip_map};
use tract_onnx::Onnx;
use tract_onnx::model::OnnxOpRegister;

/// tract's ONNX front end, fit for models as they are exported.
///
/// The shapes that a model notes of its inner values are ignored: they contradict inputs of other
/// sizes than it was exported for, and so they do another name for the size of the batch.
pub fn onnx() -> Onnx {
    let mut onnx = tract_onnx::onnx().with_ignore_value_info(true);
    register(&mut onnx.op_register);
    onnx
}

/// Adds the operators of this crate, in place of tract's of the same name.
pub fn register(operators: &mut OnnxOpRegister) {
    ops::register(operators);
}
