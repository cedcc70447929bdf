//! The IDs of a request: the headers `X-Request-Id` and
//! [`traceparent`](https://www.w3.org/TR/trace-context/#traceparent-header). The server uses the request ID and the
//! trace ID that the client sends. If an ID is missing or invalid, the server generates a new ID. The response contains
//! both headers.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::ops::Range;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Maximum length of a client's request ID, in bytes. The length is limited because the server logs the ID.
const MAX_ID_LENGTH: usize = 128;

/// Returns the client's request ID if it is short and printable, and a random ID otherwise.
pub(crate) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let received = headers.get(REQUEST_ID).filter(|id| {
        !id.is_empty()
            && id.len() <= MAX_ID_LENGTH
            && id.as_bytes().iter().all(u8::is_ascii_graphic)
    });
    received.cloned().unwrap_or_else(|| {
        let mut id = [0; 32];
        write_hex(&mut id[..16], random());
        write_hex(&mut id[16..], random());
        header_value(&id)
    })
}

/// Returns the `traceparent` of the response: a new span in the client's trace. If the client sent no valid
/// `traceparent`, the trace is also new.
pub(crate) fn traceparent(headers: &HeaderMap) -> HeaderValue {
    let received = headers.get(TRACEPARENT).and_then(|parent| parent.to_str().ok());
    let mut parent = *b"00-00000000000000000000000000000000-0000000000000000-00";
    match received.and_then(parse_traceparent) {
        Some((trace, flags)) => {
            parent[TRACE].copy_from_slice(trace.as_bytes());
            parent[FLAGS].copy_from_slice(flags.as_bytes());
        }
        None => {
            let (first, last) = parent[TRACE].split_at_mut(16);
            // `max(1)`, because a trace ID that consists only of zeros is invalid.
            write_hex(first, random().max(1));
            write_hex(last, random());
        }
    }
    // A span ID that consists only of zeros is invalid, too.
    write_hex(&mut parent[SPAN], random().max(1));
    header_value(&parent)
}

// The byte ranges of the trace ID, the span ID and the flags in a `traceparent`.
const TRACE: Range<usize> = 3..35;
const SPAN: Range<usize> = 36..52;
const FLAGS: Range<usize> = 53..55;

/// Fills `digits` with the lowest hexadecimal digits of `number`.
fn write_hex(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

/// Returns the trace ID and the flags of a `traceparent`, or `None` if it is invalid. Versions later than 00 may have
/// more parts.
fn parse_traceparent(parent: &str) -> Option<(&str, &str)> {
    let mut parts = parent.split('-');
    let mut part = |len: usize| {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        parts.next().filter(|part| part.len() == len && part.bytes().all(is_hex))
    };
    let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    let is_complete = version != "00" || parts.next().is_none();
    let is_zero = |text: &str| text.bytes().all(|byte| byte == b'0');
    let is_valid = version != "ff" && is_complete && !is_zero(trace) && !is_zero(span);
    is_valid.then_some((trace, flags))
}

/// Returns a random number: the hash of an empty input, by a new hasher. The standard library seeds the hashers of each
/// thread from the system's random source. This is good enough for IDs, which need not be secret.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn header_value(text: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(text).expect("ASCII")
}

#[cfg(test)]
mod tests {
    use super::parse_traceparent;

    #[test]
    fn accepts_only_a_valid_traceparent() {
        let valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(parse_traceparent(valid), Some(("0af7651916cd43dd8448eb211c80319c", "01")));
        assert_eq!(parse_traceparent(&valid.replacen("00", "cc", 1)), parse_traceparent(valid));
        assert_eq!(
            parse_traceparent(&format!("{}-more", valid.replacen("00", "cc", 1))),
            parse_traceparent(valid)
        );
        for invalid in [
            "",
            "00",
            &valid.to_uppercase(),
            &format!("{valid}-more"),
            &valid.replacen("00", "ff", 1),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        ] {
            assert_eq!(parse_traceparent(invalid), None, "{invalid}");
        }
    }
}
