//! The socket: bind, answer, stop.

use crate::config::Config;
use crate::http::{self, State};
use actix_web::HttpServer;
use actix_web::dev::Server;
use anyhow::Context;
use paperclip::actix::web::Data;
use std::net::SocketAddr;

/// Seconds for requests in flight once the process is told to stop. Cloud Run kills after 10.
const SHUTDOWN: u64 = 8;

/// Opens the socket; `state` holds a model that has answered.
///
/// # Errors
///
/// Where the address cannot be bound.
pub fn bind(config: &Config, state: Data<State>) -> anyhow::Result<(Server, SocketAddr)> {
    let address = SocketAddr::new(config.host, config.port);
    let server = HttpServer::new(move || http::app(state.clone()))
        .workers(config.workers)
        .shutdown_timeout(SHUTDOWN)
        .bind(address)
        .with_context(|| format!("cannot listen on {address}"))?;
    let address = server.addrs().first().copied().unwrap_or(address);
    Ok((server.run(), address))
}
