//! A response body that is sent in slices. actix-web copies each chunk of a body to the connection's write buffer. If a
//! long body were a single chunk, the whole body would be in memory twice.

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::web::Bytes;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Size of a slice, in bytes.
const SLICE_SIZE: usize = 64 * 1024;

/// The bytes that have not been sent yet.
struct Slices(Bytes);

/// Returns a response body, which is sent in slices if `whole` is longer than one slice.
pub(crate) fn body(whole: Vec<u8>) -> BoxBody {
    if whole.len() > SLICE_SIZE { BoxBody::new(Slices(whole.into())) } else { BoxBody::new(whole) }
}

impl MessageBody for Slices {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.0.len() as u64)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        let len = self.0.len().min(SLICE_SIZE);
        Poll::Ready((len > 0).then(|| Ok(self.0.split_to(len))))
    }
}
