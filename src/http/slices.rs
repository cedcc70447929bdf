//! A response body that is sent in slices. actix-web copies each chunk of a body into the connection's write
//! buffer; given a long body as one chunk, it would hold all of it twice.

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::web::Bytes;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Size of a slice, in bytes.
const SLICE: usize = 64 * 1024;

struct Slices(Bytes);

/// Returns the body of a response; it is sliced if it is longer than a slice.
pub(crate) fn body(whole: Vec<u8>) -> BoxBody {
    if whole.len() > SLICE { BoxBody::new(Slices(whole.into())) } else { BoxBody::new(whole) }
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
        let len = self.0.len().min(SLICE);
        Poll::Ready((len > 0).then(|| Ok(self.0.split_to(len))))
    }
}
