//! A trained model, compiled into one binary that serves it over HTTP.
//!
//! ```text
//! bytes → protocol (decode) → Tensors → executor → Model::run → Tensors → protocol (encode) → bytes
//! ```
//!
//! The modules, from top to bottom:
//!
//! - [`cli`]: the commands, and the arguments of the server.
//! - [`server`]: socket and signals.
//! - [`http`]: routes, limits, status codes, the OpenAPI document and the Swagger page. Its state contains
//!   the `executor` (the thread pool for slow predictions) and the `metrics`.
//! - [`protocol`]: converts wire formats to [`Tensors`](ml_app_model::Tensors), and `Tensors` to wire formats.
//! - [`config`]: the settings. `access` (API keys), `sandbox` and [`logging`] declare the types of their own
//!   settings. `machine` reads the limits of the container, and some defaults are computed from these limits.
//! - [`error`]: the errors that a request can cause.
//! - [`source`]: the embedded model, or an ONNX file.
//! - [`ml_app_model`], a crate: a model, its [`Signature`](ml_app_model::Signature) and its execution. The
//!   build script uses it too.
//!
//! # Invariants
//!
//! - A module imports only modules below it. From top to bottom: `cli` and `server`, `http`, `protocol`,
//!   `ml_app_model`. `cli` and `server` do not import each other.
//! - The code mentions no specific model or feature. Everything is derived from the signature.
//! - A value of type [`Tensors`](ml_app_model::Tensors) agrees with the model's signature. Code that receives such a
//!   value does not check it again.
//! - Request data can cause an [`Error`](error::Error), never a panic.
//! - The socket opens after the model has made a first prediction and reproduced its golden rows.
//!
//! # Visibility
//!
//! An item is public only if `main`, the benches or the fuzz targets use it. The integration tests start the binary.

mod access;
pub mod cli;
pub mod config;
pub mod error;
mod executor;
pub mod http;
mod inferences;
pub mod logging;
mod machine;
mod metrics;
pub mod protocol;
mod sandbox;
pub mod server;
pub mod source;
