//! The server process: binds the socket, logs the start, serves requests, and stops on a signal.

use crate::config::Config;
use crate::http::{self, State, connection};
use crate::metrics::{self, Process};
use crate::sandbox::{self, Enforced};
use actix_web::HttpServer;
use actix_web::dev::{self, ServerHandle};
use actix_web::rt;
use actix_web::rt::signal::unix::{Signal, SignalKind, signal};
use actix_web::rt::time::timeout;
use actix_web::web::Data;
use anyhow::Context;
use ml_app_model::Phases;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

/// Maximum time in seconds to complete the requests in flight after the server has started to refuse connections. The
/// time is below 10 s, because Cloud Run kills the process 10 s after SIGTERM.
const SHUTDOWN_TIMEOUT: u64 = 8;

/// A server whose socket is open.
pub struct Server {
    config: Config,
    state: Data<State>,
    server: dev::Server,
    address: SocketAddr,
    sandbox: Enforced,
    process: Process,
}

impl Server {
    /// Opens the socket, enforces the sandbox, and starts to serve. The model in `state` must have made a first
    /// prediction before, so that the server is ready at once.
    ///
    /// # Errors
    ///
    /// Returns an error if the address cannot be bound, or if the configuration requires a sandbox and the kernel does
    /// not support it.
    pub fn bind(config: Config, state: Data<State>) -> anyhow::Result<Server> {
        let address = SocketAddr::new(config.host, config.port);
        let workers = config.threads.io;
        let longest_request =
            config.header_timeout + config.limits.request_timeout + config.keep_alive;
        let shared = state.clone();
        let server = HttpServer::new(move || http::app(shared.clone()))
            .workers(workers)
            .on_connect(connection::set_up(longest_request))
            .max_connections(config.max_connections.div_ceil(workers))
            .client_request_timeout(config.header_timeout)
            .keep_alive(config.keep_alive)
            .shutdown_timeout(SHUTDOWN_TIMEOUT)
            .disable_signals()
            .bind(address)
            .with_context(|| format!("cannot listen on {address}"))?;
        let address = server.addrs().first().copied().unwrap_or(address);
        // The process cannot open files in the sandbox, so it opens the files of the metrics now.
        let process = Process::open();
        // The sandbox applies to this thread and to threads that it starts later, so the sandbox must be enforced
        // before `run` starts the I/O threads.
        let sandbox = sandbox::enforce(config.sandbox)?;
        Ok(Server { config, state, server: server.run(), address, sandbox, process })
    }

    /// Records the phases of the start in the metrics, and logs the model, the settings and the address. A separate
    /// task writes the log, so that the first requests do not wait for it.
    pub fn announce(&mut self, start: Phases) {
        let ready = metrics::summary(&start);
        let (address, sandbox, threads) = (self.address, self.sandbox, self.config.threads);
        let api_keys = self.config.access.keys.len();
        let state = self.state.clone();
        state.metrics.record_start(start, sandbox, std::mem::take(&mut self.process));
        rt::spawn(async move {
            let signature = state.model.signature();
            log::info!("model {} version {}", signature.name, signature.version);
            log::info!("{}", signature.summary());
            log::info!("threads: {threads}; sandbox: {sandbox}");
            if api_keys > 0 {
                log::info!("API keys: {api_keys}");
            }
            log::info!("{ready}");
            log::info!("listening on http://{address}");
            let host = if address.ip().is_unspecified() {
                format!("localhost:{}", address.port())
            } else {
                address.to_string()
            };
            log::info!("Swagger page: http://{host}/apidocs");
        });
    }

    /// Serves until a signal arrives and the requests in flight are complete.
    ///
    /// # Errors
    ///
    /// Returns an error if the server fails.
    pub async fn serve_until(self, signals: Signals) -> io::Result<()> {
        let Server { config, state, server, .. } = self;
        rt::spawn(signals.stop(server.handle(), state, config.drain_delay));
        server.await
    }
}

/// The signals that stop the process. [`Signals::new`] registers their handlers.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    /// SIGINT and SIGQUIT.
    immediate: [Signal; 2],
}

/// How the server stops; see [`Signals::stop`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Graceful,
    Immediate,
}

impl Signals {
    /// Registers the handlers.
    ///
    /// # Errors
    ///
    /// Returns an error if the system rejects a handler.
    pub fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            immediate: [signal(SignalKind::interrupt())?, signal(SignalKind::quit())?],
        })
    }

    /// Waits for a signal and returns how the server must stop.
    fn next(&mut self) -> impl Future<Output = Stop> {
        poll_fn(|context| {
            let immediate = self.immediate.iter_mut();
            if immediate.map(|signal| signal.poll_recv(context)).any(|polled| polled.is_ready()) {
                return Poll::Ready(Stop::Immediate);
            }
            self.terminate.poll_recv(context).map(|_| Stop::Graceful)
        })
    }

    /// Stops the server when a signal arrives.
    ///
    /// After SIGTERM, no request is lost. The server reports that it is not ready, but keeps serving for `delay` and
    /// closes each connection after the connection's next request. Then the server refuses connections and completes
    /// the requests in flight. A second signal ends the delay. SIGINT and SIGQUIT stop the server at once.
    async fn stop(mut self, server: ServerHandle, state: Data<State>, delay: Duration) {
        let stop = self.next().await;
        if stop == Stop::Graceful {
            state.drain();
            log::info!("stopping: not ready, serving for {} s more", delay.as_secs());
            // The result does not matter: either the delay has passed, or a second signal has arrived.
            let _ = timeout(delay, self.next()).await;
        }
        server.stop(stop == Stop::Graceful).await;
    }
}
