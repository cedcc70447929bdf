//! Content negotiation: determines the format and the compression of a request and of its response.

use crate::error::{Error, RequestError};
pub use crate::protocol::WireFormat;
use actix_web::http::header::{self, HeaderMap};
use flate2::Compression;
use flate2::bufread::{GzEncoder, MultiGzDecoder, ZlibDecoder, ZlibEncoder};
use std::io::Read;

/// The compression of a body. HTTP calls it content coding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ContentCoding {
    #[default]
    Identity,
    Gzip,
    /// The zlib format, which HTTP calls `deflate`.
    Deflate,
}

/// Minimum size in bytes of a response body that is compressed. A smaller body fits into one packet without
/// compression.
const MIN_COMPRESSED_SIZE: usize = 1024;

impl ContentCoding {
    /// Returns the coding that `Content-Encoding` declares.
    ///
    /// # Errors
    ///
    /// Returns [`Error::UnsupportedCoding`] if the coding is not supported.
    pub fn from_content_encoding(headers: &HeaderMap) -> Result<ContentCoding, Error> {
        let Some(coding) = headers.get(header::CONTENT_ENCODING) else {
            return Ok(ContentCoding::Identity);
        };
        let coding = coding.to_str().unwrap_or_default().trim();
        match coding.to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(ContentCoding::Identity),
            "gzip" | "x-gzip" => Ok(ContentCoding::Gzip),
            "deflate" => Ok(ContentCoding::Deflate),
            _ => Err(Error::UnsupportedCoding {
                expected: "gzip, deflate or none",
                found: ml_app_model::value::excerpt(coding),
            }),
        }
    }

    /// Returns gzip or deflate, whichever has the greater weight in `Accept-Encoding`, or gzip if the weights are equal.
    /// Returns identity only if the client accepts neither. The weight of `identity` is ignored.
    pub(crate) fn for_response(headers: &HeaderMap) -> ContentCoding {
        let accepted = list_header(headers, header::ACCEPT_ENCODING);
        let weight = |coding: &str| {
            weight(&accepted, |name| match name {
                name if name == coding => 2,
                "*" => 1,
                _ => 0,
            })
        };
        match (weight("gzip"), weight("deflate")) {
            (gzip, deflate) if gzip > 0.0 && gzip >= deflate => ContentCoding::Gzip,
            (_, deflate) if deflate > 0.0 => ContentCoding::Deflate,
            _ => ContentCoding::Identity,
        }
    }

    /// Returns the value of `Content-Encoding`, or `None` if the body is not compressed.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            ContentCoding::Identity => None,
            ContentCoding::Gzip => Some("gzip"),
            ContentCoding::Deflate => Some("deflate"),
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
            ContentCoding::Identity => Box::new(body),
            ContentCoding::Gzip => Box::new(MultiGzDecoder::new(body)),
            ContentCoding::Deflate => Box::new(ZlibDecoder::new(body)),
        };
        let mut decompressed = vec![];
        // Read one byte beyond the limit, to detect a body that is too large.
        let read_limit = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        source.by_ref().take(read_limit).read_to_end(&mut decompressed).map_err(|error| {
            let name = self.name().unwrap_or("identity");
            let detail = format!("invalid {name} body: {error}");
            Error::Malformed(RequestError::new(detail).into())
        })?;
        if decompressed.len() > limit {
            return Err(Error::TooLarge { limit });
        }
        Ok(decompressed)
    }

    /// Compresses `body` if it is large enough, and returns the coding that `body` then has.
    pub fn compress(self, body: &mut Vec<u8>) -> ContentCoding {
        if self == ContentCoding::Identity || body.len() < MIN_COMPRESSED_SIZE {
            return ContentCoding::Identity;
        }
        let (source, level) = (&body[..], Compression::fast());
        let mut compressed = vec![];
        let read = match self {
            ContentCoding::Gzip => GzEncoder::new(source, level).read_to_end(&mut compressed),
            _ => ZlibEncoder::new(source, level).read_to_end(&mut compressed),
        };
        read.expect("reading from a slice does not fail");
        *body = compressed;
        self
    }
}

