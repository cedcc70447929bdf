//! Runs ONNX models with tract. The crate adds the operators of the domain `ai.onnx.ml` (classical machine learning),
//! operators of ONNX Runtime's domain `com.microsoft`, and operators of ONNX's main domain that tract lacks or supports
//! only in part. The crate does not depend on HTTP or on any server.
//!
//! [`onnx`] is tract's ONNX front end with the operators of this crate. A model passes through the
//! crate in these steps:
//!
//! 1. The protobuf is rewritten. [`functions::inline`] replaces calls of functions that the model
//!    defines. [`lower_operators`] replaces operators and element types that tract lacks.
//!    [`zip_map::lower`], [`maps::lower`], [`sequence_outputs::lower`] and [`label_outputs::lower`]
//!    replace values whose types tract lacks, and values that are slow to compute.
//! 2. tract parses the rewritten protobuf with [`onnx`], and infers types and shapes.
//! 3. [`optimize`] fuses operators and adds fast paths. The result can run.
//! 4. [`prepared`] serializes the optimized model at build time and reads it when the server
//!    starts.
//!
//! # Layers
//!
//! A module imports only modules above it in this table. No two files import each other, directly
//! or indirectly.
//!
//! | Module | Contents |
//! |---|---|
//! | `encoding` | Serialization of fields and weights; imports no other module of the crate |
//! | `kernels` | Numeric loops over slices, independent of ONNX: SIMD, trees, convolution |
//! | `operator` | The interfaces that operators implement (`Kernel`, `Lowering`), access to tract's operators, [`InvalidValue`] |
//! | `proto` | Rewrites of the protobuf; imports no other module of the crate |
//! | `passes` | Rewrites of typed models: fusions, and fast paths around tract's operators |
//! | `ops` | The operators, in one folder for each kind |
//! | [`dynamic`] | Plans for graphs whose shapes are known at run time only |
//! | [`prepared`] | Readers and writers of optimized models |
//!
//! # Adding an operator
//!
//! Each operator is one file in a folder of `ops`. A folder contains a group of operators. The file of an operator has
//! a function that builds the operator from a node, and a type that implements one of two traits. The trait is `Kernel`
//! if this crate computes the outputs, and `Lowering` if a combination of tract's operators computes the outputs. The
//! file of the group, for example `ops/tensor.rs`, registers the operator's name. Code that several operators of a
//! group share is in a separate file of the folder. To be serializable, a kernel also needs an entry in
//! `prepared/operators.rs`.

pub mod dynamic;
mod encoding;
mod kernels;
mod operator;
mod ops;
mod passes;
pub mod prepared;
mod proto;
#[cfg(test)]
mod random;

pub use operator::adapter::may_reject;
pub use operator::invalid_value::{Expected, InvalidValue};
pub use passes::{optimize, row_wise};
pub use proto::{
    categories, element_types, functions, label_outputs, lower_operators, maps, microsoft,
    sequence_outputs, zip_map,
};
use tract_onnx::Onnx;

/// Returns tract's ONNX front end with the operators of this crate.
///
/// The front end ignores the shapes that a model declares for intermediate values. The declared shapes are wrong if the
/// inputs have different sizes than at export, or if the caller gives the batch axis a different symbol.
pub fn onnx() -> Onnx {
    let mut onnx = tract_onnx::onnx().with_ignore_value_info(true);
    ops::register(&mut onnx.op_register);
    onnx
}
