//! The command line: the commands, and how their errors are reported.

mod check;
mod healthcheck;
mod inspect;
mod model_arg;
mod openapi;
mod predict;
mod sbom;
mod serve;
mod signature;

use crate::config::{InvalidSettings, SocketFlags};
use crate::logging::{self, LogFormat};
use clap::{Parser, Subcommand};
use model_arg::ModelArg;
pub use serve::ServeArgs;
use std::process::ExitCode;
use std::{env, io};

/// Exit code for invalid settings (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

/// A trained model, compiled into one binary that serves it over HTTP.
///
/// Without a command, ml-app serves the embedded model on port 5000. The Swagger page is at /apidocs.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

const EXAMPLES: &str = "Examples:
  ml-app                                     serve the embedded model
  ml-app serve --model other.onnx --port 80  try a model before compiling it in
  ml-app check other.onnx                    check whether a model can be served
  ml-app predict visitors.csv > scored.csv   score a file
  MODEL=other.onnx cargo build --release     compile a different model in";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve predictions over HTTP (the default)
    Serve(Box<ServeArgs>),
    #[command(flatten)]
    Tool(Tool),
}

/// The commands other than `serve`. They run to completion, while the server runs until a signal stops it.
#[derive(Debug, Subcommand)]
pub enum Tool {
    /// Score a CSV or NDJSON file and append the predictions to its rows
    Predict(predict::Args),
    /// Show the signature, operators, metadata and SHA-256 of the model
    Inspect(ModelArg),
    /// Check whether a model can be served, and explain why not
    Check(check::Args),
    /// Print the OpenAPI document
    Openapi(ModelArg),
    /// Print the crates and the model in this binary as a CycloneDX document
    Sbom,
    /// Check whether the server on this machine is ready, for images without a shell
    Healthcheck(SocketFlags),
}

/// Returns the command of this process. Ends the process if the command line is invalid.
pub fn read() -> Command {
    // A container usually starts without arguments. Without arguments, the program does not call clap, because clap
    // takes a while to build the grammar of the command line.
    if env::args_os().len() <= 1 {
        return Command::Serve(Box::default());
    }
    let Cli { command, serve } = Cli::parse();
    command.unwrap_or_else(|| Command::Serve(Box::new(serve)))
}

impl Tool {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        logging::start(LogFormat::Text);
        match self {
            Tool::Predict(args) => args.run(),
            Tool::Inspect(model) => inspect::run(&model),
            Tool::Check(args) => args.run(),
            Tool::Openapi(model) => openapi::run(&model),
            Tool::Sbom => sbom::run(),
            Tool::Healthcheck(flags) => healthcheck::run(&flags),
        }
    }
}

/// Prints `error` and returns the exit code for it.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if let Some(InvalidSettings(errors)) = error.downcast_ref() {
        for error in errors {
            eprintln!("error: {error}");
        }
        return ExitCode::from(USAGE);
    }
    // The program that reads the output, such as `head`, has closed the pipe. That is not an error.
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    if kind == Some(io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}
