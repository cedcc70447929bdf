//! Reads and rewrites a model's protobuf before tract parses the model.

pub mod categories;
pub mod functions;
pub mod label_outputs;
pub mod maps;
pub mod zip_map;
