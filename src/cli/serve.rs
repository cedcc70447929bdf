use crate::cli::{ModelArg, settings};
use crate::config::Flags;
use crate::http::State;
use crate::metrics::{self, Metrics};
use crate::server;
use ml_app_model::{Phases, Signature};
use paperclip::actix::web::Data;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::task::Poll;

#[derive(Debug, clap::Args)]
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
        let source = self.model.open()?;
        let metrics = Metrics::new(source.sha256());
        start.end("process");
        let model = source.load()?;
        start.end_as(model.phases());
        let state = Data::new(State::new(model, config.limits, config.vertex.clone(), metrics));
        actix_web::rt::System::new().block_on(async {
            let (server, address) = server::bind(&config, state.clone())?;
            let mut server = pin!(server);
            // Polled once, it handles signals; whoever reads the announcement may send one.
            let stopped = poll_fn(|context| Poll::Ready(server.as_mut().poll(context))).await;
            if stopped.is_pending() {
                start.end("bind");
                let ready = metrics::summary(&start);
                state.metrics.started(start);
                announce(state.model.signature(), &ready, address);
                server.await?;
            }
            log::info!("stopped");
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn announce(signature: &Signature, ready: &str, address: SocketAddr) {
    let host = if address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    };
    log::info!("model {} version {}", signature.name, signature.version);
    log::info!("{}", signature.summary());
    log::info!("{ready}");
    log::info!("listening on http://{address}");
    log::info!("Swagger page: http://{host}/apidocs");
}
