//! Reading a request's body, within the limits of one body and of all bodies together.

use crate::error::{Busy, Error};
use crate::http::multipart;
use crate::http::negotiate::Coding;
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

/// Maximum size of the buffer that is reserved because of a `Content-Length`, in bytes. Announcing a large
/// body costs a client nothing, so it must not cost the server much memory.
const RESERVED: usize = 64 * 1024;

/// The body of a request, and by when its response is due.
#[derive(Debug)]
pub(crate) struct RequestBody {
    pub(crate) bytes: Bytes,
    /// Compression of `bytes`.
    pub(crate) coding: Coding,
    /// Compression of the response, if it is long enough to be worth it.
    pub(crate) response_coding: Coding,
    /// When the request times out.
    pub(crate) deadline: Instant,
    buffered: BufferedBytes,
}

impl RequestBody {
    /// Returns a body that was not read from the request's payload.
    pub(crate) fn new(bytes: Bytes, state: &State) -> RequestBody {
        RequestBody {
            bytes,
            coding: Coding::Identity,
            response_coding: Coding::Identity,
            deadline: Instant::now() + state.limits.request_timeout,
            buffered: BufferedBytes::new(state),
        }
    }

    /// Reads the body of a request whose response is not to be compressed.
    ///
    /// # Errors
    ///
    /// Returns an error if the server is at capacity, if the coding is unknown, and if the body is too large,
    /// too slow or incomplete.
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
        body.coding = Coding::of_body(request.headers())?;
        state.check_capacity()?;
        let bytes = read(request.headers(), payload, limit, &mut body.buffered);
        body.bytes = in_time(state, bytes).await?;
        Ok(body)
    }

    /// Reads the file of a multipart form.
    ///
    /// # Errors
    ///
    /// Returns an error in the cases of [`RequestBody::read`], and if the body is not a form with a file.
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
        body.bytes = in_time(state, file).await?;
        Ok(body)
    }
}

/// A body's share of the bytes in memory, which are counted for as long as this exists.
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

    /// Returns an error if all bodies together would exceed the limit.
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

/// Returns the value of `Content-Length`.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Returns an error if the headers announce a body of more than `limit` bytes; otherwise returns the length
/// that they announce.
fn check_length(headers: &HeaderMap, limit: usize) -> Result<Option<usize>, Error> {
    match content_length(headers) {
        Some(length) if length > limit => Err(Error::TooLarge { limit }),
        length => Ok(length),
    }
}

async fn read(
    headers: &HeaderMap,
    mut payload: Payload,
    limit: usize,
    buffered: &mut BufferedBytes,
) -> Result<Bytes, Error> {
    let length = check_length(headers, limit)?;
    let mut bytes = BytesMut::with_capacity(length.unwrap_or(0).min(RESERVED));
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

async fn in_time<T>(
    state: &State,
    read: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let time = state.limits.request_timeout;
    timeout(time, read).await.unwrap_or(Err(Error::TooSlow { seconds: time.as_secs() }))
}
