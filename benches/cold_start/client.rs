//! A minimal HTTP client for a server that may not listen yet.

use anyhow::{Context, bail};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Child;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Time after which a start counts as failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two attempts to connect. Because of the kernel's timer slack, an attempt with its pause takes about
/// 60 µs. This is the resolution of the measurement. Without a pause, this process would take a core from the server.
const PAUSE: Duration = Duration::from_micros(10);

/// A response with a `Content-Length`.
pub struct Response {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Returns a port on which no process listens. The port is below the range of ephemeral ports. If a client connects to
/// a free ephemeral port, the kernel may assign the same port to the client's end, and connect the client to itself.
pub fn free_port() -> anyhow::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    for _ in 0..COUNT {
        let port = FIRST + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port from {FIRST} to {} is free", FIRST + COUNT - 1);
}

/// Tries to connect until `process` listens.
pub fn connect(process: &mut Child, port: u16) -> anyhow::Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let start = Instant::now();
    for attempt in 1_u64.. {
        match TcpStream::connect(address) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => thread::sleep(PAUSE),
            Err(error) => return Err(error).context(format!("cannot connect to {address}")),
        }
        if attempt % 256 == 0 {
            if let Some(status) = process.try_wait()? {
                bail!("the program exited before it listened, with {status}");
            }
            if start.elapsed() > PATIENCE {
                bail!("the program does not listen on {address} after {} s", PATIENCE.as_secs());
            }
        }
    }
    unreachable!("the number of attempts is not limited")
}

/// Sends a request and reads the response.
pub fn send(stream: &mut TcpStream, request: &[u8]) -> anyhow::Result<Response> {
    stream.write_all(request)?;
    let mut received = vec![];
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            bail!("the connection was closed before the end of the response");
        }
        received.extend_from_slice(&buffer[..count]);
        if let Some(response) = parse(&received)? {
            return Ok(response);
        }
    }
}

/// Parses a response. Returns `None` if it is incomplete.
fn parse(received: &[u8]) -> anyhow::Result<Option<Response>> {
    const BLANK_LINE: &[u8] = b"\r\n\r\n";
    let position = received.windows(BLANK_LINE.len()).position(|window| window == BLANK_LINE);
    let Some(end) = position else {
        return Ok(None);
    };
    let headers = str::from_utf8(&received[..end])?.to_ascii_lowercase();
    let status = headers.split(' ').nth(1).and_then(|status| status.parse().ok());
    let length = headers.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.context("the response has no content-length")?.trim().parse()?;
    let body = &received[end + BLANK_LINE.len()..];
    let status = status.context("the response is not HTTP")?;
    Ok((body.len() >= length).then(|| Response { status, body: body[..length].to_vec() }))
}
