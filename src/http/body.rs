//! Reads the body of a request, and enforces two limits: for the size of one body, and for the total size of all bodies
//! as received. Decompressed bytes do not count towards the total. The body of a prediction is decompressed on an
//! inference thread immediately before it is decoded, so there is at most one decompressed body per running prediction.

use crate::error::{Busy, Error};
use crate::http::multipart;
use crate::http::negotiate::ContentCoding;
use crate::http::state::State;
use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap};
use actix_web::rt::time::timeout;
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

/// Maximum size in bytes of the buffer that is allocated before any byte of a body has arrived. A client can announce a
/// large body in `Content-Length` without sending it, so the announcement alone must not use much memory.
const MAX_RESERVED: usize = 64 * 1024;

/// The body of a request, and the time at which the request times out.
#[derive(Debug)]
pub(crate) struct RequestBody {
    pub(crate) bytes: Bytes,
    /// Compression of `bytes`.
    pub(crate) coding: ContentCoding,
    /// Compression of the response, unless the response is [too small](ContentCoding::compress) to be compressed.
    pub(crate) response_coding: ContentCoding,
    /// Time at which the request times out.
    pub(crate) deadline: Instant,
    buffered: BufferedBytes,
}

impl RequestBody {
    /// Returns a body of bytes that were not read from the request's payload.
    pub(crate) fn new(bytes: Bytes, state: &State) -> RequestBody {
        RequestBody {
            bytes,
            coding: ContentCoding::Identity,
            response_coding: ContentCoding::Identity,
            deadline: Instant::now() + state.limits.request_timeout,
            buffered: BufferedBytes::new(state),
        }
    }

    /// Reads the body of a request. The response will not be compressed, unless the caller sets `response_coding`.
    ///
    /// # Errors
    ///
    /// Returns an error if the server is at capacity, if the content coding is unknown, or if the body is too large,
    /// arrives too slowly or is incomplete.
    pub(crate) async fn read(
        request: &HttpRequest,
        payload: Payload,
        state: &State,
    ) -> Result<RequestBody, Error> {
        RequestBody::read_up_to(state.limits.max_body, request, payload, state).await
    }

    /// Reads a body of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`RequestBody::read`].
    pub(crate) async fn read_up_to(
        limit: usize,
        request: &HttpRequest,
        payload: Payload,
        state: &State,
    ) -> Result<RequestBody, Error> {
        let mut body = RequestBody::new(Bytes::new(), state);
        body.coding = ContentCoding::from_content_encoding(request.headers())?;
        state.check_capacity()?;
        let bytes = read(request.headers(), payload, limit, &mut body.buffered);
        body.bytes = with_timeout(state, bytes).await?;
        Ok(body)
    }

    /// Reads the file of a multipart form.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`RequestBody::read`], or if the body is not a form with a file.
    pub(crate) async fn read_file(
        request: &HttpRequest,
        payload: Payload,
        state: &State,
    ) -> Result<RequestBody, Error> {
        let mut body = RequestBody::new(Bytes::new(), state);
        state.check_capacity()?;
        let (headers, limit) = (request.headers(), state.limits.max_body);
        check_length(headers, limit)?;
        let file = multipart::read_file(headers, payload, limit, |bytes| body.buffered.add(bytes));
        body.bytes = with_timeout(state, file).await?;
        Ok(body)
    }
}

/// The number of buffered bytes of one body, as received. While this value exists, the bytes count towards the limit for all bodies
/// together.
#[derive(Debug)]
pub(crate) struct BufferedBytes {
    total: Arc<AtomicUsize>,
    limit: usize,
    bytes: usize,
}

impl BufferedBytes {
    fn new(state: &State) -> BufferedBytes {
        let limit = state.limits.max_buffered;
        BufferedBytes { total: state.buffered.clone(), limit, bytes: 0 }
    }

    /// Adds `bytes` to the number of buffered bytes. Returns an error if all bodies together exceed the limit.
    pub(crate) fn add(&mut self, bytes: usize) -> Result<(), Error> {
        self.bytes += bytes;
        if self.total.fetch_add(bytes, Relaxed) + bytes <= self.limit {
            Ok(())
        } else {
            Err(Error::Busy(Busy::Buffered { limit: self.limit }))
        }
    }
}

impl Drop for BufferedBytes {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Relaxed);
    }
}

/// Returns the value of `Content-Length`, or `None` if the header is missing or invalid.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Returns the value of `Content-Length`, or an error if this value exceeds `limit`.
fn check_length(headers: &HeaderMap, limit: usize) -> Result<Option<usize>, Error> {
    match content_length(headers) {
        Some(length) if length > limit => Err(Error::TooLarge { limit }),
        length => Ok(length),
    }
}

/// Reads a body of at most `limit` bytes, and adds the size of each chunk to `buffered`.
async fn read(
    headers: &HeaderMap,
    mut payload: Payload,
    limit: usize,
    buffered: &mut BufferedBytes,
) -> Result<Bytes, Error> {
    let length = check_length(headers, limit)?;
    let mut bytes = BytesMut::with_capacity(length.unwrap_or(0).min(MAX_RESERVED));
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| Error::Interrupted(error.to_string()))?;
        if bytes.len() + chunk.len() > limit {
            return Err(Error::TooLarge { limit });
        }
        buffered.add(chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// Waits for a body, and returns an error if it does not arrive within the request timeout.
async fn with_timeout<T>(
    state: &State,
    read: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let time = state.limits.request_timeout;
    timeout(time, read).await.unwrap_or(Err(Error::TooSlow { seconds: time.as_secs() }))
}
