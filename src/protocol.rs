//! The wire formats: bytes to [`Tensors`] that agree with a [`Signature`], and back. Knows neither
//! sockets nor status codes.
//!
//! - [`features`]: named features as JSON and NDJSON, and in a query; [`csv`] as CSV, [`headerless`]
//!   as CSV without their names.
//! - [`instances`]: KServe v1, TensorFlow Serving, Vertex AI.
//! - [`oip`]: the Open Inference Protocol, v2. Its gRPC form would be a file beside.
//! - [`any`]: any of these in JSON; [`framed`] for SageMaker and Vertex AI as Triton serves them.
//!
//! What they share: [`reader`] has rows and the faults found in them, where tensors are made of rows;
//! [`answer`] predictions by the features' protocols; [`json`] what is in JSON; `number` reads most numbers.

pub mod answer;
pub mod any;
pub mod csv;
pub mod features;
mod float;
pub mod framed;
pub mod headerless;
pub mod instances;
pub mod json;
mod number;
pub mod oip;
pub mod reader;

use crate::error::Error;
use ml_app_model::{Signature, Tensors};
use std::borrow::Cow;

/// How one question is read and its answer written.
pub trait Protocol: Send + 'static {
    /// What the question asks of the answer.
    type Wish: Send;

    /// `limit` is how many values the rows may have, where a body may leave some out.
    ///
    /// # Errors
    ///
    /// Where the body is malformed, or its values are not what the signature takes.
    fn decode(
        &self,
        body: &[u8],
        signature: &Signature,
        limit: usize,
    ) -> Result<(Tensors, Self::Wish), Error>;

    /// `body` is the question's.
    ///
    /// # Errors
    ///
    /// Where the outputs have no form in this protocol.
    fn encode(
        &self,
        wish: Self::Wish,
        body: &[u8],
        signature: &Signature,
        outputs: Tensors,
    ) -> Result<Encoded, Error>;
}

/// An answer on its way out.
#[derive(Debug)]
pub struct Encoded {
    pub content_type: Cow<'static, str>,
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
}

#[derive(Debug)]
pub enum Body {
    Whole(Vec<u8>),
    /// Outputs to be written as NDJSON while they are sent.
    Lines(Tensors),
}

/// The formats that rows of named features, and their answers, can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Csv,
    Ndjson,
}

impl Format {
    pub const ALL: [Format; 3] = [Format::Json, Format::Csv, Format::Ndjson];

    pub fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Csv => "text/csv",
            Format::Ndjson => "application/x-ndjson",
        }
    }
}

impl Encoded {
    pub fn json(body: Vec<u8>) -> Encoded {
        Encoded {
            content_type: Format::Json.media_type().into(),
            headers: vec![],
            body: Body::Whole(body),
        }
    }
}
