//! Sends the recorded requests in `tests/cases/<model>/requests/<protocol>/**/*.http`, and compares the responses with
//! the recorded ones. A file contains the request, the line [`MARKER`] and the response.
//!
//! If `WRITE_RESPONSES` is set, the test appends responses that are missing. To update a response, delete the
//! marker and the response first.

use crate::case;
use crate::server::Server;
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

/// Separates the request from its response in a file.
const MARKER: &[u8] = b"\n=== Response\n";

/// Headers that the recorded responses contain, because the protocols define them. All other headers are left out.
const HEADERS: [&str; 3] = ["content-type", "content-encoding", "inference-header-content-length"];

#[test]
fn every_request_gets_its_response() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let write = std::env::var_os("WRITE_RESPONSES").is_some();
    let (mut seen, mut wrong) = (0, vec![]);
    for folder in entries(&cases) {
        let requests = folder.join("requests");
        if !requests.is_dir() {
            continue;
        }
        let server = case::serve(folder.file_name().unwrap().to_str().unwrap());
        for path in files(&requests) {
            if path.extension().is_none_or(|extension| extension != "http") {
                continue;
            }
            seen += 1;
            let recorded = fs::read(&path).unwrap();
            let (request, expected) = split(&recorded);
            let found = send(&server, request);
            let expected = match expected {
                None if write => {
                    fs::write(&path, [request, MARKER, &found].concat()).unwrap();
                    &found
                }
                expected => expected.unwrap_or_default(),
            };
            if !same(expected, &found) {
                let text = String::from_utf8_lossy;
                wrong.push(format!(
                    "{}\nexpected {}\nfound    {}",
                    path.display(),
                    text(expected),
                    text(&found)
                ));
            }
        }
    }
    assert!(seen > 100, "{seen}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Splits the content of a file into the request and its response. The response is missing until it is recorded.
fn split(recorded: &[u8]) -> (&[u8], Option<&[u8]>) {
    match recorded.windows(MARKER.len()).position(|bytes| bytes == MARKER) {
        None => (recorded, None),
        Some(end) => (&recorded[..end], Some(&recorded[end + MARKER.len()..])),
    }
}

/// Returns all files below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries(folder).into_iter().flat_map(below).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Sends a recorded request and returns the response in the recorded format: status, headers, an empty line, body.
fn send(server: &Server, request: &[u8]) -> Vec<u8> {
    let end = request.windows(2).position(|bytes| bytes == b"\n\n").unwrap();
    let (head, body) = (std::str::from_utf8(&request[..end]).unwrap(), &request[end + 2..]);
    let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
    let mut sent = format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    headers.lines().for_each(|header| sent.push_str(&format!("{header}\r\n")));
    sent.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(&[sent.as_bytes(), body].concat()).unwrap();
    let mut response = vec![];
    stream.read_to_end(&mut response).unwrap();
    let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let head = std::str::from_utf8(&response[..end]).unwrap();
    let status = head.split(' ').nth(1).unwrap();
    let headers = head.lines().skip(1).filter(|line| {
        HEADERS.contains(&line.split(':').next().unwrap().to_ascii_lowercase().as_str())
    });
    let mut headers: Vec<&str> = headers.collect();
    headers.sort_unstable();
    let mut found = std::iter::once(status).chain(headers).collect::<Vec<_>>().join("\n");
    found.push_str("\n\n");
    [found.as_bytes(), &response[end + 4..]].concat()
}

/// Returns whether two responses are equal. In JSON, floats may differ by one millionth, because the last digits of
/// results depend on the processor.
fn same(expected: &[u8], found: &[u8]) -> bool {
    fn json(response: &[u8]) -> Option<(&str, Value)> {
        let (head, body) = std::str::from_utf8(response).ok()?.split_once("\n\n")?;
        Some((head, serde_json::from_str(body).ok()?))
    }
    match (json(expected), json(found)) {
        (Some((head, expected)), Some((other, found))) => head == other && near(&expected, &found),
        _ => expected == found,
    }
}

/// Returns whether two JSON values are equal, with a tolerance for floats.
fn near(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| near(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| near(a, b)))
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap_or(f64::NAN));
            (a - b).abs() <= 1e-6 * a.abs().max(1.0)
        }
        (Value::String(a), Value::String(b)) => {
            // A class of the classification extension is `value:index:label`.
            let value = |text: &str| {
                let (value, rest) = text.split_once(':')?;
                Some((value.parse::<f64>().ok()?, rest.to_owned()))
            };
            a == b
                || value(a).zip(value(b)).is_some_and(|((a, rest_of_a), (b, rest_of_b))| {
                    rest_of_a == rest_of_b && (a - b).abs() <= 1e-6 * a.abs().max(1.0)
                })
        }
        (a, b) => a == b,
    }
}
