//! Tests of the whole program: they run the binary with real models, on the command line and as a server.

// A test fails by panicking.
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
mod rejections;
mod requests;
mod routes;
mod server;
