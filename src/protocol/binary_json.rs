//! The binary form of the [Open Inference Protocol](crate::protocol::oip) as Triton serves it on SageMaker and
//! Vertex AI.
//!
//! The size of the JSON at the front of the body is a parameter of the content type, because the platforms'
//! proxies pass no other header to the container.

use crate::error::Error;
use crate::protocol::oip::{HEADER_LENGTH, Infer};
use crate::protocol::{Encoded, Protocol};
use ml_app_model::{Signature, Tensors};

pub const SAGEMAKER: &str = "application/vnd.sagemaker-triton.binary+json";
pub const VERTEX: &str = "application/vnd.vertex-ai-triton.binary+json";

/// Name of the content type's parameter for the size of the JSON, in bytes.
const HEADER_SIZE: &str = "json-header-size";

/// A protocol whose binary responses have the given media type.
#[derive(Debug, Clone, Copy)]
pub struct BinaryJson<P> {
    pub protocol: P,
    pub media_type: &'static str,
}

/// Returns how to decode a body with this content type; `None` if its media type is not `media_type`.
///
/// # Errors
///
/// Returns [`Error::Malformed`] if the size of the JSON is not a number.
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

impl<P: Protocol> Protocol for BinaryJson<P> {
    type ResponseOptions = P::ResponseOptions;

    fn decode(
        &self,
        body: &[u8],
        signature: &Signature,
        limit: usize,
    ) -> Result<(Tensors, P::ResponseOptions), Error> {
        self.protocol.decode(body, signature, limit)
    }

    /// Encodes the response, and moves the size of its JSON from a header to the content type.
    fn encode(
        &self,
        options: P::ResponseOptions,
        body: &[u8],
        signature: &Signature,
        outputs: Tensors,
    ) -> Result<Encoded, Error> {
        let mut encoded = self.protocol.encode(options, body, signature, outputs)?;
        if let Some(at) = encoded.headers.iter().position(|(name, _)| *name == HEADER_LENGTH) {
            let (_, size) = encoded.headers.remove(at);
            encoded.content_type = format!("{};{HEADER_SIZE}={size}", self.media_type).into();
        }
        Ok(encoded)
    }
}
