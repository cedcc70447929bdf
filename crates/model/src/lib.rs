//! A trained model: the bytes of an ONNX file become a [`Model`] with a [`Signature`], which runs
//! [`Tensors`].
//!
//! This is a crate of its own because two programs need it: the server, and the build script, which
//! rejects a model that cannot be served. It knows no wire format, and no crate above it knows tract.
//!
//! A load goes from bytes to a plan:
//!
//! - `graph`, `features`: the signature, from the graph and its metadata; [`metadata`]: the convention
//!   for what an exporter adds to a graph.
//! - [`external_data`]: weights in files beside the model. `constants`, `limits`: checks of what tract
//!   would trust.
//! - `plan`: the graph typed for any batch size. `prepared`: a model as bytes that need no ONNX, which a
//!   build embeds.
//! - `model`: load, warm up, run. `golden`: rows with predictions that the model must reproduce.
//!   `phases`: the times of a load.
//!
//! A request goes from values to tensors and back:
//!
//! - [`value`]: a value as a client wrote it. `convert`: its conversion to the type of a feature.
//!   `rows`: the tensors made of such values.
//! - `tensor`, `tensors`: the inputs and outputs. `prediction`: which of their values are a prediction,
//!   and under which names.
//!
//! For people: [`operators`] lists the supported operators, and `report` summarizes any ONNX file.

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
/// Readers of serialized operators. A build names those that its model needs.
pub use onnx_ml::prepared::operators as serialized_operators;
pub use phases::Phases;
pub use prediction::{ClassScores, PREDICTION, Prediction, PredictionShape, Source};
pub use prepared::Prepared;
pub use report::Report;
pub use rows::Rows;
pub use signature::{Feature, Signature, Task, TensorSpec};
pub use tensor::{Data, Elements, Strings, Tensor};
pub use tensors::Tensors;
pub use tract_onnx::prelude::f16;
pub use value::{Mismatch, Value};
