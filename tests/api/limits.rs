//! Tests of limits that a single request can exceed. `tests/load` tests the limits for all requests together.

use crate::server::{Server, wait_until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

const ROW: &str = r#"{"age":21,"new_user":1,"total_pages_visited":14}"#;

#[test]
fn rejects_too_many_rows() {
    let server = Server::start(&["--max-rows", "2"]);
    assert_eq!(server.post_json(format!("[{ROW},{ROW}]")).status, 200);
    let rejected = server.post_json(format!("[{ROW},{ROW},{ROW}]"));
    assert_eq!(rejected.status, 413);
    assert_eq!(rejected.json()["detail"], "expected at most 2 rows, found 3");
    let tensors =
        r#"{"inputs":[{"name":"X","shape":[3,3],"datatype":"FP32","data":[1,1,1,1,1,1,1,1,1]}]}"#;
    let rejected = server.post("/v2/models/online-sales/infer", "application/json", tensors);
    assert_eq!(rejected.status, 413);
    assert_eq!(rejected.json()["error"], "expected at most 2 rows, found 3");
    let metrics = server.get("/metrics").body;
    assert!(metrics.contains("ml_app_rejected_total{reason=\"rows\"} 2\n"), "{metrics}");
}

#[test]
fn rejects_large_headers() {
    let server = Server::start(&["--max-header", "1KiB"]);
    let long = "x".repeat(1100);
    assert_eq!(server.send("GET", "/healthz", &[("x-long", &long[..600])], b"").status, 200);
    for (path, header) in [("/healthz", long.as_str()), (&*format!("/healthz?{long}"), "")] {
        let rejected = server.send("GET", path, &[("x-long", header)], b"");
        assert_eq!(rejected.status, 431, "{path}");
        assert!(rejected.json()["detail"].as_str().unwrap().starts_with(
            "expected a request line and headers of at most 1024 bytes in total, found 1"
        ));
    }
}

#[test]
fn rejects_a_body_beyond_the_limit_of_all_bodies() {
    let server = Server::start(&["--max-body", "1MiB", "--max-buffered", "10"]);
    let rejected = server.post_json(ROW);
    assert_eq!((rejected.status, rejected.header("retry-after")), (503, "1"));
    assert_eq!(
        rejected.json()["detail"],
        "the server is at capacity: buffered request bodies have reached the limit of 10 bytes; try again in a second"
    );
    // The rejected body is no longer counted.
    assert_eq!(server.post_json("[]").status, 422);
}

#[test]
fn the_number_of_threads_is_logged_and_is_a_metric() {
    let server = Server::start(&["--inference-threads", "3"]);
    let line = "threads: 1 for I/O, 3 for inference; sandbox: landlock on, seccomp on";
    assert!(
        server.announcement.iter().any(|logged| logged.contains(line)),
        "{:?}",
        server.announcement
    );
    let metrics = server.get("/metrics").body;
    assert!(metrics.contains("ml_app_threads{kind=\"inference\"} 3\n"), "{metrics}");
}

/// Sets each time limit to one second.
const TIMEOUTS: [&str; 6] =
    ["--header-timeout", "1", "--request-timeout", "1", "--keep-alive", "1"];

#[test]
fn slow_headers_time_out() {
    let server = Server::start(&TIMEOUTS);
    for before in ["", "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(before.as_bytes()).unwrap();
        let mut slow = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: ".to_vec();
        slow.resize(200, b'a');
        let sent = slow.iter().position(|byte| {
            thread::sleep(Duration::from_millis(100));
            stream.write_all(&[*byte]).is_err()
        });
        assert!(sent.is_some(), "the connection is still open after {before:?}");
    }
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn an_unread_response_times_out() {
    let server = Server::start(&TIMEOUTS);
    let before = server.descriptors();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    // The responses are larger than the system's buffers.
    let requests = "GET /apidocs/swagger-ui-bundle.js HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20);
    stream.write_all(requests.as_bytes()).unwrap();
    wait_until("the server accepts the connection", || server.descriptors() > before);
    wait_until("the server closes the connection", || server.descriptors() <= before);
    let mut received = vec![];
    // Reading fails if the connection was reset, and ends if it was closed.
    let _ = stream.read_to_end(&mut received);
    assert!(received.starts_with(b"HTTP/1.1 200 OK"), "{}", received.len());
    let whole = 20 * server.get("/apidocs/swagger-ui-bundle.js").body.len();
    assert!(received.len() < whole, "{} of {whole}", received.len());
    assert_eq!(server.get("/healthz").status, 200);
}
