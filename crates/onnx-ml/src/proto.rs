//! What is read from a model's protobuf, or rewritten in it, before tract parses the model.

pub mod categories;
pub mod functions;
pub mod label_outputs;
pub mod maps;
pub mod zip_map;
