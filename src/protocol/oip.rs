//! The [Open Inference Protocol](https://github.com/kserve/open-inference-protocol), version 2, over HTTP.
//!
//! A request consists of named tensors in JSON. With the [binary tensor data extension][binary], the elements of some
//! tensors are not in the JSON but in the bytes after it.
//!
//! [binary]: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md

mod binary;
mod classification;
mod datatype;
pub(crate) mod describe;
mod inputs;
mod parameters;
mod raw;
mod request;

use crate::error::Error;
use crate::protocol::json::{self, TensorView};
use crate::protocol::{Body, Encoded, Protocol};
use classification::Classes;
pub use datatype::datatype_name;
use ml_app_model::{Datatype, Signature, Tensor, TensorSpec, Tensors};
use request::RequestedOutput;
pub use request::ResponseOptions;
use std::borrow::Cow;

/// Header that contains the size of the JSON in bytes. The binary tensors begin after the JSON. Requests and responses
/// with binary tensors have this header.
pub const JSON_SIZE_HEADER: &str = "inference-header-content-length";

/// Media type of a body with binary tensors.
pub const BINARY_MEDIA_TYPE: &str = "application/octet-stream";

/// The protocol. The variants are the forms that the body of a request can have.
#[derive(Debug, Clone, Copy)]
pub enum Infer {
    /// Only JSON.
    Json,
    /// JSON of this size, in bytes, followed by binary tensors.
    Mixed(usize),
    /// Only the elements of the model's single input, as bytes.
    Raw,
}

impl Infer {
    /// Returns the form of a body. `length` is the value of the header or content-type parameter with the size of the
    /// JSON. It is `0` for a raw request, and `None` if the body contains only JSON.
    ///
    /// `name` is the name of the header or parameter, for the error message.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Malformed`] if the size is not a number.
    pub fn new(name: &str, length: Option<&str>) -> Result<Infer, Error> {
        match length.map(|length| (length, length.trim().parse())) {
            None => Ok(Infer::Json),
            Some((_, Ok(0))) => Ok(Infer::Raw),
            Some((_, Ok(length))) => Ok(Infer::Mixed(length)),
            Some((found, Err(_))) => {
                let found = ml_app_model::value::excerpt(found);
                Err(Error::malformed(format!(
                    "{name}: expected a number of bytes, found `{found}`"
                )))
            }
        }
    }
}

impl Protocol for Infer {
    type ResponseOptions = ResponseOptions;

    fn decode(
        &self,
        body: &[u8],
        signature: &Signature,
        _: usize,
    ) -> Result<(Tensors, ResponseOptions), Error> {
        match *self {
            Infer::Json => request::decode(body, &[], signature),
            Infer::Raw => Ok((raw::decode(body, signature)?, ResponseOptions::binary(signature))),
            Infer::Mixed(length) => match body.split_at_checked(length) {
                Some((head, tensors)) => request::decode(head, tensors, signature),
                None => Err(Error::malformed(format!(
                    "expected JSON of at most {} bytes, the size of the body, found a length of {length}",
                    body.len()
                ))),
            },
        }
    }

    fn encode(
        &self,
        options: ResponseOptions,
        _: &[u8],
        signature: &Signature,
        outputs: Tensors,
    ) -> Result<Encoded, Error> {
        let mut head = b"{\"model_name\":".to_vec();
        json::scalar(&mut head, &signature.name);
        head.extend_from_slice(b",\"model_version\":");
        json::scalar(&mut head, &signature.version);
        if let Some(id) = &options.id {
            head.extend_from_slice(b",\"id\":");
            json::scalar(&mut head, id);
        }
        head.extend_from_slice(b",\"outputs\":[");
        let mut tensors = vec![];
        for (position, requested) in options.outputs.iter().enumerate() {
            if position > 0 {
                head.push(b',');
            }
            write_output(&mut head, &mut tensors, requested, signature, &outputs);
        }
        head.extend_from_slice(b"]}");
        if !options.outputs.iter().any(|requested| requested.binary) {
            return Ok(Encoded::json(head));
        }
        let headers = vec![(JSON_SIZE_HEADER, head.len().to_string())];
        head.append(&mut tensors);
        Ok(Encoded { content_type: BINARY_MEDIA_TYPE.into(), headers, body: Body::Whole(head) })
    }
}

/// Appends the entry of an output to `head`, the JSON of the response. If the client requested bytes, appends the
/// elements to `tensors`, the bytes after the JSON. Otherwise the entry contains the elements.
fn write_output(
    head: &mut Vec<u8>,
    tensors: &mut Vec<u8>,
    requested: &RequestedOutput,
    signature: &Signature,
    outputs: &Tensors,
) {
    let spec = &signature.outputs[requested.index];
    let tensor = &outputs.tensors()[requested.index];
    let rows_first = requested.classification.map(|_| rows_first(tensor, spec));
    let classes = requested.classification.zip(rows_first.as_ref());
    let classes = classes.map(|(count, rows)| Classes::new(rows, count, requested, signature));
    let (datatype, shape) = match &classes {
        Some(classes) => (Datatype::String, vec![classes.rows, classes.count]),
        None => (spec.datatype, tensor.shape().to_vec()),
    };
    head.extend_from_slice(b"{\"name\":");
    json::scalar(head, &spec.name);
    head.extend_from_slice(b",\"datatype\":");
    json::scalar(head, datatype_name(datatype));
    head.extend_from_slice(b",\"shape\":");
    json::scalar(head, &shape);
    if requested.binary {
        let start = tensors.len();
        match &classes {
            Some(classes) => classes.each(|class| binary::append_string(tensors, class)),
            None => binary::append_elements(tensors, tensor),
        }
        let size = tensors.len() - start;
        head.extend_from_slice(b",\"parameters\":{\"binary_data_size\":");
        json::scalar(head, &size);
        head.extend_from_slice(b"}}");
        return;
    }
    head.extend_from_slice(b",\"data\":[");
    let start = head.len();
    let separate = |head: &mut Vec<u8>| {
        if head.len() > start {
            head.push(b',');
        }
    };
    match &classes {
        Some(classes) => classes.each(|class| {
            separate(head);
            json::scalar(head, class);
        }),
        None => {
            let view = TensorView::new(tensor);
            head.reserve(view.size());
            (0..view.count()).for_each(|index| {
                separate(head);
                view.element(head, index);
            });
        }
    }
    head.extend_from_slice(b"]}");
}

/// Returns a tensor with the batch axis first. A tensor without a batch axis becomes one row.
fn rows_first<'a>(tensor: &'a Tensor, spec: &TensorSpec) -> Cow<'a, Tensor> {
    match spec.batch_axis {
        Some(0) => Cow::Borrowed(tensor),
        axis => Cow::Owned(tensor.clone().rows_first(axis)),
    }
}