impl WireFormat {
    /// Returns the format that `Content-Type` declares, or JSON if there is no `Content-Type`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::UnsupportedFormat`] if the format is unknown or the character set is not UTF-8.
    pub(crate) fn from_content_type(headers: &HeaderMap) -> Result<WireFormat, Error> {
        let Some(content_type) = headers.get(header::CONTENT_TYPE) else {
            return Ok(WireFormat::Json);
        };
        let content_type = content_type.to_str().unwrap_or_default();
        let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        let media_type = media_type.trim().to_ascii_lowercase();
        let mut formats = WireFormat::ALL.into_iter();
        let format = formats.find(|format| format.matches(&media_type));
        let charset = parameters.split(';').find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
        });
        let utf8 = charset.is_none_or(|charset| {
            ["utf-8", "utf8", "us-ascii"].iter().any(|name| charset.eq_ignore_ascii_case(name))
        });
        format.filter(|_| utf8).ok_or_else(|| Error::UnsupportedFormat {
            expected: format!("one of {}, in UTF-8", media_types(&WireFormat::ALL)),
            found: ml_app_model::value::excerpt(content_type),
        })
    }

    /// Returns the format in `offered` that the client prefers. If the client has no preference, returns the first
    /// format in `offered`.
    ///
    /// # Errors
    ///
    /// Returns [`Error::NotAcceptable`] if the client accepts no format in `offered`.
    pub(crate) fn for_response(
        headers: &HeaderMap,
        offered: &[WireFormat],
    ) -> Result<WireFormat, Error> {
        let accepted = list_header(headers, header::ACCEPT);
        if accepted.trim().is_empty() {
            return Ok(offered[0]);
        }
        // `max_by` returns the last maximum. The order is reversed, so that the first format in `offered` wins a tie.
        let best =
            offered.iter().rev().max_by(|a, b| a.weight(&accepted).total_cmp(&b.weight(&accepted)));
        best.copied().filter(|format| format.weight(&accepted) > 0.0).ok_or_else(|| {
            Error::NotAcceptable {
                offered: media_types(offered),
                found: ml_app_model::value::excerpt(&accepted),
            }
        })
    }

    /// Returns the formats that the response to a request in this format can have. The first format is the default.
    pub(crate) fn response_formats(self) -> &'static [WireFormat] {
        match self {
            WireFormat::Json => &[WireFormat::Json],
            WireFormat::Csv => &[WireFormat::Csv, WireFormat::Json, WireFormat::Ndjson],
            WireFormat::Ndjson => &[WireFormat::Ndjson, WireFormat::Json],
        }
    }

    /// Returns whether a media type, in lower case, stands for this format.
    fn matches(self, media_type: &str) -> bool {
        match self {
            // NDJSON has no registered media type, and clients use all of these names.
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

    /// Returns the weight of this format in an `Accept` header.
    fn weight(self, accept: &str) -> f32 {
        media_weight(accept, self.media_type(), |name| self.matches(name))
    }
}

/// Lists the media types of formats, for error messages.
fn media_types(formats: &[WireFormat]) -> String {
    let names: Vec<&str> = formats.iter().map(|format| format.media_type()).collect();
    names.join(", ")
}

/// Returns the header `Content-Type`, or an empty string if the header is missing or not ASCII.
pub(crate) fn content_type(headers: &HeaderMap) -> &str {
    let content_type = headers.get(header::CONTENT_TYPE);
    content_type.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Returns whether the client prefers HTML to JSON, as browsers do.
pub(crate) fn prefers_html(headers: &HeaderMap) -> bool {
    let accept = list_header(headers, header::ACCEPT);
    let page = "text/html";
    media_weight(&accept, page, |name| name == page) > WireFormat::Json.weight(&accept)
}

/// Returns the weight of a media type in an `Accept` header. `matches` returns whether a name in the header stands for
/// the media type, because a format may have several names.
fn media_weight(accept: &str, media_type: &str, matches: impl Fn(&str) -> bool) -> f32 {
    weight(accept, |name| match name {
        name if matches(name) => 3,
        "*/*" => 1,
        name if name.strip_suffix("/*") == media_type.split('/').next() => 2,
        _ => 0,
    })
}

/// Returns the values of a list header, joined by commas.
fn list_header(headers: &HeaderMap, name: header::HeaderName) -> String {
    let values: Vec<&str> = headers.get_all(name).filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

/// Returns the weight (0.0–1.0) of the most specific matching range in a list of ranges such as `text/*;q=0.5`, or 0 if
/// no range matches ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1)).
///
/// `specificity` receives the name of a range, such as `text/*`, in lower case. It returns 0 if the range does not
/// match, and a greater number for a more specific range.
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

    /// Returns the response format for the value of an `Accept` header, if all formats are offered.
    fn response(accept: &'static str) -> Option<WireFormat> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        WireFormat::for_response(&headers, &WireFormat::ALL).ok()
    }

    #[test]
    fn the_most_specific_range_determines_the_weight() {
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
    fn chooses_the_coding_that_the_client_prefers() {
        let coding = |accepted| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted));
            ContentCoding::for_response(&headers)
        };
        assert_eq!(ContentCoding::for_response(&HeaderMap::new()), ContentCoding::Identity);
        assert_eq!(coding("gzip, deflate, br"), ContentCoding::Gzip);
        assert_eq!(coding("gzip;q=0.5, Deflate"), ContentCoding::Deflate);
        assert_eq!(coding("br, *;q=0.1"), ContentCoding::Gzip);
        assert_eq!(coding("gzip;q=0, *"), ContentCoding::Deflate);
        assert_eq!(coding("identity"), ContentCoding::Identity);
    }

    #[test]
    fn browsers_prefer_html() {
        let prefers_html = |accept| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            prefers_html(&headers)
        };
        assert!(prefers_html("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(!prefers_html("*/*"));
        assert!(!prefers_html("application/json, text/html;q=0.5"));
    }

    #[test]
    fn reads_the_format_from_the_content_type() {
        let format = |content_type| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            WireFormat::from_content_type(&headers).ok()
        };
        assert_eq!(WireFormat::from_content_type(&HeaderMap::new()).ok(), Some(WireFormat::Json));
        assert_eq!(format("Application/JSON; charset=UTF-8"), Some(WireFormat::Json));
        assert_eq!(format("text/csv; header=present"), Some(WireFormat::Csv));
        assert_eq!(format("text/csv; charset=utf-16"), None);
        assert_eq!(format("application/x-www-form-urlencoded"), None);
    }
}
