use crate::cli::settings;
use crate::config::{Flags, SocketFlags};
use anyhow::{Context, bail};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(2);

pub fn run(socket: SocketFlags) -> anyhow::Result<ExitCode> {
    let config = match settings(&Flags { socket, ..Flags::default() }) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let host = match config.host {
        IpAddr::V4(host) if host.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(host) if host.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        host => host,
    };
    let address = SocketAddr::new(host, config.port);
    let status = status(address).with_context(|| format!("no answer from {address}"))?;
    if status != "200" {
        bail!("{address} is not ready: expected status 200, but found {status}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The status that `/readyz` answers with.
fn status(address: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).context("expected HTTP, but found something else")?;
    Ok(status.to_owned())
}
