//! Functions that all JSON protocols share. The functions parse JSON with serde without building a tree of values,
//! convert serde's errors to errors with a position, and write tensors as JSON.

pub(crate) mod fast_path;

use crate::error::{Error, RequestError};
use crate::protocol::float;
use ml_app_model::value::truncated;
use ml_app_model::{Elements, RowOutputs, Signature, Tensor, TensorSpec};
use serde::de::value::MapAccessDeserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::error::Category;
use std::fmt;
use std::marker::PhantomData;

/// Returns a body as a string, without the byte order mark that some editors write at the start.
///
/// # Errors
///
/// Returns [`Error::Malformed`] if the body is not UTF-8 or is empty. `expected` describes what a body should
/// contain.
pub(crate) fn text<'a>(body: &'a [u8], expected: &str) -> Result<&'a str, Error> {
    let body = without_bom(body);
    let text = std::str::from_utf8(body).map_err(|error| {
        let valid = &body[..error.valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        Error::Malformed(RequestError::new("expected UTF-8, found other bytes").line(line).into())
    })?;
    if text.trim().is_empty() {
        return Err(Error::malformed(format!("expected {expected}, found an empty body")));
    }
    Ok(text)
}

/// Returns a body without its byte order mark, if it has one.
pub(crate) fn without_bom(body: &[u8]) -> &[u8] {
    body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body)
}

/// Parses a whole document with `visitor`.
pub(crate) fn read<'de, V: Visitor<'de>>(
    text: &'de str,
    visitor: V,
) -> serde_json::Result<V::Value> {
    let mut source = serde_json::Deserializer::from_str(text);
    let value = Seed(visitor).deserialize(&mut source)?;
    source.end().map(|()| value)
}

/// A seed that deserializes a value with a visitor. serde needs a seed, not a visitor, for the elements of arrays and
/// the members of objects.
pub(crate) struct Seed<V>(pub(crate) V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Seed<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        deserializer.deserialize_any(self.0)
    }
}

/// Implements a visitor's methods for scalars. Each of these methods calls `$method` with a
/// [`Value`](ml_app_model::Value).
macro_rules! scalars {
    ($method:ident -> $output:ty) => {
        fn visit_bool<E: serde::de::Error>(self, flag: bool) -> Result<$output, E> {
            self.$method(ml_app_model::Value::Bool(flag))
        }

        fn visit_i64<E: serde::de::Error>(self, integer: i64) -> Result<$output, E> {
            self.$method(ml_app_model::Value::Integer(integer.into()))
        }

        fn visit_u64<E: serde::de::Error>(self, integer: u64) -> Result<$output, E> {
            self.$method(ml_app_model::Value::Integer(integer.into()))
        }

        fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<$output, E> {
            self.$method(ml_app_model::Value::Number(number))
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$output, E> {
            self.$method(ml_app_model::Value::String(text))
        }

        fn visit_unit<E: serde::de::Error>(self) -> Result<$output, E> {
            self.$method(ml_app_model::Value::Missing)
        }
    };
}
pub(crate) use scalars;

/// Skips the rest of an array and returns the number of skipped elements.
pub(crate) fn skip_elements<'de, A: SeqAccess<'de>>(elements: &mut A) -> Result<usize, A::Error> {
    let mut skipped = 0;
    while elements.next_element::<IgnoredAny>()?.is_some() {
        skipped += 1;
    }
    Ok(skipped)
}

/// Skips the rest of an object and returns the number of skipped members.
pub(crate) fn skip_members<'de, A: MapAccess<'de>>(members: &mut A) -> Result<usize, A::Error> {
    let mut skipped = 0;
    while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
        skipped += 1;
    }
    Ok(skipped)
}

/// A struct that can be deserialized only from an object. By default, serde also accepts an array of the fields.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object<T>, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }

        deserializer.deserialize_map(Members(PhantomData)).map(Object)
    }
}

/// Converts an error of serde_json, including its line and column. Such an error means that the text is not JSON, or
/// that the JSON does not have the expected form.
pub(crate) fn request_error(error: &serde_json::Error) -> RequestError {
    let text = error.to_string();
    // The message ends with the position, which becomes separate fields. "invalid type: X, expected Y" becomes
    // "expected Y, found X".
    let position = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&position).unwrap_or(&text);
    let mistyped = ["invalid type: ", "invalid value: "]
        .iter()
        .find_map(|kind| text.strip_prefix(kind)?.split_once(", expected "));
    let detail = match mistyped {
        Some((found, expected)) => {
            let (expected, found) = (json_name(expected), json_name(found));
            format!("expected {expected}, found {}", truncated(found))
        }
        None if error.classify() == Category::Data => text.to_owned(),
        None => format!("invalid JSON: {text}"),
    };
    match error.column() {
        // serde_json uses 0 for errors of the document as a whole.
        0 => RequestError::new(detail),
        column => RequestError::new(detail).line(error.line() as u64).column(column as u64),
    }
}

/// Replaces serde's name of a type with JSON's name.
fn json_name(text: &str) -> &str {
    match text {
        "map" | "a map" => "an object",
        "sequence" => "an array",
        "usize" => "an integer of at least 0",
        text => text,
    }
}

/// A tensor that is written as JSON, row by row or as a whole.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    pub(crate) elements: Elements<'a>,
    shape: &'a [usize],
    /// Shape of the value in one row. Empty for a scalar.
    row_shape: &'a [usize],
    /// Number of elements in a row.
    pub(crate) width: usize,
    /// Number of elements from the start of a row to the start of the next row: `width`, or 0 if all rows have the
    /// same value.
    pub(crate) stride: usize,
}

