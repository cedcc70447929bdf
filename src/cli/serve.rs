use crate::cli::{ModelArg, settings};
use crate::config::{Config, Flags};
use crate::http::State;
use crate::logging;
use crate::metrics::{self, Process};
use crate::sandbox::Enforced;
use crate::server::{self, Signals};
use actix_web::rt;
use actix_web::web::Data;
use ml_app_model::{Phases, Signature};
use std::net::SocketAddr;
use std::process::ExitCode;

#[derive(Debug, Default, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArg,
    #[command(flatten)]
    flags: Flags,
}

impl Args {
    /// The start's first phase, `process`, ends where the load of the model begins.
    pub fn run(self, mut start: Phases) -> anyhow::Result<ExitCode> {
        let config = match settings(&self.flags) {
            Ok(config) => config,
            Err(code) => return Ok(code),
        };
        logging::start(config.logging.format);
        let source = self.model.open()?;
        let sha256 = source.sha256();
        start.end("process");
        let model = source.load()?;
        start.end_as(model.phases());
        let state = Data::new(State::new(model, sha256, &config));
        actix_web::rt::System::new().block_on(async {
            // Whoever reads the announcement may send one.
            let signals = Signals::new()?;
            let process = Process::open();
            let (server, address, sandbox) = server::bind(&config, state.clone())?;
            rt::spawn(signals.stop(server.handle(), state.clone(), config.drain_delay));
            start.end("bind");
            let ready = metrics::summary(&start);
            state.metrics.started(start, sandbox, process);
            // Once the server has its threads, as none need wait for it.
            rt::spawn(async move {
                announce(&config, state.model.signature(), sandbox, &ready, address);
            });
            server.await?;
            log::info!("stopped");
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn announce(
    config: &Config,
    signature: &Signature,
    sandbox: Enforced,
    ready: &str,
    address: SocketAddr,
) {
    let host = if address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    };
    log::info!("model {} version {}", signature.name, signature.version);
    log::info!("{}", signature.summary());
    log::info!("threads: {}; sandbox: {sandbox}", config.threads);
    if !config.access.keys.is_empty() {
        log::info!("API keys: {}", config.access.keys.len());
    }
    log::info!("{ready}");
    log::info!("listening on http://{address}");
    log::info!("Swagger page: http://{host}/apidocs");
}
