//! ONNX models of classical machine learning for tract: the operators of `ai.onnx.ml`, and what tract
//! lacks of ONNX's main domain. The crate knows nothing of any service.
//!
//! [`onnx`] is tract's ONNX front end with the operators of this crate. A model passes through it in
//! this order:
//!
//! 1. The protobuf is rewritten: [`functions::inline`] replaces calls of the model's own functions;
//!    [`zip_map::lower`], [`maps::lower`] and [`label_outputs::lower`] remove types that tract lacks
//!    or that cost time.
//! 2. tract parses the rewritten protobuf with [`onnx`], and determines types and shapes.
//! 3. [`optimize`] fuses operators and adds fast paths. The result can be run.
//! 4. [`prepared`] serializes the optimized model at build time and reads it at start.
//!
//! # Layers
//!
//! A module imports only modules above it in this table. No two files import each other, directly or
//! indirectly.
//!
//! | Module | Contents |
//! |---|---|
//! | `encoding` | Serialized fields and weights; imports nothing of the crate |
//! | `kernels` | Dense computations on slices of numbers, without ONNX: SIMD, trees, convolution |
//! | `operator` | The interface of operators: `Kernel`, `Lowering`, tract's own operators, [`InvalidValue`] |
//! | `proto` | Rewrites of the protobuf; imports nothing of the crate |
//! | `passes` | Rewrites of typed models: fusions, and fast paths around tract's operators |
//! | `ops` | The operators, in one folder for each kind |
//! | [`prepared`] | Readers and writers of optimized models |
//!
//! # Adding an operator
//!
//! An operator is one file in the folder of `ops` for its kind. It has a function that builds the
//! operator from a node, and implements one of two traits: `Kernel` if the crate computes the
//! outputs itself, `Lowering` if other operators of tract compute them. Its name is registered in
//! `register` of its group, for example `ops/tensor.rs`. Code that several operators share is a
//! file beside them; the file of the group itself only registers. A kernel that can remain in an
//! optimized model also needs a line in `prepared/operators.rs`.

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

/// Returns tract's ONNX front end with the operators of this crate.
///
/// It ignores the shapes that a model declares for its inner values. They contradict inputs of other
/// sizes than the model was exported for, and a different name for the batch dimension.
pub fn onnx() -> Onnx {
    let mut onnx = tract_onnx::onnx().with_ignore_value_info(true);
    ops::register(&mut onnx.op_register);
    onnx
}
