//! The binary form of the [Open Inference Protocol](crate::protocol::oip) as Triton serves it on SageMaker and
//! Vertex AI.
//!
//! The body begins with JSON, and binary tensors follow. The size of the JSON is a parameter of the content type,
//! because the platforms' proxies pass only `Content-Type` to the container.

use crate::error::Error;
use crate::protocol::oip::{Infer, JSON_SIZE_HEADER};
use crate::protocol::{Encoded, Protocol};
use ml_app_model::{Signature, Tensors};

pub const SAGEMAKER_MEDIA_TYPE: &str = "application/vnd.sagemaker-triton.binary+json";
pub const VERTEX_MEDIA_TYPE: &str = "application/vnd.vertex-ai-triton.binary+json";

/// Content-type parameter that holds the size of the JSON in bytes.
const JSON_SIZE_PARAMETER: &str = "json-header-size";

/// A protocol that encodes responses as `protocol` does, but gives binary responses the media type `media_type`.
#[derive(Debug, Clone, Copy)]
pub struct BinaryJson<P> {
    pub protocol: P,
    pub media_type: &'static str,
}

/// Returns the form of a body with this content type, or `None` if the content type has a different media type than
/// `media_type`.
///
/// # Errors
///
/// Returns [`Error::Malformed`] if the size of the JSON is not a number.
pub fn infer_form(content_type: &str, media_type: &str) -> Result<Option<Infer>, Error> {
    let mut parts = content_type.split(';').map(str::trim);
    if !parts.next().is_some_and(|found| found.eq_ignore_ascii_case(media_type)) {
        return Ok(None);
    }
    let size = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim_end().eq_ignore_ascii_case(JSON_SIZE_PARAMETER).then_some(value)
    });
    Infer::new(JSON_SIZE_PARAMETER, size).map(Some)
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

    /// Encodes the response. If the response is binary, moves the size of the JSON from a header to the content type.
    fn encode(
        &self,
        options: P::ResponseOptions,
        body: &[u8],
        signature: &Signature,
        outputs: Tensors,
    ) -> Result<Encoded, Error> {
        let mut encoded = self.protocol.encode(options, body, signature, outputs)?;
        if let Some(at) = encoded.headers.iter().position(|(name, _)| *name == JSON_SIZE_HEADER) {
            let (_, size) = encoded.headers.remove(at);
            encoded.content_type =
                format!("{};{JSON_SIZE_PARAMETER}={size}", self.media_type).into();
        }
        Ok(encoded)
    }
}
