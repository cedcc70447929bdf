//! What the formats in JSON share.

use crate::error::Fault;
use ml_app_model::value::cut;
use ml_app_model::{Elements, Tensor};
use serde_json::error::Category;

/// Where and why a text is no JSON, or not what was expected.
pub fn fault(error: &serde_json::Error) -> Fault {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&place).unwrap_or(&text);
    let mistyped = ["invalid type: ", "invalid value: "]
        .iter()
        .find_map(|kind| text.strip_prefix(kind)?.split_once(", expected "));
    let detail = match mistyped {
        Some((found, expected)) => {
            let (expected, found) = (in_words(expected), in_words(found));
            format!("expected {expected}, but found {}", cut(found))
        }
        None if error.classify() == Category::Data => text.to_owned(),
        None => format!("expected JSON, but found a fault: {text}"),
    };
    match error.column() {
        // Of the document as a whole.
        0 => Fault::new(detail),
        column => Fault::new(detail).line(error.line() as u64).column(column as u64),
    }
}

/// What serde calls otherwise.
fn in_words(text: &str) -> &str {
    match text {
        "map" | "a map" => "an object",
        "sequence" => "an array",
        "usize" => "a number of at least 0",
        text => text,
    }
}

/// Elements of a row.
pub fn width(tensor: &Tensor) -> usize {
    tensor.shape().iter().skip(1).product()
}

/// A row: a scalar if it has one element and no axes of its own beyond one, else nested arrays.
pub fn row(out: &mut Vec<u8>, tensor: &Tensor, row: usize) {
    let width = width(tensor);
    match tensor.shape() {
        [_] | [_, 1] => element(out, tensor, row),
        shape => nested(out, tensor, &shape[1..], row * width),
    }
}

fn nested(out: &mut Vec<u8>, tensor: &Tensor, shape: &[usize], start: usize) {
    match shape {
        [] => element(out, tensor, start),
        [len, rest @ ..] => {
            let stride: usize = rest.iter().product();
            list(out, b"[]", *len, |out, index| nested(out, tensor, rest, start + index * stride));
        }
    }
}

/// An element by its place in row-major order. What is not finite is `null`, as JSON has no other
/// way to write it ([RFC 8259](https://www.rfc-editor.org/rfc/rfc8259#section-6)).
pub fn element(out: &mut Vec<u8>, tensor: &Tensor, index: usize) {
    match tensor.elements() {
        Elements::Bool(elements) => scalar(out, &elements[index]),
        Elements::Uint8(elements) => scalar(out, &elements[index]),
        Elements::Uint16(elements) => scalar(out, &elements[index]),
        Elements::Uint32(elements) => scalar(out, &elements[index]),
        Elements::Uint64(elements) => scalar(out, &elements[index]),
        Elements::Int8(elements) => scalar(out, &elements[index]),
        Elements::Int16(elements) => scalar(out, &elements[index]),
        Elements::Int32(elements) => scalar(out, &elements[index]),
        Elements::Int64(elements) => scalar(out, &elements[index]),
        Elements::Float32(elements) => scalar(out, &elements[index]),
        Elements::Float16(elements) => scalar(out, &elements[index].to_f32()),
        Elements::Float64(elements) => scalar(out, &elements[index]),
        Elements::String(elements) => scalar(out, elements.get(index)),
    }
}

pub fn list(out: &mut Vec<u8>, brackets: &[u8; 2], len: usize, item: impl Fn(&mut Vec<u8>, usize)) {
    out.push(brackets[0]);
    for index in 0..len {
        if index > 0 {
            out.push(b',');
        }
        item(out, index);
    }
    out.push(brackets[1]);
}

/// `value` as serde_json writes it; a number that is not finite is `null`.
pub fn scalar<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("a scalar can be written to memory");
}
