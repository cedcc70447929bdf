//! Content negotiation: the format and the compression of a request, and those of its response.

use crate::error::{Error, RequestError};
pub use crate::protocol::WireFormat;
use actix_web::http::header::{self, HeaderMap};
use flate2::Compression;
use flate2::bufread::{GzEncoder, MultiGzDecoder, ZlibDecoder, ZlibEncoder};
use std::io::Read;

/// The compression of a body: HTTP's content coding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Coding {
    #[default]
    Identity,
    Gzip,
    /// The zlib format, as HTTP defines `deflate`.
    Deflate,
}

/// Minimum size of a response that is compressed, in bytes. Compressing less saves no packet.
const COMPRESSED: usize = 1024;

impl Coding {
    /// Returns the coding of a request's body.
    ///
    /// # Errors
    ///
    /// Returns [`Error::UnsupportedCoding`] if `Content-Encoding` names another coding.
    pub fn of_body(headers: &HeaderMap) -> Result<Coding, Error> {
        let Some(coding) = headers.get(header::CONTENT_ENCODING) else {
            return Ok(Coding::Identity);
        };
        let coding = coding.to_str().unwrap_or_default().trim();
        match coding.to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Coding::Identity),
            "gzip" | "x-gzip" => Ok(Coding::Gzip),
            "deflate" => Ok(Coding::Deflate),
            _ => Err(Error::UnsupportedCoding {
                expected: "gzip, deflate or none",
                found: ml_app_model::value::excerpt(coding),
            }),
        }
    }

    /// Returns the coding that the client prefers for the response.
    pub(crate) fn of_response(headers: &HeaderMap) -> Coding {
        let accepted = joined(headers, header::ACCEPT_ENCODING);
        let weight = |coding: &str| {
            weight(&accepted, |name| match name {
                name if name == coding => 2,
                "*" => 1,
                _ => 0,
            })
        };
        match (weight("gzip"), weight("deflate")) {
            (gzip, deflate) if gzip > 0.0 && gzip >= deflate => Coding::Gzip,
            (_, deflate) if deflate > 0.0 => Coding::Deflate,
            _ => Coding::Identity,
        }
    }

    /// Returns the value of `Content-Encoding`, or `None` if the body is not compressed.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Coding::Identity => None,
            Coding::Gzip => Some("gzip"),
            Coding::Deflate => Some("deflate"),
        }
    }

    /// Decompresses `body`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::TooLarge`] if the decompressed size exceeds `limit` bytes, and [`Error::Malformed`] if
    /// the body is not in this coding.
    pub fn decompress(self, body: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
        let mut source: Box<dyn Read> = match self {
            Coding::Identity => Box::new(body),
            Coding::Gzip => Box::new(MultiGzDecoder::new(body)),
            Coding::Deflate => Box::new(ZlibDecoder::new(body)),
        };
        let mut decompressed = vec![];
        // One byte more than allowed is enough to find out.
        let beyond = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        source.by_ref().take(beyond).read_to_end(&mut decompressed).map_err(|error| {
            let name = self.name().unwrap_or("identity");
            let detail = format!("invalid {name} body: {error}");
            Error::Malformed(RequestError::new(detail).into())
        })?;
        if decompressed.len() > limit {
            return Err(Error::TooLarge { limit });
        }
        Ok(decompressed)
    }

    /// Compresses `body` if it is long enough, and returns the coding that it then has.
    pub fn compress(self, body: &mut Vec<u8>) -> Coding {
        if self == Coding::Identity || body.len() < COMPRESSED {
            return Coding::Identity;
        }
        let (source, level) = (&body[..], Compression::fast());
        let mut compressed = vec![];
        let read = match self {
            Coding::Gzip => GzEncoder::new(source, level).read_to_end(&mut compressed),
            _ => ZlibEncoder::new(source, level).read_to_end(&mut compressed),
        };
        read.expect("memory can be read");
        *body = compressed;
        self
    }
}

impl WireFormat {
    /// Returns the format of a request's body; JSON if there is no `Content-Type`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::UnsupportedFormat`] if the format is unknown or the character set is not UTF-8.
    pub(crate) fn of_body(headers: &HeaderMap) -> Result<WireFormat, Error> {
        let Some(content_type) = headers.get(header::CONTENT_TYPE) else {
            return Ok(WireFormat::Json);
        };
        let content_type = content_type.to_str().unwrap_or_default();
        let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        let media_type = media_type.trim().to_ascii_lowercase();
        let mut formats = WireFormat::ALL.into_iter();
        let format = formats.find(|format| format.is_called(&media_type));
        let charset = parameters.split(';').find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
        });
        let utf8 = charset.is_none_or(|charset| {
            ["utf-8", "utf8", "us-ascii"].iter().any(|known| charset.eq_ignore_ascii_case(known))
        });
        format.filter(|_| utf8).ok_or_else(|| Error::UnsupportedFormat {
            expected: format!("one of {}, in UTF-8", list(&WireFormat::ALL)),
            found: ml_app_model::value::excerpt(content_type),
        })
    }

    /// Returns the format in `offered` that the client prefers, or the first if the client has no preference.
    ///
    /// # Errors
    ///
    /// Returns [`Error::NotAcceptable`] if the client accepts none of them.
    pub(crate) fn of_response(
        headers: &HeaderMap,
        offered: &[WireFormat],
    ) -> Result<WireFormat, Error> {
        let wanted = joined(headers, header::ACCEPT);
        if wanted.trim().is_empty() {
            return Ok(offered[0]);
        }
        // Of equal weights, the first offer wins; `max_by` returns the last.
        let best =
            offered.iter().rev().max_by(|a, b| a.weight(&wanted).total_cmp(&b.weight(&wanted)));
        best.copied().filter(|format| format.weight(&wanted) > 0.0).ok_or_else(|| {
            Error::NotAcceptable {
                offered: list(offered),
                wanted: ml_app_model::value::excerpt(&wanted),
            }
        })
    }

    /// Returns the formats that a response to a request in this format can have; the first is preferred.
    pub(crate) fn responses(self) -> &'static [WireFormat] {
        match self {
            WireFormat::Json => &[WireFormat::Json],
            WireFormat::Csv => &[WireFormat::Csv, WireFormat::Json, WireFormat::Ndjson],
            WireFormat::Ndjson => &[WireFormat::Ndjson, WireFormat::Json],
        }
    }

    fn is_called(self, media_type: &str) -> bool {
        match self {
            // NDJSON has no registered media type; these are in use.
            WireFormat::Ndjson => [
                self.media_type(),
                "application/ndjson",
                "application/jsonl",
                "application/jsonlines",
            ]
            .contains(&media_type),
            _ => media_type == self.media_type(),
        }
    }

    fn weight(self, accept: &str) -> f32 {
        media_weight(accept, self.media_type(), |name| self.is_called(name))
    }
}

