//! The wire formats: bytes to [`Tensors`](ml_app_model::Tensors) that agree with a
//! [`Signature`](ml_app_model::Signature), and back. Knows neither sockets nor status codes.
//!
//! - [`features`]: named features as JSON and NDJSON, and in a query.
//! - [`csv`]: named features as CSV.
//! - [`reader`]: rows and the faults found in them, for both.
//! - [`answer`]: predictions, as all of these write them.

pub mod answer;
pub mod csv;
pub mod features;
pub mod reader;
