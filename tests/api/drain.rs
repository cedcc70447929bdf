//! A rollout: one of two processes behind a switch is told to stop, and nobody notices.

use crate::server::{PATIENCE, Server, wait_until};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

const ROW: &str = r#"{"age":21,"new_user":1,"total_pages_visited":14}"#;
const CLIENTS: usize = 32;

/// What stands before the processes: each new connection goes to the next that is ready, as it was
/// found a moment ago.
fn switch(backends: [String; 2]) -> (String, [Arc<AtomicBool>; 2]) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let ready = [0, 1].map(|_| Arc::new(AtomicBool::new(true)));
    for (backend, ready) in backends.clone().into_iter().zip(ready.clone()) {
        thread::spawn(move || {
            loop {
                ready.store(is_ready(&backend), SeqCst);
                thread::sleep(Duration::from_millis(100));
            }
        });
    }
    let known = ready.clone();
    thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let client = client.unwrap();
            let of = [number % 2, 1 - number % 2];
            let Some(index) = of.into_iter().find(|index| known[*index].load(SeqCst)) else {
                continue;
            };
            let Ok(server) = TcpStream::connect(&backends[index]) else { continue };
            let ends = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || forward(client, server));
            thread::spawn(move || forward(ends.1, ends.0));
        }
    });
    (address, ready)
}

fn forward(mut from: TcpStream, mut to: TcpStream) {
    // Either end may go away.
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
}

fn is_ready(backend: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(backend)?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(address: &str) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Connection(BufReader::new(stream)))
    }

    fn send(&mut self, text: &str) -> std::io::Result<()> {
        self.0.get_mut().write_all(text.as_bytes())
    }

    /// The status, and whether the connection goes on.
    fn answer(&mut self) -> std::io::Result<(u16, bool)> {
        let broken = || std::io::Error::other("no answer");
        let (mut status, mut length, mut goes_on) = (None, 0, true);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(found) = line.strip_prefix("http/1.1 ") {
                status = found.split(' ').next().and_then(|status| status.parse().ok());
            } else if let Some(found) = line.strip_prefix("content-length: ") {
                length = found.parse().map_err(|_| broken())?;
            } else if line == "connection: close" {
                goes_on = false;
            } else if line.is_empty() {
                break;
            }
        }
        self.0.read_exact(&mut vec![0; length])?;
        Ok((status.ok_or_else(broken)?, goes_on))
    }
}

fn request(body: &str) -> String {
    let length = body.len();
    format!("POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// One client at full speed, on connections that are kept until the server ends them.
fn ask(address: &str, done: &AtomicBool, answered: &AtomicUsize) -> std::io::Result<()> {
    let mut connection = Connection::open(address)?;
    while !done.load(SeqCst) {
        connection.send(&request(ROW))?;
        let (status, goes_on) = connection.answer()?;
        if status != 200 {
            return Err(std::io::Error::other(format!("status {status}")));
        }
        answered.fetch_add(1, SeqCst);
        if !goes_on {
            connection = Connection::open(address)?;
        }
    }
    Ok(())
}

/// Tells the clients when it goes.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Less than the 8 s that the server gives to requests in flight: a server that waits for an
/// idle connection takes longer.
const PROMPTLY: Duration = Duration::from_secs(7);

#[test]
fn a_process_that_is_told_to_stop_loses_no_request() {
    // The delay lasts until the switch has noticed; a second signal ends it.
    let mut servers = [0, 1].map(|_| Some(Server::start(&["--drain-delay", "600"])));
    let backends = [0, 1].map(|index| servers[index].as_ref().unwrap().address().to_owned());
    let (address, ready) = switch(backends.clone());
    let (done, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        // Where an assertion fails, the clients end too.
        let end = End(&done);
        let ask = || ask(&address, &done, &answered);
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
        let further = |count| {
            let before = answered.load(SeqCst);
            wait_until("requests are answered", || answered.load(SeqCst) >= before + count);
        };
        further(100);

        // It has sent a part of its body, and takes its time with the rest.
        let mut slow = Connection::open(&backends[0]).unwrap();
        let whole = request(ROW);
        let (part, rest) = whole.split_at(whole.len() - 5);
        slow.send(part).unwrap();
        let stopped = servers[0].take().unwrap();
        stopped.signal("TERM");
        wait_until("readiness is off", || !ready[0].load(SeqCst));
        // By then the switch has no connection to the process in the making.
        further(1000);
        let stopping = scope.spawn(move || stopped.stop());
        wait_until("connections are refused", || TcpStream::connect(&backends[0]).is_err());
        slow.send(rest).unwrap();
        assert_eq!(slow.answer().unwrap().0, 200);
        assert_eq!(stopping.join().unwrap(), Some(0));

        wait_until("10,000 requests are answered", || answered.load(SeqCst) >= 10_000);
        drop(end);
        for client in clients {
            client.join().unwrap().unwrap();
        }
    });
}

#[test]
fn connections_are_accepted_until_the_delay_is_over() {
    let server = Server::start(&["--drain-delay", "2"]);
    // Taken before the server's own clock starts: the time measured here is never the shorter one.
    let start = Instant::now();
    server.signal("TERM");
    wait_until("connections are refused", || TcpStream::connect(server.address()).is_err());
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
}

/// A connection that has had its answer, and is kept.
fn idle(server: &Server) -> Connection {
    let mut connection = Connection::open(server.address()).unwrap();
    connection.send(&request(ROW)).unwrap();
    assert_eq!(connection.answer().unwrap(), (200, true));
    connection
}

#[test]
fn idle_connections_hold_up_no_end() {
    let server = Server::start(&["--keep-alive", "600"]);
    let _idle = idle(&server);
    let start = Instant::now();
    assert_eq!(server.stop(), Some(0));
    assert!(start.elapsed() < PROMPTLY, "{:?}", start.elapsed());
}

#[test]
fn a_connection_is_kept_for_as_long_as_is_said() {
    let server = Server::start(&["--keep-alive", "1"]);
    let start = Instant::now();
    assert_eq!(idle(&server).0.read(&mut [0]).unwrap(), 0);
    assert!(start.elapsed() >= Duration::from_millis(800), "{:?}", start.elapsed());
}

#[test]
fn without_a_delay_a_process_ends_at_once() {
    let server = Server::start(&[]);
    let start = Instant::now();
    assert_eq!(server.stop(), Some(0));
    assert!(start.elapsed() < PROMPTLY, "{:?}", start.elapsed());
}

#[test]
fn a_second_signal_cuts_the_delay_short() {
    let server = Server::start(&["--drain-delay", "600"]);
    server.signal("TERM");
    while is_ready(server.address()) {
        thread::sleep(Duration::from_millis(10));
    }
    let start = Instant::now();
    assert_eq!(server.stop(), Some(0));
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}
