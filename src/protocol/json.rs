//! What the formats in JSON share.

pub mod plain;

use crate::error::{Error, Fault};
use crate::protocol::float;
use ml_app_model::value::cut;
use ml_app_model::{Elements, Tensor};
use serde::de::value::MapAccessDeserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::error::Category;
use std::fmt;
use std::marker::PhantomData;

/// A body as text, without the byte order mark that some editors write.
///
/// # Errors
///
/// [`Error::Malformed`] where it is no UTF-8, or has no `expected` in it.
pub fn text<'a>(body: &'a [u8], expected: &str) -> Result<&'a str, Error> {
    let body = without_mark(body);
    let malformed = |fault: Fault| Error::Malformed(fault.into());
    let text = std::str::from_utf8(body).map_err(|error| {
        let valid = &body[..error.valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        malformed(Fault::new("expected UTF-8, found other bytes").line(line))
    })?;
    match text.trim().is_empty() {
        true => Err(malformed(Fault::new(format!("expected {expected}, found an empty body")))),
        false => Ok(text),
    }
}

pub fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body)
}

/// What `visitor` makes of a whole document.
pub fn read<'de, V: Visitor<'de>>(text: &'de str, visitor: V) -> serde_json::Result<V::Value> {
    let mut source = serde_json::Deserializer::from_str(text);
    let value = Seed(visitor).deserialize(&mut source)?;
    source.end().map(|()| value)
}

/// Any value, for this visitor.
pub struct Seed<V>(pub V);

impl<'de, V: Visitor<'de>> DeserializeSeed<'de> for Seed<V> {
    type Value = V::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        deserializer.deserialize_any(self.0)
    }
}

/// A visitor's methods for scalars, by its method that takes a [`Value`](ml_app_model::Value).
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

/// Passes over what is left of an array; gives how much that is.
pub fn skip_elements<'de, A: SeqAccess<'de>>(elements: &mut A) -> Result<usize, A::Error> {
    let mut skipped = 0;
    while elements.next_element::<IgnoredAny>()?.is_some() {
        skipped += 1;
    }
    Ok(skipped)
}

/// Passes over what is left of an object; gives how much that is.
pub fn skip_members<'de, A: MapAccess<'de>>(members: &mut A) -> Result<usize, A::Error> {
    let mut skipped = 0;
    while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
        skipped += 1;
    }
    Ok(skipped)
}

/// A struct from an object only: serde takes an array of its members too.
pub struct Object<T>(pub T);

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
            format!("expected {expected}, found {}", cut(found))
        }
        None if error.classify() == Category::Data => text.to_owned(),
        None => format!("invalid JSON: {text}"),
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
        "usize" => "an integer of at least 0",
        text => text,
    }
}

/// A tensor on its way out.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub elements: Elements<'a>,
    shape: &'a [usize],
    /// Shape of a row's value; empty for a scalar.
    row_shape: &'a [usize],
    /// Elements of a row.
    pub width: usize,
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

    /// Elements in all.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// About as many bytes as a row takes.
    pub fn row_size(&self) -> usize {
        let of_element = match self.elements {
            Elements::Float64(_) | Elements::String(_) => 20,
            Elements::Float32(_) | Elements::Float16(_) => 12,
            _ => 4,
        };
        2 + self.width * of_element
    }

    /// Appends the value of a row: a scalar or nested arrays.
    pub fn row(&self, out: &mut Vec<u8>, row: usize) {
        match self.row_shape {
            [] => self.element(out, row),
            [len] => list(out, b"[]", *len, |out, index| self.element(out, row * len + index)),
            shape => self.nested(out, shape, row * self.width),
        }
    }

    /// Nested arrays of its whole shape.
    pub fn whole(&self, out: &mut Vec<u8>) {
        self.nested(out, self.shape, 0);
    }

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

    /// An element by its place in row-major order. What is not finite is `null`, as JSON has no other
    /// way to write it ([RFC 8259](https://www.rfc-editor.org/rfc/rfc8259#section-6)).
    #[inline]
    pub fn element(&self, out: &mut Vec<u8>, index: usize) {
        match self.elements {
            Elements::Float32(elements) => float(out, elements[index]),
            Elements::Int64(elements) => integer(out, elements[index]),
            elements => other_element(out, elements, index),
        }
    }
}

/// Of what models answer less often.
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

#[inline]
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

/// Names as an object's keys, made once for all its rows.
#[derive(Debug)]
pub struct Keys {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Keys {
    pub fn new<'n>(names: impl Iterator<Item = &'n str>) -> Keys {
        let mut keys = Keys { text: vec![], ends: vec![] };
        for name in names {
            scalar(&mut keys.text, name);
            keys.text.push(b':');
            keys.ends.push(keys.text.len());
        }
        keys
    }

    /// Bytes of all.
    pub fn size(&self) -> usize {
        self.text.len()
    }

    /// With the colon behind it.
    pub fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[index]]
    }
}

/// [`scalar`], in less time for most.
#[inline]
pub fn float(out: &mut Vec<u8>, number: f32) {
    if !float::write(out, number) {
        scalar(out, &number);
    }
}

/// [`scalar`], in less time for labels.
#[inline]
pub fn integer(out: &mut Vec<u8>, number: i64) {
    match number {
        0..=9 => out.push(b'0' + number as u8),
        _ => scalar(out, &number),
    }
}

/// `value` as serde_json writes it; a number that is not finite is `null`.
pub fn scalar<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("a scalar can be written to memory");
}
