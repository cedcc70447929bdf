//! Tests of the shutdown. In a rollout, one of two processes behind a load balancer shuts down, and no client notices.

use crate::server::{PATIENCE, Server, wait_until};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

const ROW: &str = r#"{"age":21,"new_user":1,"total_pages_visited":14}"#;
const CLIENTS: usize = 32;

/// Starts a load balancer. It passes new connections to the processes in turn, but leaves out a process that was not
/// ready at its last probe. Returns the address of the load balancer, and for each process whether it was ready.
fn start_load_balancer(backends: [String; 2]) -> (String, [Arc<AtomicBool>; 2]) {
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
    let probed = ready.clone();
    thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let client = client.unwrap();
            let order = [number % 2, 1 - number % 2];
            let Some(index) = order.into_iter().find(|index| probed[*index].load(SeqCst)) else {
                continue;
            };
            let Ok(server) = TcpStream::connect(&backends[index]) else { continue };
            let other_direction = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || forward(client, server));
            thread::spawn(move || forward(other_direction.1, other_direction.0));
        }
    });
    (address, ready)
}

fn forward(mut from: TcpStream, mut to: TcpStream) {
    // Either end may disconnect at any time.
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
}

fn is_ready(backend: &str) -> bool {
    let probe = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(backend)?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        Ok(response)
    };
    probe().is_ok_and(|response| response.starts_with("HTTP/1.1 200"))
}

/// A client's connection to a server.
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

    /// Reads a response. Returns its status, and whether the server keeps the connection open.
    fn response(&mut self) -> std::io::Result<(u16, bool)> {
        let broken = || std::io::Error::other("no response");
        let (mut status, mut length, mut stays_open) = (None, 0, true);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(found) = line.strip_prefix("http/1.1 ") {
                status = found.split(' ').next().and_then(|status| status.parse().ok());
            } else if let Some(found) = line.strip_prefix("content-length: ") {
                length = found.parse().map_err(|_| broken())?;
            } else if line == "connection: close" {
                stays_open = false;
            } else if line.is_empty() {
                break;
            }
        }
        self.0.read_exact(&mut vec![0; length])?;
        Ok((status.ok_or_else(broken)?, stays_open))
    }
}

fn request(body: &str) -> String {
    let length = body.len();
    format!("POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// Sends requests as fast as possible until `done` is set. Opens a new connection whenever the server closes the old
/// one.
fn send_requests(address: &str, done: &AtomicBool, responses: &AtomicUsize) -> std::io::Result<()> {
    let mut connection = Connection::open(address)?;
    while !done.load(SeqCst) {
        connection.send(&request(ROW))?;
        let (status, stays_open) = connection.response()?;
        if status != 200 {
            return Err(std::io::Error::other(format!("status {status}")));
        }
        responses.fetch_add(1, SeqCst);
        if !stays_open {
            connection = Connection::open(address)?;
        }
    }
    Ok(())
}

/// Stops the clients when it is dropped, also if an assertion fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Maximum duration of a shutdown without requests in flight. The server waits up to 8 s for requests in flight. This
/// maximum is lower, so a test fails if the server also waits for an idle connection.
const PROMPTLY: Duration = Duration::from_secs(7);

#[test]
fn a_graceful_shutdown_loses_no_request() {
    // The test ends the long delay with a second signal, once the load balancer has noticed the shutdown.
    let mut servers = [0, 1].map(|_| Some(Server::start(&["--drain-delay", "600"])));
    let backends = [0, 1].map(|index| servers[index].as_ref().unwrap().address().to_owned());
    let (address, ready) = start_load_balancer(backends.clone());
    let (done, responses) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let end = End(&done);
        let client = || send_requests(&address, &done, &responses);
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        let wait_for_responses = |count| {
            let before = responses.load(SeqCst);
            wait_until("there are responses", || responses.load(SeqCst) >= before + count);
        };
        wait_for_responses(100);

        // This client sends a part of its body before the shutdown, and the rest during it.
        let mut slow = Connection::open(&backends[0]).unwrap();
        let whole = request(ROW);
        let (part, rest) = whole.split_at(whole.len() - 5);
        slow.send(part).unwrap();
        let stopped = servers[0].take().unwrap();
        stopped.signal("TERM");
        wait_until("readiness is off", || !ready[0].load(SeqCst));
        // After 1,000 more responses, the load balancer no longer opens connections to the process.
        wait_for_responses(1000);
        let stopping = scope.spawn(move || stopped.stop());
        wait_until("connections are refused", || TcpStream::connect(&backends[0]).is_err());
        slow.send(rest).unwrap();
        assert_eq!(slow.response().unwrap().0, 200);
        assert_eq!(stopping.join().unwrap(), Some(0));

        wait_until("there are 10,000 responses", || responses.load(SeqCst) >= 10_000);
        drop(end);
        for client in clients {
            client.join().unwrap().unwrap();
        }
    });
}

#[test]
fn accepts_connections_until_the_delay_has_passed() {
    let server = Server::start(&["--drain-delay", "2"]);
    // The time starts before the signal is sent, so it is never shorter than the server's own delay.
    let start = Instant::now();
    server.signal("TERM");
    wait_until("connections are refused", || TcpStream::connect(server.address()).is_err());
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
}

/// Returns a connection that stays open after its first response.
fn idle(server: &Server) -> Connection {
    let mut connection = Connection::open(server.address()).unwrap();
    connection.send(&request(ROW)).unwrap();
    assert_eq!(connection.response().unwrap(), (200, true));
    connection
}

#[test]
fn idle_connections_do_not_delay_a_shutdown() {
    let server = Server::start(&["--keep-alive", "600"]);
    let _idle = idle(&server);
    let start = Instant::now();
    assert_eq!(server.stop(), Some(0));
    assert!(start.elapsed() < PROMPTLY, "{:?}", start.elapsed());
}

#[test]
fn closes_an_idle_connection_after_the_keep_alive_time() {
    let server = Server::start(&["--keep-alive", "1"]);
    let start = Instant::now();
    assert_eq!(idle(&server).0.read(&mut [0]).unwrap(), 0);
    assert!(start.elapsed() >= Duration::from_millis(800), "{:?}", start.elapsed());
}

#[test]
fn shuts_down_immediately_without_a_delay() {
    let server = Server::start(&[]);
    let start = Instant::now();
    assert_eq!(server.stop(), Some(0));
    assert!(start.elapsed() < PROMPTLY, "{:?}", start.elapsed());
}

#[test]
fn a_second_signal_ends_the_delay() {
    let server = Server::start(&["--drain-delay", "600"]);
    server.signal("TERM");
    while is_ready(server.address()) {
        thread::sleep(Duration::from_millis(10));
    }
    let start = Instant::now();
    assert_eq!(server.stop(), Some(0));
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}
