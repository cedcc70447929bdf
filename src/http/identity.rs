//! Who asked: `X-Request-Id` and [W3C's `traceparent`](https://www.w3.org/TR/trace-context/#traceparent-header)
//! are taken over, or made, and returned.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::ops::Range;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// More would be copied from log to log.
const LONGEST: usize = 128;

/// The client's, if it is short and printable.
pub fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|id| {
        !id.is_empty() && id.len() <= LONGEST && id.as_bytes().iter().all(u8::is_ascii_graphic)
    });
    given.cloned().unwrap_or_else(|| {
        let mut id = [0; 32];
        write_hex(&mut id[..16], random());
        write_hex(&mut id[16..], random());
        value(&id)
    })
}

/// Of this request: a part of the client's trace, or of a new one.
pub fn traceparent(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(TRACEPARENT).and_then(|parent| parent.to_str().ok());
    let mut parent = *b"00-00000000000000000000000000000000-0000000000000000-00";
    match given.and_then(trace) {
        Some((trace, flags)) => {
            parent[TRACE].copy_from_slice(trace.as_bytes());
            parent[FLAGS].copy_from_slice(flags.as_bytes());
        }
        None => {
            let (first, last) = parent[TRACE].split_at_mut(16);
            write_hex(first, random().max(1));
            write_hex(last, random());
        }
    }
    write_hex(&mut parent[SPAN], random().max(1));
    value(&parent)
}

/// Where they stand in a `traceparent`.
const TRACE: Range<usize> = 3..35;
const SPAN: Range<usize> = 36..52;
const FLAGS: Range<usize> = 53..55;

/// The last digits, as many as there is place for.
fn write_hex(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

/// The trace and the flags of a valid `traceparent`. A later version may have more behind.
fn trace(parent: &str) -> Option<(&str, &str)> {
    let mut parts = parent.split('-');
    let mut part = |len: usize| {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        parts.next().filter(|part| part.len() == len && part.bytes().all(hex))
    };
    let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    let whole = version != "00" || parts.next().is_none();
    let zero = |text: &str| text.bytes().all(|byte| byte == b'0');
    (version != "ff" && whole && !zero(trace) && !zero(span)).then_some((trace, flags))
}

/// Seeded by the system, once a thread.
pub fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn value(text: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(text).expect("ASCII")
}

#[cfg(test)]
mod tests {
    use super::trace;

    #[test]
    fn only_whole_parents_are_taken_over() {
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
