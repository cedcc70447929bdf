//! The file of a multipart form.

use crate::error::{Error, RequestError};
use crate::http::negotiate::{Coding, content_type};
use actix_multipart::{Multipart, MultipartError};
use actix_web::error::PayloadError;
use actix_web::http::header::HeaderMap;
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;

/// Name of the form's part that contains the file.
const FILE: &str = "file";

/// Reads the one part called `file` of a form of at most `limit` bytes. `buffer` is called with the size of
/// each piece of the file before it is kept.
///
/// # Errors
///
/// Returns an error if the body is no form, has no or several files, or exceeds a limit.
pub(crate) async fn read_file(
    headers: &HeaderMap,
    payload: Payload,
    limit: usize,
    mut buffer: impl FnMut(usize) -> Result<(), Error>,
) -> Result<Bytes, Error> {
    let content_type = content_type(headers);
    if !content_type.to_ascii_lowercase().starts_with("multipart/form-data") {
        return Err(unsupported_form(content_type));
    }
    let coding = Coding::of_body(headers)?;
    if coding != Coding::Identity {
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
        let is_file = part.name() == Some(FILE);
        if is_file && file.is_some() {
            let fault = RequestError::new("expected one part named `file`, found a second");
            return Err(Error::Malformed(fault.into()));
        }
        let mut bytes = BytesMut::new();
        while let Some(chunk) = part.next().await {
            let chunk = chunk.map_err(|error| form_error(content_type, limit, error))?;
            if is_file {
                buffer(chunk.len())?;
                bytes.extend_from_slice(&chunk);
            }
        }
        if is_file {
            file = Some(bytes);
        }
    }
    file.map(BytesMut::freeze).ok_or_else(|| {
        let fault = RequestError::new("expected a part named `file` that holds a CSV, found none");
        Error::Malformed(fault.into())
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
        error => {
            let detail = format!("invalid multipart form: {error}");
            Error::Malformed(RequestError::new(detail).into())
        }
    }
}
