//! A trained model, compiled into one binary that answers HTTP.
//!
//! ```text
//! bytes → http::predict → protocol (decode) → Tensors → Model::run → Tensors → protocol (encode) → bytes
//! ```
//!
//! - [`ml_app_model`], a crate of its own: a model's [`Signature`](ml_app_model::Signature) and
//!   its execution. The build script uses it too.
//! - [`protocol`]: wire formats to and from [`Tensors`](ml_app_model::Tensors).
//! - [`http`]: routes, limits, status codes, the OpenAPI document, the Swagger page.
//! - [`server`]: bind, signals.
//! - [`executor`]: threads and a queue for what takes long.
//! - [`inferences`]: what has been inferred so far.
//! - [`metrics`], [`logging`]: what the process tells of itself.
//! - [`access`], [`sandbox`]: who may ask, and what the process gives up.
//! - [`config`], [`cli`]: settings and commands; [`machine`] is what some defaults follow.
//! - [`source`]: where the model comes from.
//!
//! # Invariants
//!
//! - Imports go one way: `cli` → `server` → `http` → `protocol` → `ml_app_model`.
//! - No model's or feature's name stands in the code: everything follows from the signature.
//! - A value of type [`Tensors`](ml_app_model::Tensors) agrees with its signature; nothing below
//!   checks again.
//! - Request data can cause an [`Error`](error::Error), never a panic.
//! - The socket opens after the model has answered, and has reproduced its golden rows if it has any.

pub mod access;
pub mod cli;
pub mod config;
pub mod error;
pub mod executor;
pub mod http;
pub mod inferences;
pub mod logging;
pub mod machine;
pub mod metrics;
pub mod protocol;
pub mod sandbox;
pub mod server;
pub mod source;
