//! What a request may cost. What all may cost at once is in `tests/load`.

use crate::server::{Server, wait_until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

const ROW: &str = r#"{"age":21,"new_user":1,"total_pages_visited":14}"#;

#[test]
fn rows_are_bounded() {
    let server = Server::start(&["--max-rows", "2"]);
    assert_eq!(server.post_json(format!("[{ROW},{ROW}]")).status, 200);
    let refused = server.post_json(format!("[{ROW},{ROW},{ROW}]"));
    assert_eq!(refused.status, 413);
    assert_eq!(refused.json()["detail"], "expected at most 2 rows, found 3");
    let tensors =
        r#"{"inputs":[{"name":"X","shape":[3,3],"datatype":"FP32","data":[1,1,1,1,1,1,1,1,1]}]}"#;
    let refused = server.post("/v2/models/online-sales/infer", "application/json", tensors);
    assert_eq!(refused.status, 413);
    assert_eq!(refused.json()["error"], "expected at most 2 rows, found 3");
    let metrics = server.get("/metrics").body;
    assert!(metrics.contains("ml_app_rejected_total{reason=\"rows\"} 2\n"), "{metrics}");
}

#[test]
fn heads_are_bounded() {
    let server = Server::start(&["--max-header", "1KiB"]);
    let long = "x".repeat(1100);
    assert_eq!(server.send("GET", "/healthz", &[("x-long", &long[..600])], b"").status, 200);
    for (path, header) in [("/healthz", long.as_str()), (&*format!("/healthz?{long}"), "")] {
        let refused = server.send("GET", path, &[("x-long", header)], b"");
        assert_eq!(refused.status, 431, "{path}");
        assert!(
            refused.json()["detail"]
                .as_str()
                .unwrap()
                .starts_with("expected request headers of at most 1024 bytes, found 1")
        );
    }
}

#[test]
fn bodies_are_bounded_all_together() {
    let server = Server::start(&["--max-body", "1MiB", "--max-buffered", "10"]);
    let refused = server.post_json(ROW);
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"));
    assert_eq!(
        refused.json()["detail"],
        "the server is at capacity: buffered request bodies have reached the limit of 10 bytes; try again in a second"
    );
    // What was refused is not held.
    assert_eq!(server.post_json("[]").status, 422);
}

#[test]
fn threads_are_told() {
    let server = Server::start(&["--inference-threads", "3"]);
    let line = "threads: 1 for HTTP, 3 for inference; sandbox: landlock on, seccomp on";
    assert!(
        server.announcement.iter().any(|told| told.contains(line)),
        "{:?}",
        server.announcement
    );
    let metrics = server.get("/metrics").body;
    assert!(metrics.contains("ml_app_threads{kind=\"inference\"} 3\n"), "{metrics}");
}

/// A second each.
const TIMES: [&str; 6] = ["--header-timeout", "1", "--request-timeout", "1", "--keep-alive", "1"];

#[test]
fn no_head_takes_for_ever() {
    let server = Server::start(&TIMES);
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
fn no_answer_waits_for_ever_to_be_taken() {
    let server = Server::start(&TIMES);
    let before = server.descriptors();
    let mut stream = TcpStream::connect(server.address()).unwrap();
    // More than the system's buffers hold.
    let question = "GET /apidocs/swagger-ui-bundle.js HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20);
    stream.write_all(question.as_bytes()).unwrap();
    wait_until("the server takes the connection", || server.descriptors() > before);
    wait_until("the server gives the connection up", || server.descriptors() <= before);
    let mut taken = vec![];
    // The connection was reset, or ended.
    let _ = stream.read_to_end(&mut taken);
    assert!(taken.starts_with(b"HTTP/1.1 200 OK"), "{}", taken.len());
    let whole = 20 * server.get("/apidocs/swagger-ui-bundle.js").body.len();
    assert!(taken.len() < whole, "{} of {whole}", taken.len());
    assert_eq!(server.get("/healthz").status, 200);
}
