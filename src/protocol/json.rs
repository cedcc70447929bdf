//! Common parts of the protocols in JSON: parsing with serde without a tree of values, errors with their place, and
//! writing tensors.

pub(crate) mod fast_path;

use crate::error::{Error, RequestError};
use crate::protocol::float;
use ml_app_model::value::truncated;
use ml_app_model::{Elements, Tensor};
use serde::de::value::MapAccessDeserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::error::Category;
use std::fmt;
use std::marker::PhantomData;

/// Returns a body as text, without the byte order mark that some editors write.
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

/// Deserializes a value of any type with a visitor. serde requires a seed, not a visitor, for values that are nested
/// in arrays and objects.
pub(crate) struct Seed<V>(pub(crate) V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Seed<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        deserializer.deserialize_any(self.0)
    }
}

/// Implements a visitor's methods for scalars by one method that takes a [`Value`](ml_app_model::Value).
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

/// A struct that is deserialized from an object only. By default, serde also accepts an array of its fields.
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

/// Converts an error of serde_json, with its place: the text is not JSON, or not the JSON that was expected.
pub(crate) fn error(error: &serde_json::Error) -> RequestError {
    let text = error.to_string();
    // The place is a part of the message. "invalid type: X, expected Y" becomes "expected Y, found X".
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&place).unwrap_or(&text);
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

/// Replaces serde's names of types by JSON's.
fn json_name(text: &str) -> &str {
    match text {
        "map" | "a map" => "an object",
        "sequence" => "an array",
        "usize" => "an integer of at least 0",
        text => text,
    }
}

/// A tensor to be written as JSON.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub(crate) elements: Elements<'a>,
    shape: &'a [usize],
    /// Shape of a row's value; empty for a scalar.
    row_shape: &'a [usize],
    /// Number of elements in a row.
    pub(crate) width: usize,
}

impl<'a> View<'a> {
    pub fn new(tensor: &'a Tensor) -> View<'a> {
        let shape = tensor.shape();
        View {
            elements: tensor.elements(),
            shape,
            row_shape: tensor.row_shape(),
            width: shape.iter().skip(1).product(),
        }
    }

    /// Returns the number of elements.
    pub(crate) fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Returns an estimate of a row's size in JSON, in bytes.
    pub(crate) fn row_size(&self) -> usize {
        let element_size = match self.elements {
            Elements::Float64(_) | Elements::String(_) => 20,
            Elements::Float32(_) | Elements::Float16(_) => 12,
            _ => 4,
        };
        2 + self.width * element_size
    }

    /// Appends the value of a row: a scalar or nested arrays.
    pub(crate) fn row(&self, out: &mut Vec<u8>, row: usize) {
        match self.row_shape {
            [] => self.element(out, row),
            [len] => list(out, b"[]", *len, |out, index| self.element(out, row * len + index)),
            shape => self.nested(out, shape, row * self.width),
        }
    }

    /// Appends the whole tensor as nested arrays.
    pub fn whole(&self, out: &mut Vec<u8>) {
        self.nested(out, self.shape, 0);
    }

    /// Appends the part of the tensor that has this shape and starts at the element `start`.
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

    /// Appends an element, by its index in row-major order. NaN and the infinities become `null`, because JSON
    /// cannot express them ([RFC 8259](https://www.rfc-editor.org/rfc/rfc8259#section-6)).
    #[inline]
    pub(crate) fn element(&self, out: &mut Vec<u8>, index: usize) {
        match self.elements {
            Elements::Float32(elements) => float(out, elements[index]),
            Elements::Int64(elements) => integer(out, elements[index]),
            elements => other_element(out, elements, index),
        }
    }
}

/// Appends an element of any type. Most outputs are floats or 64-bit integers, which have faster code.
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

/// Names as keys of an object, each with its quotes and colon. They are encoded once and copied for each row.
#[derive(Debug)]
pub(crate) struct Keys {
    /// All keys, one after the other.
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

    /// Returns a key: `"name":`.
    pub(crate) fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[index]]
    }
}

/// Appends a float, faster than [`scalar`] for most floats.
#[inline]
pub(crate) fn float(out: &mut Vec<u8>, number: f32) {
    if !float::write(out, number) {
        scalar(out, &number);
    }
}

/// Appends an integer, faster than [`scalar`] for class labels from 0 to 9.
#[inline]
pub(crate) fn integer(out: &mut Vec<u8>, number: i64) {
    match number {
        0..=9 => out.push(b'0' + number as u8),
        _ => scalar(out, &number),
    }
}

/// Appends a value as serde_json writes it. A number that is not finite becomes `null`.
pub(crate) fn scalar<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("writing to memory does not fail");
}
