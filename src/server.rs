//! The socket: bind, answer, stop.

use crate::config::Config;
use crate::http::{self, State, connection};
use crate::sandbox::{self, Enforced};
use actix_web::HttpServer;
use actix_web::dev::{Server, ServerHandle};
use actix_web::rt::signal::unix::{Signal, SignalKind, signal};
use actix_web::rt::time::timeout;
use actix_web::web::Data;
use anyhow::Context;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

/// Seconds for requests in flight once connections are refused. Cloud Run kills 10 s after SIGTERM.
const SHUTDOWN: u64 = 8;

/// Opens the socket, gives up what the process needs no more, and answers; `state` holds a model that
/// has answered.
///
/// # Errors
///
/// Where the address cannot be bound, and where a sandbox is required that the kernel does not have.
pub fn bind(config: &Config, state: Data<State>) -> anyhow::Result<(Server, SocketAddr, Enforced)> {
    let address = SocketAddr::new(config.host, config.port);
    let workers = config.threads.http;
    let held = config.header_timeout + config.limits.request_timeout + config.keep_alive;
    let server = HttpServer::new(move || http::app(state.clone()))
        .workers(workers)
        .on_connect(connection::set_up(held))
        .max_connections(config.max_connections.div_ceil(workers))
        .client_request_timeout(config.header_timeout)
        .keep_alive(config.keep_alive)
        .shutdown_timeout(SHUTDOWN)
        .disable_signals()
        .bind(address)
        .with_context(|| format!("cannot listen on {address}"))?;
    let address = server.addrs().first().copied().unwrap_or(address);
    // Every thread that answers starts after it, and is in it.
    let enforced = sandbox::enforce(config.sandbox)?;
    Ok((server.run(), address, enforced))
}

/// The signals that ask the process to end, from when this is made.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    at_once: [Signal; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ask {
    Terminate,
    AtOnce,
}

impl Signals {
    /// # Errors
    ///
    /// Where the system takes no handler.
    pub fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            at_once: [signal(SignalKind::interrupt())?, signal(SignalKind::quit())?],
        })
    }

    fn next(&mut self) -> impl Future<Output = Ask> {
        poll_fn(|context| {
            let at_once = self.at_once.iter_mut();
            if at_once.map(|signal| signal.poll_recv(context)).any(|polled| polled.is_ready()) {
                return Poll::Ready(Ask::AtOnce);
            }
            self.terminate.poll_recv(context).map(|_| Ask::Terminate)
        })
    }

    /// Stops the server once it is asked to. SIGTERM loses nothing: the server is not ready from then
    /// on, goes on for `delay` while connections end after the request that comes next, and then
    /// finishes what is in flight. A second signal cuts the delay short. SIGINT and SIGQUIT end it at
    /// once.
    pub async fn stop(mut self, server: ServerHandle, state: Data<State>, delay: Duration) {
        let ask = self.next().await;
        if ask == Ask::Terminate {
            state.drain();
            log::info!("asked to stop: not ready, and answering for {} s more", delay.as_secs());
            // It is over, or there was another signal.
            let _ = timeout(delay, self.next()).await;
        }
        server.stop(ask == Ask::Terminate).await;
    }
}
