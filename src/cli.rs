//! The command line.

mod check;
mod healthcheck;
mod inspect;
mod openapi;
mod predict;
mod sbom;
mod serve;

use crate::config::{Flags, SocketFlags};
use crate::logging;
use crate::source::Source;
use clap::{Parser, Subcommand};
use ml_app_model::Phases;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, io};

/// A setting or an argument is wrong (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

/// A trained model, compiled into one binary that answers HTTP.
///
/// Without a command it serves the embedded model on port 5000; the Swagger page is at /apidocs.
#[derive(Debug, Default, Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Args,
}

const EXAMPLES: &str = "Examples:
  ml-app                                     serve the embedded model
  ml-app serve --model other.onnx --port 80  try a model before compiling it in
  ml-app check other.onnx                    can this model be served?
  ml-app predict visitors.csv > scored.csv   score a file
  MODEL=other.onnx cargo build --release     compile another model in";

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer HTTP requests (the default)
    Serve(Box<serve::Args>),
    /// Score a file: CSV or NDJSON in, the same with the prediction appended out
    Predict(predict::Args),
    /// Show the model's signature, operators, metadata and SHA-256
    Inspect(ModelArg),
    /// Tell whether a model can be served, and if not, why
    Check(check::Args),
    /// Print the OpenAPI document
    Openapi(ModelArg),
    /// Print what the binary is made of: its crates and its model, as a CycloneDX document
    Sbom,
    /// Ask a running server whether it is ready; for images without a shell
    Healthcheck(SocketFlags),
}

#[derive(Debug, Clone, Default, clap::Args)]
struct ModelArg {
    /// Use this ONNX file instead of the embedded model
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
}

impl ModelArg {
    fn open(&self) -> anyhow::Result<Source> {
        self.model.as_deref().map_or(Ok(Source::Embedded), Source::open)
    }
}

impl Cli {
    /// The command line of this process, which ends where it is wrong. Without arguments, as in a
    /// container, a start is not kept waiting by their grammar.
    pub fn read() -> Cli {
        match env::args_os().len() {
            0 | 1 => Cli::default(),
            _ => Cli::parse(),
        }
    }

    /// Does what the command line says; `start` began with the process.
    pub fn run(self, start: Phases) -> ExitCode {
        // A server logs as its settings say.
        if !matches!(self.command, None | Some(Command::Serve(_))) {
            logging::start(logging::Format::Text);
        }
        let done = match self.command {
            None => self.serve.run(start),
            Some(Command::Serve(args)) => args.run(start),
            Some(Command::Predict(args)) => args.run(),
            Some(Command::Inspect(model)) => inspect::run(&model),
            Some(Command::Check(args)) => args.run(),
            Some(Command::Openapi(model)) => openapi::run(&model),
            Some(Command::Sbom) => sbom::run(),
            Some(Command::Healthcheck(socket)) => healthcheck::run(socket),
        };
        done.unwrap_or_else(|error| {
            // Whoever read the output has had enough, as `head` does.
            let cause = error.downcast_ref::<io::Error>().map(io::Error::kind);
            if cause == Some(io::ErrorKind::BrokenPipe) {
                return ExitCode::SUCCESS;
            }
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        })
    }
}

/// Settings, or every mistake in them on standard error.
fn settings(flags: &Flags) -> Result<crate::config::Config, ExitCode> {
    crate::config::Config::load(flags, |name| env::var(name).ok()).map_err(|mistakes| {
        for mistake in mistakes {
            eprintln!("error: {mistake}");
        }
        ExitCode::from(USAGE)
    })
}
