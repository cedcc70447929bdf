//! Which format and coding a request is in, and which its answer is to be in.

use crate::error::{Error, Fault};
pub use crate::protocol::Format;
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
            _ => Err(Error::UnsupportedCoding(ml_app_model::value::excerpt(coding))),
        }
    }

    /// The one the client accepts that it likes best.
    pub fn of_answer(headers: &HeaderMap) -> Coding {
        let accepted: Vec<&str> = headers
            .get_all(header::ACCEPT_ENCODING)
            .filter_map(|value| value.to_str().ok())
            .collect();
        let weight = |name: &str| {
            let codings = accepted.iter().flat_map(|value| value.split(','));
            let of = |coding: &str| {
                let (found, parameter) = coding.split_once(';').unwrap_or((coding, ""));
                let weight = parameter.trim().strip_prefix("q=").unwrap_or("1");
                found.trim().eq_ignore_ascii_case(name).then(|| weight.parse().unwrap_or(0.0))
            };
            codings.filter_map(of).fold(0.0_f32, f32::max)
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
            let detail =
                format!("expected a body in the coding {name}, but found a fault: {error}");
            Error::Malformed(Fault::new(detail).into())
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

impl Format {
    /// The format of a body; JSON if the request does not say.
    ///
    /// # Errors
    ///
    /// [`Error::UnsupportedFormat`], for a character set other than UTF-8 too.
    pub fn of_body(headers: &HeaderMap) -> Result<Format, Error> {
        let Some(content_type) = headers.get(header::CONTENT_TYPE) else {
            return Ok(Format::Json);
        };
        let content_type = content_type.to_str().unwrap_or_default();
        let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        let format = match media_type.trim().to_ascii_lowercase().as_str() {
            "application/json" => Some(Format::Json),
            "text/csv" => Some(Format::Csv),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => {
                Some(Format::Ndjson)
            }
            _ => None,
        };
        let charset = parameters.split(';').find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
        });
        let utf8 = charset.is_none_or(|charset| {
            ["utf-8", "utf8", "us-ascii"].iter().any(|known| charset.eq_ignore_ascii_case(known))
        });
        format.filter(|_| utf8).ok_or_else(|| Error::UnsupportedFormat {
            expected: format!("one of {}, in UTF-8", list(&Format::ALL)),
            found: ml_app_model::value::excerpt(content_type),
        })
    }

    /// The format of `offered` that the client likes best; the first of them if it has no wish.
    ///
    /// # Errors
    ///
    /// [`Error::NotAcceptable`].
    pub fn of_answer(headers: &HeaderMap, offered: &[Format]) -> Result<Format, Error> {
        let wanted: Vec<&str> =
            headers.get_all(header::ACCEPT).filter_map(|value| value.to_str().ok()).collect();
        let wanted = wanted.join(",");
        if wanted.trim().is_empty() {
            return Ok(offered[0]);
        }
        // Of equal wishes the first offer wins; `max_by` would take the last.
        let best = offered.iter().rev().max_by(|a, b| {
            let weight = |format: &Format| weight(&wanted, format.media_type());
            weight(a).total_cmp(&weight(b))
        });
        best.copied().filter(|format| weight(&wanted, format.media_type()) > 0.0).ok_or_else(|| {
            Error::NotAcceptable {
                offered: list(offered),
                wanted: ml_app_model::value::excerpt(&wanted),
            }
        })
    }
}

fn list(formats: &[Format]) -> String {
    let names: Vec<&str> = formats.iter().map(|format| format.media_type()).collect();
    names.join(", ")
}

/// The weight that an `Accept` header gives a media type: that of its most specific range
/// ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1)).
fn weight(accept: &str, media_type: &str) -> f32 {
    let mut best = (0, 0.0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let specificity = match name.as_str() {
            "*/*" => 1,
            name if name == media_type => 3,
            "application/ndjson" | "application/jsonl" if media_type == "application/x-ndjson" => 3,
            name if name.strip_suffix("/*") == media_type.split('/').next() => 2,
            _ => continue,
        };
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

    fn answer(accept: &'static str) -> Option<Format> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        Format::of_answer(&headers, &Format::ALL).ok()
    }

    #[test]
    fn the_most_specific_range_counts() {
        assert_eq!(answer("*/*"), Some(Format::Json));
        assert_eq!(answer("text/csv"), Some(Format::Csv));
        assert_eq!(answer("text/*"), Some(Format::Csv));
        assert_eq!(answer("text/csv;q=0.5, application/x-ndjson"), Some(Format::Ndjson));
        assert_eq!(answer("*/*, application/json;q=0"), Some(Format::Csv));
        assert_eq!(answer("text/html, */*;q=0.1"), Some(Format::Json));
        assert_eq!(answer("image/png"), None);
    }

    #[test]
    fn a_body_says_what_it_is() {
        let body = |content_type| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            Format::of_body(&headers).ok()
        };
        assert_eq!(Format::of_body(&HeaderMap::new()).ok(), Some(Format::Json));
        assert_eq!(body("Application/JSON; charset=UTF-8"), Some(Format::Json));
        assert_eq!(body("text/csv; header=present"), Some(Format::Csv));
        assert_eq!(body("text/csv; charset=utf-16"), None);
        assert_eq!(body("application/x-www-form-urlencoded"), None);
    }
}
