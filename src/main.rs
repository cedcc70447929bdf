//! The `ml-app` binary. Its commands are in [`ml_app::cli`].

use actix_web::rt::System;
use actix_web::web::Data;
use ml_app::cli::{self, Command, ServeArgs};
use ml_app::config::environment_warnings;
use ml_app::http::State;
use ml_app::logging;
use ml_app::server::{Server, Signals};
use ml_app_model::Phases;
use musl_mem as _;
use std::process::ExitCode;

/// Replaces musl's allocator. That allocator returns the memory of a batch to the kernel after each batch, and must get
/// memory from the kernel again for the next batch.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let start = Phases::begin();
    let done = match cli::read() {
        Command::Serve(args) => serve(&args, start),
        Command::Tool(tool) => tool.run(),
    };
    done.unwrap_or_else(|error| cli::report(&error))
}

/// Starts the server and returns once it has stopped. `start` measures the phases of the start.
fn serve(args: &ServeArgs, mut start: Phases) -> anyhow::Result<ExitCode> {
    let config = args.config()?;
    logging::start(config.logging.format);
    for warning in environment_warnings() {
        log::warn!("{warning}");
    }
    let source = args.source()?;
    let sha256 = source.sha256();
    start.end("process");
    // Loading a model includes a first prediction and a check of the golden rows.
    let model = source.load()?;
    start.end_as(model.phases());
    let state = Data::new(State::new(model, sha256, &config));
    System::new().block_on(async {
        // The signal handlers must exist before the server announces that it is ready, because a signal may follow at
        // once.
        let signals = Signals::new()?;
        let mut server = Server::bind(config, state)?;
        start.end("bind");
        server.announce(start);
        server.serve_until(signals).await?;
        log::info!("stopped");
        Ok(ExitCode::SUCCESS)
    })
}
