//! Rewrites the protobuf of a model before tract parses it: removes what tract does not support,
//! and finds example values for the inputs.

pub mod categories;
pub mod element_types;
pub mod functions;
pub mod label_outputs;
pub mod maps;
pub mod mat_mul_n_bits;
pub mod microsoft;
pub mod qdq;
pub mod zip_map;
