//! `ml-app`: see [`ml_app::cli`] for the commands.

use clap::Parser;
use ml_app::cli::Cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    let filter = env_logger::Env::default().default_filter_or("info,actix=warn,tract_onnx=error");
    env_logger::Builder::from_env(filter).format_target(false).init();
    Cli::parse().run()
}
