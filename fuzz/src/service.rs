//! Checks the responses of the whole service, without a socket.

use crate::{MODELS, choice, load, response};
use actix_web::dev::Service;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode, Uri};
use actix_web::rt::{System, SystemRunner};
use actix_web::test::{TestRequest, init_service, read_body};
use actix_web::web::{Bytes, Data};
use ml_app::config::{Config, Limits};
use ml_app::http::negotiate::ContentCoding;
use ml_app::http::{State, app, problem};
use ml_app::protocol::oip::JSON_SIZE_HEADER;
use serde_json::Value;
use std::cell::OnceCell;
use std::mem::ManuallyDrop;

/// Maximum size of a body, in bytes. It is small, so that some bodies exceed it.
const MAX_BODY: usize = 1 << 16;

/// Sends a request and checks the response. The first byte of the input selects the model. The other bytes are the
/// request, in the format of the requests in `tests/cases/*/requests`. Ignores bytes in a different format.
pub fn check(mut input: &[u8]) {
    let model = choice(&mut input, MODELS);
    let Some((path, request)) = parse(input) else { return };
    let Response { status, headers, body } = send(model, request);
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let content_type = header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let coding = ContentCoding::from_content_encoding(&headers)
        .expect("a coding that requests may have, too");
    let body = coding.decompress(&body, usize::MAX).expect("a body that the service compressed");
    // The service returns these server errors on purpose. Any other server error is a bug.
    let intended = [StatusCode::NOT_IMPLEMENTED, StatusCode::SERVICE_UNAVAILABLE];
    let is_bug = status.is_server_error() && !intended.contains(&status);
    assert!(!is_bug, "{status}: {}", response::text(&body));
    response::check(content_type, header(JSON_SIZE_HEADER), &body);
    if status.is_client_error() {
        assert_error(&path, status, content_type, &body);
    }
}

/// Checks that an error has the error format of its route.
fn assert_error(path: &str, status: StatusCode, content_type: &str, body: &[u8]) {
    let error: Value = serde_json::from_slice(body).expect("an error is JSON");
    let is_plain = match path.split('/').nth(1).unwrap_or_default() {
        // The path may decode to any route, so accept either format.
        encoded if encoded.contains('%') => content_type != problem::CONTENT_TYPE,
        first => ["v1", "v2", "invocations", "ping"].contains(&first),
    };
    let (expected, text) = if is_plain {
        ("application/json", &error["error"])
    } else {
        (problem::CONTENT_TYPE, &error["detail"])
    };
    assert_eq!(content_type, expected, "{path}");
    assert!(text.as_str().is_some_and(|text| !text.is_empty()), "{error}");
    assert!(is_plain || error["status"] == status.as_u16(), "{error}");
}

/// Parses a line with method and path, lines with headers, an empty line, and the body. Returns the path and the
/// request.
fn parse(input: &[u8]) -> Option<(String, TestRequest)> {
    let end = input.windows(2).position(|bytes| bytes == b"\n\n")?;
    let mut lines = input[..end].split(|byte| *byte == b'\n');
    let (method, path) = std::str::from_utf8(lines.next()?).ok()?.split_once(' ')?;
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    let uri = path.parse::<Uri>().ok().filter(|_| path.starts_with('/'))?;
    let mut request = TestRequest::with_uri(path).method(method);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        request = request.append_header((name, value));
    }
    Some((uri.path().to_owned(), request.set_payload(input[end + 2..].to_vec())))
}

struct Response {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

type Client = Box<dyn Fn(TestRequest) -> Response>;

fn send(model: usize, request: TestRequest) -> Response {
    thread_local! {
        // The clients are never dropped. Dropping a client uses other thread-locals, which may already be destroyed
        // when the thread ends.
        static CLIENTS: ManuallyDrop<[OnceCell<Client>; MODELS]> =
            const { ManuallyDrop::new([const { OnceCell::new() }; MODELS]) };
    }
    CLIENTS.with(|clients| clients[model].get_or_init(|| serve(model))(request))
}

fn serve(model: usize) -> Client {
    thread_local! {
        static SYSTEM: ManuallyDrop<SystemRunner> = ManuallyDrop::new(System::new());
    }
    let limits = Limits { max_body: MAX_BODY, ..Limits::default() };
    let config = Config { limits, ..Config::default() };
    let state = Data::new(State::new(load(model), String::new(), &config));
    let service = SYSTEM.with(|system| system.block_on(init_service(app(state))));
    Box::new(move |request| {
        SYSTEM.with(|system| {
            system.block_on(async {
                let response = service.call(request.to_request()).await;
                let response = response.expect("errors are responses");
                Response {
                    status: response.status(),
                    headers: response.headers().clone(),
                    body: read_body(response).await,
                }
            })
        })
    })
}
