//! A trained model: ONNX bytes in, a [`Model`] with its [`Signature`] out, which turns [`Tensors`]
//! into tensors.
//!
//! It is a crate of its own because two programs need it: the server, and the build script, which
//! refuses a model that could not be served. It knows no wire format and no socket, and nothing
//! outside of it knows tract.
//!
//! - [`signature`]: inputs and outputs, features, classes: from the graph and its metadata.
//! - [`metadata`]: the convention by which an exporter writes what a graph cannot say.
//! - [`value`], [`rows`]: what a client wrote, taking the form that the signature asks for.
//! - [`tensors`]: what goes into the model and comes out.
//! - [`model`]: load, warm up, run.
//! - [`prediction`]: the names of a prediction's values, and where in the outputs they are.
//! - `golden`: rows whose answers the exporter told.
//! - [`phases`]: what a load spends its time on.
//! - [`external_data`]: a model whose weights are in files beside it, in one piece.
//! - [`operators`]: those that models may have.
//! - `prepared`: a model as bytes that need no ONNX, for a build to embed.
//! - [`report`]: what an ONNX file holds, for people; needs no model that can run.

mod constants;
mod convert;
mod datatype;
pub mod error;
mod example;
pub mod external_data;
mod features;
mod golden;
mod graph;
mod json_text;
mod limits;
pub mod metadata;
mod model;
pub mod operators;
mod panics;
mod phases;
mod plan;
mod prediction;
mod prepared;
mod report;
mod rows;
mod scores;
mod signature;
mod tensor;
mod tensors;
pub mod value;

pub use datatype::{Datatype, Kind};
pub use error::{LoadError, RunError};
pub use model::Model;
pub use onnx_ml::prepared::operators as forms;
pub use phases::Phases;
pub use prediction::{Content, PredictionShape, Source};
pub use prepared::Prepared;
pub use report::Report;
pub use rows::Rows;
pub use signature::{Feature, Signature, Task, TensorSpec};
pub use tensor::{Data, Elements, Strings, Tensor};
pub use tensors::Tensors;
pub use tract_onnx::prelude::f16;
pub use value::{Mismatch, Value};
