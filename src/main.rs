//! `ml-app`: see [`ml_app::cli`] for the commands.

use ml_app::cli::Cli;
use ml_app_model::Phases;
use musl_mem as _;
use std::process::ExitCode;

/// The system's gives the memory of a batch's tensors back after each request, and faults it in anew
/// for the next one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let start = Phases::begin();
    Cli::read().run(start)
}
