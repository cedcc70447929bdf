//! Through the socket and the command line: the real binary, real models, a real client.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used)]

mod access;
mod case;
mod commands;
mod document;
mod drain;
mod errors;
mod golden;
mod golden_rows;
mod limits;
mod logging;
mod metrics;
mod protocols;
mod questions;
mod requests;
mod server;
