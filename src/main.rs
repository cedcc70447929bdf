//! `ml-app`: see [`ml_app::cli`] for the commands.

use clap::Parser;
use ml_app::cli::Cli;
use ml_app_model::Phases;
use musl_mem as _;
use std::process::ExitCode;

/// A malformed request is the client's fault, and tract warns of every newer opset.
const FILTER: &str = "info,actix=warn,actix_http=off,tract_onnx=error";

/// The system's gives the memory of a batch's tensors back after each request, and faults it in anew
/// for the next one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let start = Phases::begin();
    let filter = env_logger::Env::default().default_filter_or(FILTER);
    env_logger::Builder::from_env(filter).format_target(false).init();
    Cli::parse().run(start)
}
