//! Tensors as Triton serves them on SageMaker and on Vertex AI: of the [Open Inference
//! Protocol](crate::protocol::oip), but the content type says where JSON ends, as a proxy before the
//! container passes no other header.

use crate::error::Error;
use crate::protocol::oip::{HEADER_LENGTH, Infer};
use crate::protocol::{Encoded, Protocol};
use ml_app_model::{Signature, Tensors};

pub const SAGEMAKER: &str = "application/vnd.sagemaker-triton.binary+json";
pub const VERTEX: &str = "application/vnd.vertex-ai-triton.binary+json";

/// Bytes of JSON, as a parameter of the content type.
const HEADER_SIZE: &str = "json-header-size";

/// `protocol`, whose answers in bytes are of this media type.
#[derive(Debug, Clone, Copy)]
pub struct Framed<P> {
    pub protocol: P,
    pub media_type: &'static str,
}

/// How the body of a request with this content type is read; `None` if it is of another media type.
///
/// # Errors
///
/// [`Error::Malformed`] where the size of its JSON is no number.
pub fn infer(content_type: &str, media_type: &str) -> Result<Option<Infer>, Error> {
    let mut parts = content_type.split(';').map(str::trim);
    if !parts.next().is_some_and(|found| found.eq_ignore_ascii_case(media_type)) {
        return Ok(None);
    }
    let size = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim_end().eq_ignore_ascii_case(HEADER_SIZE).then_some(value)
    });
    Infer::new(HEADER_SIZE, size).map(Some)
}

impl<P: Protocol> Protocol for Framed<P> {
    type Wish = P::Wish;

    fn decode(
        &self,
        body: &[u8],
        signature: &Signature,
        limit: usize,
    ) -> Result<(Tensors, P::Wish), Error> {
        self.protocol.decode(body, signature, limit)
    }

    fn encode(
        &self,
        wish: P::Wish,
        body: &[u8],
        signature: &Signature,
        outputs: Tensors,
    ) -> Result<Encoded, Error> {
        let mut encoded = self.protocol.encode(wish, body, signature, outputs)?;
        if let Some(at) = encoded.headers.iter().position(|(name, _)| *name == HEADER_LENGTH) {
            let (_, size) = encoded.headers.remove(at);
            encoded.content_type = format!("{};{HEADER_SIZE}={size}", self.media_type).into();
        }
        Ok(encoded)
    }
}
