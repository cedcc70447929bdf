//! Connections that hold out too long. actix-web bounds the head of a connection's first request and the
//! time between requests, not how slowly a later head comes or an answer is taken.

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

/// Of a connection: when its last request began.
#[derive(Debug)]
pub struct Connection {
    last: Rc<Cell<Instant>>,
    watch: JoinHandle<()>,
}

impl Connection {
    pub fn request_begins(&self, now: Instant) {
        self.last.set(now);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// Sets a connection up: what is written goes out at once, and it is closed when no request has begun for
/// `limit`.
pub fn set_up(limit: Duration) -> impl Fn(&dyn Any, &mut Extensions) + Send + Sync + 'static {
    move |io, data| {
        let Some(stream) = io.downcast_ref::<TcpStream>() else { return };
        // An answer in several parts must not wait for the client's acknowledgement. One that has gone
        // already cannot be asked.
        let _ = stream.set_nodelay(true);
        // A second descriptor of the same socket, as the first is the server's.
        let Ok(socket) = stream.as_fd().try_clone_to_owned() else { return };
        let last = Rc::new(Cell::new(Instant::now()));
        let watched = last.clone();
        let watch = rt::spawn(async move {
            let socket = net::TcpStream::from(socket);
            while let Some(left) = limit.checked_sub(watched.get().elapsed()) {
                sleep(left.max(Duration::from_millis(1))).await;
            }
            // It may be closed already.
            let _ = socket.shutdown(Shutdown::Both);
        });
        data.insert(Connection { last, watch });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    #[test]
    fn what_is_written_goes_out_at_once() {
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
