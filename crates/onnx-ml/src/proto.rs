//! Rewrites the protobuf of a model before tract parses it: removes what tract does not support,
//! and finds example values for the inputs.

pub mod categories;
pub mod functions;
pub mod label_outputs;
pub mod maps;
pub mod microsoft;
pub mod qdq;
pub mod zip_map;
