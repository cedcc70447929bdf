//! The [Open Inference Protocol](https://github.com/kserve/open-inference-protocol), version 2, over
//! HTTP: named tensors in JSON, and as bytes by the [binary tensor data extension][binary].
//!
//! [binary]: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md

mod binary;
pub mod describe;
mod inputs;
mod request;

use crate::error::{Error, Fault};
use crate::protocol::json::{self, View};
use crate::protocol::{Body, Encoded, Protocol};
use ml_app_model::{Datatype, Elements, Signature, Task, Tensor, Tensors, f16};
use request::Wanted;
pub use request::Wish;
use std::fmt::Write;
use std::ops::Range;

/// Where JSON ends and tensors begin; in an answer too.
pub const HEADER_LENGTH: &str = "inference-header-content-length";

pub const BINARY: &str = "application/octet-stream";

/// One inference.
#[derive(Debug, Clone, Copy)]
pub enum Infer {
    Json,
    /// JSON of this many bytes, then tensors.
    Mixed(usize),
    /// The one input's elements and nothing else.
    Raw,
}

impl Infer {
    /// `length` is the value of what is called `name`: of [`HEADER_LENGTH`], as a rule.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] where it is no number.
    pub fn new(name: &str, length: Option<&str>) -> Result<Infer, Error> {
        match length.map(|length| (length, length.trim().parse())) {
            None => Ok(Infer::Json),
            Some((_, Ok(0))) => Ok(Infer::Raw),
            Some((_, Ok(length))) => Ok(Infer::Mixed(length)),
            Some((found, Err(_))) => {
                let found = ml_app_model::value::excerpt(found);
                Err(malformed(format!("{name}: expected a number of bytes, found `{found}`")))
            }
        }
    }
}

impl Protocol for Infer {
    type Wish = Wish;

    fn decode(
        &self,
        body: &[u8],
        signature: &Signature,
        _: usize,
    ) -> Result<(Tensors, Wish), Error> {
        match *self {
            Infer::Json => request::decode(body, &[], signature),
            Infer::Raw => Ok((binary::raw(body, signature)?, Wish::binary(signature))),
            Infer::Mixed(length) => match body.split_at_checked(length) {
                Some((head, tensors)) => request::decode(head, tensors, signature),
                None => Err(malformed(format!(
                    "expected JSON of at most {} bytes, the size of the body, found a length of {length}",
                    body.len()
                ))),
            },
        }
    }

    fn encode(
        &self,
        wish: Wish,
        _: &[u8],
        signature: &Signature,
        outputs: Tensors,
    ) -> Result<Encoded, Error> {
        let mut head = b"{\"model_name\":".to_vec();
        json::scalar(&mut head, &signature.name);
        head.extend_from_slice(b",\"model_version\":");
        json::scalar(&mut head, &signature.version);
        if let Some(id) = &wish.id {
            head.extend_from_slice(b",\"id\":");
            json::scalar(&mut head, id);
        }
        head.extend_from_slice(b",\"outputs\":[");
        let mut tensors = vec![];
        for (place, wanted) in wish.outputs.iter().enumerate() {
            if place > 0 {
                head.push(b',');
            }
            write_output(&mut head, &mut tensors, wanted, signature, &outputs);
        }
        head.extend_from_slice(b"]}");
        if !wish.outputs.iter().any(|wanted| wanted.binary) {
            return Ok(Encoded::json(head));
        }
        let headers = vec![(HEADER_LENGTH, head.len().to_string())];
        head.append(&mut tensors);
        Ok(Encoded { content_type: BINARY.into(), headers, body: Body::Whole(head) })
    }
}

fn write_output(
    head: &mut Vec<u8>,
    tensors: &mut Vec<u8>,
    wanted: &Wanted,
    signature: &Signature,
    outputs: &Tensors,
) {
    let spec = &signature.outputs[wanted.index];
    let tensor = &outputs.tensors()[wanted.index];
    let classes = wanted.classification.map(|count| Classes::new(tensor, count, wanted, signature));
    let (datatype, shape) = match &classes {
        Some(classes) => (Datatype::String, vec![outputs.rows(), classes.count]),
        None => (spec.datatype, tensor.shape().to_vec()),
    };
    head.extend_from_slice(b"{\"name\":");
    json::scalar(head, &spec.name);
    head.extend_from_slice(b",\"datatype\":");
    json::scalar(head, name(datatype));
    head.extend_from_slice(b",\"shape\":");
    json::scalar(head, &shape);
    if wanted.binary {
        let start = tensors.len();
        match &classes {
            Some(classes) => classes.each(|class| binary::string(tensors, class)),
            None => binary::elements(tensors, tensor),
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
            let view = View::new(tensor);
            head.reserve(outputs.rows() * view.row_size());
            (0..view.count()).for_each(|index| {
                separate(head);
                view.element(head, index);
            });
        }
    }
    head.extend_from_slice(b"]}");
}

