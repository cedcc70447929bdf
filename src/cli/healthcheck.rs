//! `ml-app healthcheck`: checks whether the server on this machine is ready.

use crate::config::{Config, SocketFlags};
use anyhow::{Context, bail};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

/// Time limit for each step: connecting, sending and reading.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Maximum number of bytes of the response to read.
const MAX_RESPONSE: u64 = 64 * 1024;

pub fn run(SocketFlags(flags): &SocketFlags) -> anyhow::Result<ExitCode> {
    let config = Config::from_environment(flags)?;
    // A server that listens on all addresses is reached at the loopback address.
    let host = match config.host {
        IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    };
    let address = SocketAddr::new(host, config.port);
    let status =
        readiness_status(address).with_context(|| format!("no response from {address}"))?;
    if status != "200" {
        bail!("{address} is not ready: expected status 200, found {status}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Requests `/readyz` and returns the status code of the response.
fn readiness_status(address: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.take(MAX_RESPONSE).read_to_string(&mut response)?;
    let status = response.split(' ').nth(1).context("expected HTTP, found something else")?;
    Ok(status.to_owned())
}