fn list(formats: &[WireFormat]) -> String {
    let names: Vec<&str> = formats.iter().map(|format| format.media_type()).collect();
    names.join(", ")
}

/// Returns the header `Content-Type`, or an empty text if it is missing.
pub(crate) fn content_type(headers: &HeaderMap) -> &str {
    let content_type = headers.get(header::CONTENT_TYPE);
    content_type.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Returns whether the client prefers HTML to JSON, as browsers do.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    let accept = joined(headers, header::ACCEPT);
    let page = "text/html";
    media_weight(&accept, page, |name| name == page) > WireFormat::Json.weight(&accept)
}

/// Returns the weight of a media type in an `Accept` header.
fn media_weight(accept: &str, media_type: &str, is_called: impl Fn(&str) -> bool) -> f32 {
    weight(accept, |name| match name {
        name if is_called(name) => 3,
        "*/*" => 1,
        name if name.strip_suffix("/*") == media_type.split('/').next() => 2,
        _ => 0,
    })
}

/// Returns all values of a header that is a list.
fn joined(headers: &HeaderMap, name: header::HeaderName) -> String {
    let values: Vec<&str> = headers.get_all(name).filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

/// Returns the weight (0.0–1.0) that a list of ranges such as `text/*;q=0.5` gives to something: the weight of
/// the most specific range that matches it
/// ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1)). `specificity` returns how specific a
/// range is, or 0 if it does not match.
fn weight(ranges: &str, specificity: impl Fn(&str) -> u8) -> f32 {
    let mut best = (0, 0.0);
    for range in ranges.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let specificity = specificity(&name);
        let weight = parts
            .find_map(|parameter| parameter.strip_prefix(['q', 'Q'])?.strip_prefix('='))
            .map_or(1.0, |weight| weight.parse().unwrap_or(0.0));
        if specificity > best.0 {
            best = (specificity, weight);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    fn response(accept: &'static str) -> Option<WireFormat> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        WireFormat::of_response(&headers, &WireFormat::ALL).ok()
    }

    #[test]
    fn uses_the_most_specific_range() {
        assert_eq!(response("*/*"), Some(WireFormat::Json));
        assert_eq!(response("text/csv"), Some(WireFormat::Csv));
        assert_eq!(response("text/*"), Some(WireFormat::Csv));
        assert_eq!(response("text/csv;q=0.5, application/x-ndjson"), Some(WireFormat::Ndjson));
        assert_eq!(response("*/*, application/json;q=0"), Some(WireFormat::Csv));
        assert_eq!(response("text/html, */*;q=0.1"), Some(WireFormat::Json));
        assert_eq!(response("application/jsonlines"), Some(WireFormat::Ndjson));
        assert_eq!(response("image/png"), None);
    }

    #[test]
    fn compresses_a_response_as_the_client_prefers() {
        let coding = |accepted| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted));
            Coding::of_response(&headers)
        };
        assert_eq!(Coding::of_response(&HeaderMap::new()), Coding::Identity);
        assert_eq!(coding("gzip, deflate, br"), Coding::Gzip);
        assert_eq!(coding("gzip;q=0.5, Deflate"), Coding::Deflate);
        assert_eq!(coding("br, *;q=0.1"), Coding::Gzip);
        assert_eq!(coding("gzip;q=0, *"), Coding::Deflate);
        assert_eq!(coding("identity"), Coding::Identity);
    }

    #[test]
    fn prefers_a_page_for_browsers() {
        let wants_page = |accept| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            wants_page(&headers)
        };
        assert!(wants_page("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(!wants_page("*/*"));
        assert!(!wants_page("application/json, text/html;q=0.5"));
    }

    #[test]
    fn reads_the_format_from_the_content_type() {
        let body = |content_type| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            WireFormat::of_body(&headers).ok()
        };
        assert_eq!(WireFormat::of_body(&HeaderMap::new()).ok(), Some(WireFormat::Json));
        assert_eq!(body("Application/JSON; charset=UTF-8"), Some(WireFormat::Json));
        assert_eq!(body("text/csv; header=present"), Some(WireFormat::Csv));
        assert_eq!(body("text/csv; charset=utf-16"), None);
        assert_eq!(body("application/x-www-form-urlencoded"), None);
    }
}
