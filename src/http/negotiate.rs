//! Which format and coding a request is in, and which its answer is to be in.

use crate::error::{Error, RequestError};
pub use crate::protocol::WireFormat;
use actix_web::http::header::{self, HeaderMap};
use flate2::Compression;
use flate2::bufread::{GzEncoder, MultiGzDecoder, ZlibDecoder, ZlibEncoder};
use std::io::Read;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Coding {
    #[default]
    Identity,
    Gzip,
    /// The format of zlib.
    Deflate,
}

/// Shorter answers are not worth it.
const COMPRESSED: usize = 1024;

impl Coding {
    /// The coding of a body.
    ///
    /// # Errors
    ///
    /// [`Error::UnsupportedCoding`].
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

    /// The one the client accepts that it likes best.
    pub fn of_answer(headers: &HeaderMap) -> Coding {
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

    /// As in `Content-Encoding`; `None` where there is nothing to say.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Coding::Identity => None,
            Coding::Gzip => Some("gzip"),
            Coding::Deflate => Some("deflate"),
        }
    }

    /// `body` without its compression.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] past `limit` bytes, [`Error::Malformed`] where it is none of this coding.
    pub fn inflate(self, body: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
        let mut source: Box<dyn Read> = match self {
            Coding::Identity => Box::new(body),
            Coding::Gzip => Box::new(MultiGzDecoder::new(body)),
            Coding::Deflate => Box::new(ZlibDecoder::new(body)),
        };
        let mut inflated = vec![];
        let beyond = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        source.by_ref().take(beyond).read_to_end(&mut inflated).map_err(|error| {
            let name = self.name().unwrap_or("identity");
            let detail = format!("invalid {name} body: {error}");
            Error::Malformed(RequestError::new(detail).into())
        })?;
        match inflated.len() > limit {
            true => Err(Error::TooLarge { limit }),
            false => Ok(inflated),
        }
    }

    /// Compresses `body` if that is worth it, and tells how it is then.
    pub fn deflate(self, body: &mut Vec<u8>) -> Coding {
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
    /// The format of a body; JSON if the request does not say.
    ///
    /// # Errors
    ///
    /// [`Error::UnsupportedFormat`], for a character set other than UTF-8 too.
    pub fn of_body(headers: &HeaderMap) -> Result<WireFormat, Error> {
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

    /// The format of `offered` that the client likes best; the first of them if it has no wish.
    ///
    /// # Errors
    ///
    /// [`Error::NotAcceptable`].
    pub fn of_answer(headers: &HeaderMap, offered: &[WireFormat]) -> Result<WireFormat, Error> {
        let wanted = joined(headers, header::ACCEPT);
        if wanted.trim().is_empty() {
            return Ok(offered[0]);
        }
        // Of equal wishes the first offer wins; `max_by` would take the last.
        let best =
            offered.iter().rev().max_by(|a, b| a.weight(&wanted).total_cmp(&b.weight(&wanted)));
        best.copied().filter(|format| format.weight(&wanted) > 0.0).ok_or_else(|| {
            Error::NotAcceptable {
                offered: list(offered),
                wanted: ml_app_model::value::excerpt(&wanted),
            }
        })
    }
}

impl WireFormat {
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
            // It has no registered name.
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

/// Returns the header `Content-Type`, empty if there is none.
pub(crate) fn content_type(headers: &HeaderMap) -> &str {
    let content_type = headers.get(header::CONTENT_TYPE);
    content_type.and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Whether a client would rather have a page than JSON: a browser.
pub fn wants_page(headers: &HeaderMap) -> bool {
    let accept = joined(headers, header::ACCEPT);
    let page = "text/html";
    media_weight(&accept, page, |name| name == page) > WireFormat::Json.weight(&accept)
}

fn media_weight(accept: &str, media_type: &str, is_called: impl Fn(&str) -> bool) -> f32 {
    weight(accept, |name| match name {
        name if is_called(name) => 3,
        "*/*" => 1,
        name if name.strip_suffix("/*") == media_type.split('/').next() => 2,
        _ => 0,
    })
}

/// All values of a header that is a list.
fn joined(headers: &HeaderMap, name: header::HeaderName) -> String {
    let values: Vec<&str> = headers.get_all(name).filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

/// The weight that a list of ranges gives: that of the most specific of them
/// ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1)). How specific a name is, 0
/// where it is of something else, `specificity` knows.
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

    fn answer(accept: &'static str) -> Option<WireFormat> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        WireFormat::of_answer(&headers, &WireFormat::ALL).ok()
    }

    #[test]
    fn the_most_specific_range_counts() {
        assert_eq!(answer("*/*"), Some(WireFormat::Json));
        assert_eq!(answer("text/csv"), Some(WireFormat::Csv));
        assert_eq!(answer("text/*"), Some(WireFormat::Csv));
        assert_eq!(answer("text/csv;q=0.5, application/x-ndjson"), Some(WireFormat::Ndjson));
        assert_eq!(answer("*/*, application/json;q=0"), Some(WireFormat::Csv));
        assert_eq!(answer("text/html, */*;q=0.1"), Some(WireFormat::Json));
        assert_eq!(answer("application/jsonlines"), Some(WireFormat::Ndjson));
        assert_eq!(answer("image/png"), None);
    }

    #[test]
    fn an_answer_is_compressed_as_the_client_likes_best() {
        let coding = |accepted| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted));
            Coding::of_answer(&headers)
        };
        assert_eq!(Coding::of_answer(&HeaderMap::new()), Coding::Identity);
        assert_eq!(coding("gzip, deflate, br"), Coding::Gzip);
        assert_eq!(coding("gzip;q=0.5, Deflate"), Coding::Deflate);
        assert_eq!(coding("br, *;q=0.1"), Coding::Gzip);
        assert_eq!(coding("gzip;q=0, *"), Coding::Deflate);
        assert_eq!(coding("identity"), Coding::Identity);
    }

    #[test]
    fn browsers_want_pages() {
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
    fn a_body_says_what_it_is() {
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