/// Of each row the greatest elements, as `value:index[:label]`
/// ([classification extension][extension]).
///
/// [extension]: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_classification.md
struct Classes<'a> {
    view: View<'a>,
    labels: &'a [String],
    /// Of each row.
    count: usize,
}

impl<'a> Classes<'a> {
    fn new(
        tensor: &'a Tensor,
        count: usize,
        wanted: &Wanted,
        signature: &'a Signature,
    ) -> Classes<'a> {
        let labels: &[String] = match &signature.task {
            Task::Classification { scores, classes, .. } if *scores == wanted.index => classes,
            _ => &[],
        };
        let view = View::new(tensor);
        Classes { view, labels, count: count.min(view.width) }
    }

    /// Row by row: an answer of many rows must not take memory by the string.
    fn each(&self, mut write: impl FnMut(&str)) {
        let (mut order, mut text) = (vec![], String::new());
        let Classes { view, .. } = self;
        for start in (0..view.count()).step_by(view.width.max(1)) {
            let row = numbers(view.elements, start..start + view.width);
            order.clear();
            order.extend(0..view.width);
            // NaN is the least; of equals the first comes first.
            order.sort_by(|a: &usize, b: &usize| {
                let either = || row[*a].is_nan().cmp(&row[*b].is_nan());
                row[*b].partial_cmp(&row[*a]).unwrap_or_else(either)
            });
            for index in order.iter().copied().take(self.count) {
                text.clear();
                self.class(&mut text, row[index], start, index);
                write(&text);
            }
        }
    }

    fn class(&self, text: &mut String, number: f64, start: usize, index: usize) {
        let written = match number.is_finite() {
            true => {
                let mut value = vec![];
                self.view.element(&mut value, start + index);
                write!(text, "{}:{index}", String::from_utf8_lossy(&value))
            }
            false => write!(text, "{number}:{index}"),
        };
        written.expect("a string can be written to");
        if let Some(label) = self.labels.get(index) {
            text.push(':');
            text.push_str(label);
        }
    }
}

fn numbers(elements: Elements<'_>, range: Range<usize>) -> Vec<f64> {
    fn each<T: Copy>(elements: &[T], number: impl Fn(T) -> f64) -> Vec<f64> {
        elements.iter().map(|element| number(*element)).collect()
    }
    match elements {
        Elements::Bool(elements) => each(&elements[range], |flag| f64::from(u8::from(flag))),
        Elements::Uint8(elements) => each(&elements[range], f64::from),
        Elements::Uint16(elements) => each(&elements[range], f64::from),
        Elements::Uint32(elements) => each(&elements[range], f64::from),
        Elements::Uint64(elements) => each(&elements[range], |integer| integer as f64),
        Elements::Int8(elements) => each(&elements[range], f64::from),
        Elements::Int16(elements) => each(&elements[range], f64::from),
        Elements::Int32(elements) => each(&elements[range], f64::from),
        Elements::Int64(elements) => each(&elements[range], |integer| integer as f64),
        Elements::Float32(elements) => each(&elements[range], f64::from),
        Elements::Float16(elements) => each(&elements[range], f16::to_f64),
        Elements::Float64(elements) => elements[range].to_vec(),
        Elements::String(_) => vec![],
    }
}

/// The protocol's name of a datatype.
pub fn name(datatype: Datatype) -> &'static str {
    match datatype {
        Datatype::Bool => "BOOL",
        Datatype::Uint8 => "UINT8",
        Datatype::Uint16 => "UINT16",
        Datatype::Uint32 => "UINT32",
        Datatype::Uint64 => "UINT64",
        Datatype::Int8 => "INT8",
        Datatype::Int16 => "INT16",
        Datatype::Int32 => "INT32",
        Datatype::Int64 => "INT64",
        Datatype::Float32 => "FP32",
        Datatype::Float16 => "FP16",
        Datatype::Float64 => "FP64",
        Datatype::String => "BYTES",
    }
}

fn malformed(detail: impl Into<String>) -> Error {
    Error::Malformed(Fault::new(detail).into())
}

fn invalid(detail: impl Into<String>) -> Error {
    Error::Invalid(Fault::new(detail).into())
}
