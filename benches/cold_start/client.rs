//! Just enough HTTP to ask a server that may not be there yet.

use anyhow::{Context, bail};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Child;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// With what the kernel adds to a sleep, some 60 µs: what a start is measured to. Without a sleep
/// this process would take a core from the server.
const PAUSE: Duration = Duration::from_micros(10);

pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// One that nobody listens on, below those that the system gives to connections: one of these
/// could be connected to itself.
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
    bail!("no port from {FIRST} on is free");
}

/// Tries until `process` listens.
pub fn connect(process: &mut Child, port: u16) -> anyhow::Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let start = Instant::now();
    for tries in 1_u64.. {
        match TcpStream::connect(address) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => thread::sleep(PAUSE),
            Err(error) => return Err(error).context(format!("cannot connect to {address}")),
        }
        if tries % 256 == 0 {
            if let Some(status) = process.try_wait()? {
                bail!("it ended before it listened, with {status}");
            }
            if start.elapsed() > PATIENCE {
                bail!("it does not listen on {address} after {} s", PATIENCE.as_secs());
            }
        }
    }
    unreachable!("there are tries without end")
}

pub fn ask(stream: &mut TcpStream, request: &[u8]) -> anyhow::Result<Answer> {
    stream.write_all(request)?;
    let mut received = vec![];
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            bail!("the connection was closed before the answer's end");
        }
        received.extend_from_slice(&buffer[..count]);
        if let Some(answer) = whole(&received)? {
            return Ok(answer);
        }
    }
}

/// `None` where more is to come.
fn whole(received: &[u8]) -> anyhow::Result<Option<Answer>> {
    const BLANK: &[u8] = b"\r\n\r\n";
    let Some(end) = received.windows(BLANK.len()).position(|window| window == BLANK) else {
        return Ok(None);
    };
    let head = str::from_utf8(&received[..end])?.to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.context("an answer without content-length")?.trim().parse()?;
    let body = &received[end + BLANK.len()..];
    let status = status.context("expected HTTP, but found something else")?;
    Ok((body.len() >= length).then(|| Answer { status, body: body[..length].to_vec() }))
}
