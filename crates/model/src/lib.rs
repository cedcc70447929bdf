//! Loads an ONNX file as a [`Model`]. A model has a [`Signature`], and computes output [`Tensors`] from
//! input [`Tensors`].
//!
//! This is a separate crate because two programs need it: the server, and the build script, which rejects a model that
//! cannot be served. The crate contains no wire format. The server uses tract only through this crate.
//!
//! Loading a model:
//!
//! - `graph`, `features`: read the signature from the graph and its metadata.
//! - `axes`: decides which axis of each tensor has an entry for each row.
//! - [`metadata`]: reads the metadata that an exporter can add to a model.
//! - [`external_data`]: reads weights from files in the model's folder or below it.
//! - `constants`, `limits`: reject invalid tensors, attributes and sizes of inputs, which tract does not check.
//! - `source`: decodes a file, and prepares its graph to run.
//! - `plan`: infers the types and shapes of the graph for any batch size.
//! - `probe`: finds shapes with which a graph runs.
//! - `runner`: runs the plan of a graph.
//! - `prepared`: serializes an optimized model. The build embeds the serialized model, and the server
//!   reads it without parsing ONNX.
//! - `model`: loads a model, warms it up and runs it.
//! - `independence`: checks that the rows of a fixed batch do not depend on each other.
//! - `golden`: checks a model against rows whose predictions are known.
//! - `phases`: measures how long each phase of loading takes.
//!
//! Converting a request to tensors, and tensors to a response:
//!
//! - [`value`]: a value as a client wrote it.
//! - `convert`: converts a value to the type of its feature.
//! - `rows`: builds input tensors, row by row, from values.
//! - `tensor`, `tensors`: the inputs and outputs of a model.
//! - `row_outputs`: outputs with the batch axis first, for formats that consist of rows.
//! - `prediction`: the members of a prediction, and the output that each member's value comes from.
//!
//! Describing models to people: [`operators`] lists the supported operators, and `report` summarizes any
//! ONNX file.

mod axes;
mod constants;
mod convert;
mod datatype;
pub mod error;
mod example;
pub mod external_data;
mod features;
mod golden;
mod graph;
mod independence;
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
mod probe;
mod report;
mod row_outputs;
mod rows;
mod runner;
mod scores;
mod signature;
mod source;
mod tensor;
mod tensors;
pub mod value;

pub use datatype::{Datatype, Kind};
pub use error::{LoadError, RunError};
pub use model::Model;
pub use onnx_ml::dynamic::PlanCounts;
/// Readers of serialized operators. The build script lists the readers that the embedded model needs.
pub use onnx_ml::prepared::operators as serialized_operators;
pub use phases::Phases;
pub use prediction::{
    ClassScores, PREDICTION, Prediction, PredictionShape, REQUEST_OUTPUTS, Source,
};
pub use prepared::{Kind as PreparedKind, Prepared};
pub use report::Report;
pub use row_outputs::RowOutputs;
pub use rows::Rows;
pub use signature::{FILL, Feature, Signature, Task, TensorSpec};
pub use tensor::{Data, Elements, Strings, Tensor};
pub use tensors::Tensors;
pub use tract_onnx::prelude::f16;
pub use value::{Mismatch, Value};
