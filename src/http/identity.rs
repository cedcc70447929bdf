//! The identity of a request: `X-Request-Id` and
//! [W3C's `traceparent`](https://www.w3.org/TR/trace-context/#traceparent-header). Both are taken from the
//! request or generated, and returned in the response.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::ops::Range;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Maximum length of a client's request ID, in bytes. Services copy it from log to log.
const MAX_ID: usize = 128;

/// Returns the client's request ID if it is short and printable, and a random ID otherwise.
pub(crate) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|id| {
        !id.is_empty() && id.len() <= MAX_ID && id.as_bytes().iter().all(u8::is_ascii_graphic)
    });
    given.cloned().unwrap_or_else(|| {
        let mut id = [0; 32];
        write_hex(&mut id[..16], random());
        write_hex(&mut id[16..], random());
        value(&id)
    })
}

/// Returns the `traceparent` of this request: a new span of the client's trace, or of a new trace.
pub(crate) fn traceparent(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(TRACEPARENT).and_then(|parent| parent.to_str().ok());
    let mut parent = *b"00-00000000000000000000000000000000-0000000000000000-00";
    match given.and_then(trace) {
        Some((trace, flags)) => {
            parent[TRACE].copy_from_slice(trace.as_bytes());
            parent[FLAGS].copy_from_slice(flags.as_bytes());
        }
        None => {
            let (first, last) = parent[TRACE].split_at_mut(16);
            // An ID of only zeros is invalid.
            write_hex(first, random().max(1));
            write_hex(last, random());
        }
    }
    write_hex(&mut parent[SPAN], random().max(1));
    value(&parent)
}

// Positions in a `traceparent`, in bytes.
const TRACE: Range<usize> = 3..35;
const SPAN: Range<usize> = 36..52;
const FLAGS: Range<usize> = 53..55;

/// Writes the lowest hexadecimal digits of `number`, as many as `digits` has bytes.
fn write_hex(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

/// Returns the trace ID and the flags of a valid `traceparent`. Versions later than 00 may have more parts.
fn trace(parent: &str) -> Option<(&str, &str)> {
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

/// Returns a random number. The standard library seeds each thread's hashers from the system's random
/// source; that is enough for identifiers, which need not be secret.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn value(text: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(text).expect("ASCII")
}

#[cfg(test)]
mod tests {
    use super::trace;

    #[test]
    fn takes_over_only_valid_parents() {
        let valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(trace(valid), Some(("0af7651916cd43dd8448eb211c80319c", "01")));
        assert_eq!(trace(&valid.replacen("00", "cc", 1)), trace(valid));
        assert_eq!(trace(&format!("{}-more", valid.replacen("00", "cc", 1))), trace(valid));
        for invalid in [
            "",
            "00",
            &valid.to_uppercase(),
            &format!("{valid}-more"),
            &valid.replacen("00", "ff", 1),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        ] {
            assert_eq!(trace(invalid), None, "{invalid}");
        }
    }
}
