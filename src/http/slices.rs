//! A long answer, slice by slice: actix-web copies what a body gives next into the connection's buffer, and
//! would keep a second answer there.

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::web::Bytes;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Bytes at a time.
const SLICE: usize = 64 * 1024;

struct Slices(Bytes);

pub fn body(whole: Vec<u8>) -> BoxBody {
    match whole.len() > SLICE {
        true => BoxBody::new(Slices(whole.into())),
        false => BoxBody::new(whole),
    }
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
