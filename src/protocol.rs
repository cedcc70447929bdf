//! Wire formats: decodes request bodies to [`Tensors`] that agree with a [`Signature`], and encodes output
//! tensors as response bodies. Knows neither sockets nor status codes.
//!
//! One module per protocol:
//!
//! - [`features`]: named features as JSON, NDJSON or CSV, and in a query string.
//! - [`instances`]: the JSON of KServe v1, TensorFlow Serving and Vertex AI.
//! - [`oip`]: the Open Inference Protocol (KServe v2, Triton), with its binary tensor extension.
//! - [`auto_detect`]: any of these in JSON, on routes that clients of several protocols share.
//! - [`binary_json`]: the Open Inference Protocol's binary form as Triton serves it on SageMaker and Vertex AI.
//! - [`sagemaker_csv`]: CSV that may lack the header row.
//!
//! Shared by them:
//!
//! - [`reader`]: collects rows and the errors found in them.
//! - [`csv`]: reads and writes tables.
//! - [`json`]: what the JSON formats have in common, and the fast path for plain numbers.
//! - [`predictions`]: encodes predictions for [`features`] and [`csv`].
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
use ml_app_model::{Signature, Tensors};
use std::borrow::Cow;

/// Decodes a request and encodes the response to it.
pub trait Protocol: Send + 'static {
    /// Options for the response that the request sets, such as its layout or the outputs that it has.
    type ResponseOptions: Send;

    /// Decodes a request body.
    ///
    /// `limit` is the maximum number of values that the rows may have in total. It matters for bodies that
    /// leave values out: their tensors can be much larger than the body.
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

    /// Encodes the response. `body` is the body of the request, which a CSV response repeats.
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
    /// Further headers that belong to the protocol.
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
}

/// The body of an encoded response.
#[derive(Debug)]
pub enum Body {
    Whole(Vec<u8>),
    /// Outputs that are encoded as NDJSON while the response is being sent.
    Lines(Tensors),
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
}

impl Encoded {
    pub fn json(body: Vec<u8>) -> Encoded {
        Encoded {
            content_type: WireFormat::Json.media_type().into(),
            headers: vec![],
            body: Body::Whole(body),
        }
    }
}
