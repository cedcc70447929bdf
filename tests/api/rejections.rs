//! Tests with requests that are rejected for their format, size, route or time, before their values are decoded.

use crate::errors::problem;
use crate::server::{BOUNDARY, Server, form};

#[test]
fn rejects_unsupported_formats() {
    let server = Server::start(&[]);
    let row = r#"{"age":1,"new_user":1,"total_pages_visited":1}"#;
    for content_type in
        ["application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-16", ""]
    {
        let (problem, _) = problem(&server.post("/predict", content_type, row), 415);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("application/json, text/csv, application/x-ndjson"), "{detail}");
    }
    for (coding, status) in [("br", 415), ("gzip", 400), ("deflate", 400)] {
        let headers = [("content-type", "application/json"), ("content-encoding", coding)];
        let response = server.send("POST", "/predict", &headers, b"\x1f\x8b");
        assert!(problem(&response, status).0["detail"].as_str().unwrap().contains(coding));
    }
    for accept in ["image/png", "text/csv", "application/json;q=0"] {
        let headers = [("content-type", "application/json"), ("accept", accept)];
        problem(&server.send("POST", "/predict", &headers, row.as_bytes()), 406);
    }
    problem(&server.post_file("age\n1\n", "image/png"), 406);
}

#[test]
fn reports_errors_in_a_form() {
    let server = Server::start(&[]);
    let multipart = format!("multipart/form-data; boundary={BOUNDARY}");
    let post = |content_type: &str, body: &[u8]| server.post("/predict_file", content_type, body);
    problem(&post("application/json", b"{}"), 415);
    problem(&post("multipart/form-data", b"x"), 415);
    let (missing, _) = problem(&post(&multipart, &form("document", b"age\n")), 400);
    assert!(missing["detail"].as_str().unwrap().contains("a part named `file`"));
    problem(&post(&multipart, b"no form at all"), 400);
    problem(&post(&multipart, b""), 400);
    let headers = [("Content-Type", &*multipart), ("Content-Encoding", "gzip")];
    let (coded, _) = problem(&server.send("POST", "/predict_file", &headers, b"x"), 415);
    assert!(coded["detail"].as_str().unwrap().contains("found gzip"), "{coded}");
    let whole = form("file", b"age\n1\n");
    problem(&post(&multipart, &whole[..whole.len() / 2]), 400);
    let twice = [&whole[..whole.len() - BOUNDARY.len() - 6], b"\r\n", whole.as_slice()].concat();
    let (second, _) = problem(&post(&multipart, &twice), 400);
    assert!(second["detail"].as_str().unwrap().contains("second"), "{second}");
}

#[test]
fn counts_the_headers_of_parts_towards_the_size_of_a_form() {
    let server = Server::start(&["--max-body", "1KiB"]);
    let part = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n\r\n");
    let parts = part.repeat(1100 / part.len() + 1);
    let request = format!(
        "POST /predict_file HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{parts}\r\n0\r\n\r\n",
        parts.len()
    );
    let (head, _) = server.send_raw(&request);
    assert!(head.starts_with("http/1.1 413"), "{head}");
}

#[test]
fn rejects_unknown_routes_and_methods() {
    let server = Server::start(&[]);
    problem(&server.get("/nope"), 404);
    problem(&server.get("/predict//"), 404);
    for (method, path, allow) in [
        ("DELETE", "/predict", "GET, HEAD, POST, OPTIONS"),
        ("GET", "/predict_file", "POST, OPTIONS"),
        ("POST", "/healthz", "GET, HEAD, OPTIONS"),
        ("POST", "/metrics", "GET, HEAD, OPTIONS"),
        ("PUT", "/apidocs", "GET, HEAD, OPTIONS"),
        ("POST", "/", "GET, HEAD, OPTIONS"),
    ] {
        let response = server.send(method, path, &[], b"");
        problem(&response, 405);
        assert_eq!(response.header("allow"), allow);
    }
}

#[test]
fn rejects_bodies_that_are_too_large() {
    let server = Server::start(&["--max-body", "1KiB"]);
    let body = "x".repeat(1025);
    let (rejected, _) = problem(&server.post_json(&body), 413);
    assert_eq!(rejected["detail"], "expected a body of at most 1024 bytes, found more");
    problem(&server.post_file(&body, "*/*"), 413);
    // A chunked body does not announce its length.
    let chunked = format!(
        "POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n\
         transfer-encoding: chunked\r\n\r\n401\r\n{body}\r\n0\r\n\r\n"
    );
    let (head, _) = server.send_raw(&chunked);
    assert!(head.starts_with("http/1.1 413"), "{head}");
    assert_eq!(server.post_json(&body[..1024]).status, 400);
}

/// A client that stops in the middle of a body must not keep its connection open forever.
#[test]
fn times_out_bodies_that_do_not_arrive() {
    let server = Server::start(&["--request-timeout", "1"]);
    let form = format!("multipart/form-data; boundary={BOUNDARY}");
    for (path, content_type) in [("/predict", "application/json"), ("/predict_file", &form)] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {content_type}\r\n\
             content-length: 100\r\nconnection: close\r\n\r\n{{"
        );
        let (head, body) = server.send_raw(&request);
        assert!(head.starts_with("http/1.1 408"), "{head}");
        let text = String::from_utf8(body).unwrap();
        assert!(text.contains("expected the whole body within 1 s"), "{text}");
    }
}

/// A client that sends its whole body before it reads must get the response, not a connection reset.
#[test]
fn responds_to_a_client_that_sends_far_too_much() {
    let server = Server::start(&["--max-body", "1KiB"]);
    for path in ["/predict", "/predict_file"] {
        let body = vec![b' '; 20 << 20];
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        let content_type = if path == "/predict" { "application/json" } else { &content_type };
        problem(&server.post(path, content_type, body), 413);
    }
}