impl<'a> TensorView<'a> {
    pub fn new(tensor: &'a Tensor) -> TensorView<'a> {
        let shape = tensor.shape();
        let width = shape.iter().skip(1).product();
        TensorView {
            elements: tensor.elements(),
            shape,
            row_shape: tensor.row_shape(),
            width,
            stride: width,
        }
    }

    /// Returns a view of a tensor that has no axis for the rows. Each row has the whole tensor as its value.
    pub fn of_request(tensor: &'a Tensor) -> TensorView<'a> {
        TensorView {
            elements: tensor.elements(),
            shape: tensor.shape(),
            row_shape: tensor.value_shape(),
            width: tensor.len(),
            stride: 0,
        }
    }

    /// Returns the views of all outputs.
    pub fn of_outputs(signature: &Signature, outputs: &'a RowOutputs) -> Vec<TensorView<'a>> {
        let outputs = signature.outputs.iter().zip(outputs.tensors());
        let view = |(spec, tensor): (&TensorSpec, &'a Tensor)| match signature.is_given_once(spec) {
            true => TensorView::of_request(tensor),
            false => TensorView::new(tensor),
        };
        outputs.map(view).collect()
    }

    /// Returns whether the value of a row is a scalar.
    pub(crate) fn is_scalar(&self) -> bool {
        self.row_shape.is_empty()
    }

    /// Returns the number of elements in all rows.
    pub(crate) fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Returns an estimate of a row's size in JSON, in bytes. A value of the whole request adds nothing to a row.
    pub(crate) fn row_size(&self) -> usize {
        2 + self.stride * self.element_size()
    }

    fn element_size(&self) -> usize {
        match self.elements {
            Elements::Float64(_) | Elements::String(_) => 20,
            Elements::Float32(_) | Elements::Float16(_) => 12,
            _ => 4,
        }
    }

    /// Returns an estimate of the size of the whole tensor in JSON, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.count() * self.element_size()
    }

    /// Appends one row: a scalar or nested arrays.
    pub(crate) fn row(&self, out: &mut Vec<u8>, row: usize) {
        match self.row_shape {
            [] => self.element(out, row * self.stride),
            [len] => {
                list(out, b"[]", *len, |out, index| self.element(out, row * self.stride + index))
            }
            shape => self.nested(out, shape, row * self.stride),
        }
    }

    /// Appends the whole tensor as nested arrays.
    pub fn whole(&self, out: &mut Vec<u8>) {
        self.nested(out, self.shape, 0);
    }

    /// Appends the elements from index `start` on as nested arrays of the given shape.
    fn nested(&self, out: &mut Vec<u8>, shape: &[usize], start: usize) {
        match shape {
            [] => self.element(out, start),
            [len, rest @ ..] => {
                let stride: usize = rest.iter().product();
                list(out, b"[]", *len, |out, index| {
                    self.nested(out, rest, start + index * stride);
                });
            }
        }
    }

    /// Appends the element at an index in row-major order. NaN and the infinities become `null`, because JSON cannot
    /// express them ([RFC 8259](https://www.rfc-editor.org/rfc/rfc8259#section-6)).
    #[inline]
    pub(crate) fn element(&self, out: &mut Vec<u8>, index: usize) {
        match self.elements {
            Elements::Float32(elements) => float(out, elements[index]),
            Elements::Int64(elements) => integer(out, elements[index]),
            elements => other_element(out, elements, index),
        }
    }
}

/// Appends an element of any type. [`TensorView::element`] has faster code for 32-bit floats and 64-bit integers, the
/// types of most outputs.
fn other_element(out: &mut Vec<u8>, elements: Elements<'_>, index: usize) {
    match elements {
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

/// Appends `len` items, separated by commas, between two brackets.
#[inline]
pub(crate) fn list(
    out: &mut Vec<u8>,
    brackets: &[u8; 2],
    len: usize,
    item: impl Fn(&mut Vec<u8>, usize),
) {
    out.push(brackets[0]);
    for index in 0..len {
        if index > 0 {
            out.push(b',');
        }
        item(out, index);
    }
    out.push(brackets[1]);
}

/// The keys of an object, each with quotes and colon. They are encoded once and copied for each row.
#[derive(Debug)]
pub(crate) struct Keys {
    /// All keys, one after another.
    text: Vec<u8>,
    /// End of each key in `text`.
    ends: Vec<usize>,
}

impl Keys {
    pub(crate) fn new<'n>(names: impl Iterator<Item = &'n str>) -> Keys {
        let mut keys = Keys { text: vec![], ends: vec![] };
        for name in names {
            scalar(&mut keys.text, name);
            keys.text.push(b':');
            keys.ends.push(keys.text.len());
        }
        keys
    }

    /// Returns the size of all keys, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.text.len()
    }

    /// Returns the key at an index, such as `"name":`.
    pub(crate) fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[index]]
    }
}

/// Appends a float. This is faster than [`scalar`] for most floats.
#[inline]
pub(crate) fn float(out: &mut Vec<u8>, number: f32) {
    if !float::write(out, number) {
        scalar(out, &number);
    }
}

/// Appends an integer. This is faster than [`scalar`] for 0 to 9, because most class labels are in this range.
#[inline]
pub(crate) fn integer(out: &mut Vec<u8>, number: i64) {
    match number {
        0..=9 => out.push(b'0' + number as u8),
        _ => scalar(out, &number),
    }
}

/// Appends a value as serde_json writes it. NaN and the infinities become `null`.
pub(crate) fn scalar<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("writing to memory does not fail");
}
