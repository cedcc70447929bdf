//! Wire formats. A protocol decodes request bodies to [`Tensors`] that agree with a [`Signature`], and encodes output
//! tensors as response bodies. Nothing here depends on HTTP.
//!
//! Each protocol has a module:
//!
//! - [`features`]: named features as JSON, NDJSON or CSV, and in a query string.
//! - [`instances`]: the JSON of KServe v1, TensorFlow Serving and Vertex AI.
//! - [`oip`]: the Open Inference Protocol (KServe v2, Triton), with its binary tensor extension.
//! - [`auto_detect`]: JSON of any of these protocols, for routes that clients of several protocols share.
//! - [`binary_json`]: JSON followed by binary tensors, in Triton's format for SageMaker and Vertex AI.
//! - [`sagemaker_csv`]: CSV that may lack the header row.
//!
//! Modules that the protocols share:
//!
//! - `reader`: collects rows and the errors found in them.
//! - `cell`: decodes the value of one feature in one row.
//! - `csv`: reads and writes tables.
//! - [`json`]: functions for all JSON formats, and the fast path for bodies that contain only numbers.
//! - [`predictions`]: encodes predictions for [`features`] and `csv`.
//! - `number` and `float`: parse and print numbers.

pub mod auto_detect;
pub mod binary_json;
mod cell;
pub(crate) mod csv;
pub mod features;
mod float;
pub mod instances;
pub mod json;
mod number;
pub mod oip;
pub mod predictions;
pub(crate) mod reader;
pub mod sagemaker_csv;

use crate::error::Error;
use ml_app_model::{RowOutputs, Signature, Tensors};
use std::borrow::Cow;

/// Decodes a request and encodes the response to it.
pub trait Protocol: Send + 'static {
    /// Options that a request sets for its response, such as the layout or the outputs to return.
    type ResponseOptions: Send;

    /// Decodes a request body.
    ///
    /// `limit` is the maximum number of values in all rows together. A body may leave out optional values, so
    /// its tensors can be much larger than the body itself.
    ///
    /// # Errors
    ///
    /// Returns an error if the body is malformed, or if its values do not fit the signature.
    fn decode(
        &self,
        body: &[u8],
        signature: &Signature,
        limit: usize,
    ) -> Result<(Tensors, Self::ResponseOptions), Error>;

    /// Encodes the response. `body` is the body of the request, whose cells a CSV response repeats.
    ///
    /// # Errors
    ///
    /// Returns an error if the outputs cannot be written in this protocol.
    fn encode(
        &self,
        options: Self::ResponseOptions,
        body: &[u8],
        signature: &Signature,
        outputs: Tensors,
    ) -> Result<Encoded, Error>;
}

/// An encoded response.
#[derive(Debug)]
pub struct Encoded {
    pub content_type: Cow<'static, str>,
    /// Headers that the protocol adds to the response.
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
}

/// The body of an encoded response.
#[derive(Debug)]
pub enum Body {
    /// The encoded bytes.
    Whole(Vec<u8>),
    /// Outputs to encode as NDJSON while the response is being sent.
    Lines(RowOutputs),
}

/// A format of named features, in a request or a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireFormat {
    Json,
    Csv,
    Ndjson,
}

impl WireFormat {
    pub const ALL: [WireFormat; 3] = [WireFormat::Json, WireFormat::Csv, WireFormat::Ndjson];

    pub fn media_type(self) -> &'static str {
        match self {
            WireFormat::Json => "application/json",
            WireFormat::Csv => "text/csv",
            WireFormat::Ndjson => "application/x-ndjson",
        }
    }

    /// Returns the content type of a response. Clients such as Python's `requests` read CSV as ISO 8859-1 if the content
    /// type has no charset. The media type of JSON has no parameter `charset`
    /// ([RFC 8259](https://www.rfc-editor.org/rfc/rfc8259#section-11)).
    pub fn content_type(self) -> &'static str {
        match self {
            WireFormat::Json => "application/json",
            WireFormat::Csv => "text/csv; charset=utf-8",
            WireFormat::Ndjson => "application/x-ndjson; charset=utf-8",
        }
    }
}

impl Encoded {
    pub fn json(body: Vec<u8>) -> Encoded {
        Encoded {
            content_type: WireFormat::Json.content_type().into(),
            headers: vec![],
            body: Body::Whole(body),
        }
    }
}
