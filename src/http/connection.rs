//! Closes connections whose client is too slow. actix-web limits the time in which the headers of a connection's first
//! request must arrive, and the time between requests. actix-web does not limit the time in which the headers of later
//! requests must arrive, or the time in which the client must receive a response.

use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use actix_web::rt::task::JoinHandle;
use actix_web::rt::{self, time::sleep};
use std::any::Any;
use std::cell::Cell;
use std::net::{self, Shutdown};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The timer of a connection. The timer's task ends with the connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The time at which the last request began, or at which the connection was opened.
    last_request: Rc<Cell<Instant>>,
    /// The task that closes the connection after the limit.
    timer: JoinHandle<()>,
}

impl Connection {
    pub(crate) fn request_begins(&self, now: Instant) {
        self.last_request.set(now);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.timer.abort();
    }
}

/// Returns a callback that sets up each new connection. The callback turns Nagle's algorithm off, and starts a timer
/// that closes the connection if no request begins for the time `limit`.
pub(crate) fn set_up(
    limit: Duration,
) -> impl Fn(&dyn Any, &mut Extensions) + Send + Sync + 'static {
    move |io, data| {
        let Some(stream) = io.downcast_ref::<TcpStream>() else { return };
        // With Nagle's algorithm, the later parts of a response would wait until the client acknowledges the first
        // part. The call fails only if the client has already disconnected.
        let _ = stream.set_nodelay(true);
        // The server owns the stream, so the timer gets a second descriptor of the socket.
        let Ok(socket) = stream.as_fd().try_clone_to_owned() else { return };
        let last_request = Rc::new(Cell::new(Instant::now()));
        let last_begin = last_request.clone();
        let timer = rt::spawn(async move {
            let socket = net::TcpStream::from(socket);
            while let Some(left) = limit.checked_sub(last_begin.get().elapsed()) {
                sleep(left.max(Duration::from_millis(1))).await;
            }
            // The call fails only if the connection is already closed.
            let _ = socket.shutdown(Shutdown::Both);
        });
        data.insert(Connection { last_request, timer });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn turns_nagles_algorithm_off() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let _client = net::TcpStream::connect(address).expect("a connection");
        let (stream, _) = listener.accept().expect("the same connection");
        stream.set_nonblocking(true).expect("a socket");
        rt::System::new().block_on(async {
            let stream = TcpStream::from_std(stream).expect("a socket");
            let mut data = Extensions::new();
            set_up(Duration::from_secs(60))(&stream, &mut data);
            assert!(data.contains::<Connection>());
            assert!(stream.nodelay().expect("a socket"));
        });
    }
}
