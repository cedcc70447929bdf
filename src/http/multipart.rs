//! Reads the file of a multipart form.

use crate::error::Error;
use crate::http::negotiate::{ContentCoding, content_type};
use actix_multipart::{Multipart, MultipartError};
use actix_web::error::PayloadError;
use actix_web::http::header::HeaderMap;
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;

/// Name of the form's part that contains the file.
const FILE_PART: &str = "file";

/// Reads the file of a form, which is the part called `file`. The form may have at most `limit` bytes. Calls `reserve`
/// with the size of each chunk of the file before the chunk is stored.
///
/// # Errors
///
/// Returns an error if the body is not a form, if it does not contain exactly one file, or if it exceeds a limit.
pub(crate) async fn read_file(
    headers: &HeaderMap,
    payload: Payload,
    limit: usize,
    mut reserve: impl FnMut(usize) -> Result<(), Error>,
) -> Result<Bytes, Error> {
    let content_type = content_type(headers);
    if !content_type.to_ascii_lowercase().starts_with("multipart/form-data") {
        return Err(unsupported_form(content_type));
    }
    let coding = ContentCoding::from_content_encoding(headers)?;
    if coding != ContentCoding::Identity {
        return Err(Error::UnsupportedCoding {
            expected: "none for a form",
            found: coding.name().unwrap_or_default().to_owned(),
        });
    }
    let mut total = 0;
    let payload = payload.map(move |chunk| {
        let chunk = chunk?;
        total += chunk.len();
        if total > limit { Err(PayloadError::Overflow) } else { Ok(chunk) }
    });
    let mut form = Multipart::new(headers, payload);
    let mut file: Option<BytesMut> = None;
    while let Some(part) = form.next().await {
        let mut part = part.map_err(|error| form_error(content_type, limit, error))?;
        let is_file = part.name() == Some(FILE_PART);
        if is_file && file.is_some() {
            return Err(Error::malformed("expected one part named `file`, found a second"));
        }
        let mut bytes = BytesMut::new();
        while let Some(chunk) = part.next().await {
            let chunk = chunk.map_err(|error| form_error(content_type, limit, error))?;
            if is_file {
                reserve(chunk.len())?;
                bytes.extend_from_slice(&chunk);
            }
        }
        if is_file {
            file = Some(bytes);
        }
    }
    file.map(BytesMut::freeze).ok_or_else(|| {
        Error::malformed("expected a part named `file` that holds a CSV, found none")
    })
}

fn unsupported_form(content_type: &str) -> Error {
    let found = if content_type.is_empty() { "none" } else { content_type };
    Error::UnsupportedFormat {
        expected: "multipart/form-data with a boundary".into(),
        found: ml_app_model::value::excerpt(found),
    }
}

fn form_error(content_type: &str, limit: usize, error: MultipartError) -> Error {
    match error {
        MultipartError::Payload(PayloadError::Overflow) => Error::TooLarge { limit },
        MultipartError::BoundaryMissing if !content_type.contains("boundary=") => {
            unsupported_form(content_type)
        }
        error => Error::malformed(format!("invalid multipart form: {error}")),
    }
}
