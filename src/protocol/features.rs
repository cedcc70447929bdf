//! Named features as JSON, NDJSON, and in a query.
//!
//! A JSON body is an object (one row), an array of objects (rows), or an object of arrays
//! (columns). `null` and the strings `NaN`, `Infinity` and `-Infinity` stand for what JSON numbers
//! cannot say, in features whose input is a float.

mod json;

use crate::error::{Error, Fault};
use crate::protocol::reader::Reader;
use json::{BodySeed, CellSeed, RowSeed, syntax_fault};
use ml_app_model::value::article;
use ml_app_model::{Kind, Mismatch, Signature, Tensors, Value};
use serde::de::DeserializeSeed;

/// The shape of a JSON question, and so of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One object.
    Row,
    /// An array of objects.
    Rows,
    /// An object of arrays.
    Columns,
}

/// # Errors
///
/// [`Error::Malformed`] with line and column where `body` is no JSON or has none of the layouts,
/// [`Error::Invalid`] with every fault found in the values.
pub fn decode(body: &[u8], signature: &Signature) -> Result<(Tensors, Layout), Error> {
    let mut reader = Reader::new(signature);
    let body = without_mark(body);
    let body = std::str::from_utf8(body).map_err(|error| {
        let valid = &body[..error.valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        Error::Malformed(Fault::new("expected UTF-8, but found other bytes").line(line).into())
    })?;
    if body.trim().is_empty() {
        return Err(Error::Malformed(Fault::new(EMPTY).into()));
    }
    let mut json = serde_json::Deserializer::from_str(body);
    let read =
        BodySeed(&mut reader).deserialize(&mut json).and_then(|layout| json.end().map(|()| layout));
    match read {
        Ok(layout) => Ok((reader.into_tensors()?, layout)),
        Err(error) => {
            reader.push_malformed(syntax_fault(&error));
            Err(reader.faults.into())
        }
    }
}

const EMPTY: &str = "expected at least one row, but found an empty body";

/// `body` without the byte order mark that some editors write.
fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body)
}

/// One object per line; empty lines are skipped.
///
/// # Errors
///
/// [`Error::Malformed`] where a line is no JSON, [`Error::Invalid`] where values do not fit: with
/// every fault found.
pub fn decode_lines(body: &[u8], signature: &Signature) -> Result<Tensors, Error> {
    let mut reader = Reader::new(signature);
    let body = without_mark(body);
    if body.trim_ascii().is_empty() {
        return Err(Error::Malformed(Fault::new(EMPTY).into()));
    }
    for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
        read_line(&mut reader, index as u64 + 1, line);
        if reader.is_exhausted() {
            break;
        }
    }
    reader.into_tensors()
}

/// One row, its scalars as text, its arrays as JSON.
///
/// # Errors
///
/// [`Error::Invalid`] with every fault found.
pub fn decode_query(query: &str, signature: &Signature) -> Result<Tensors, Error> {
    let mut reader = Reader::new(signature);
    reader.start_row();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let Some(feature) = reader.take(&name) else { continue };
        // A table has empty cells, a query just leaves its value out.
        let is_text = signature.features[feature].kind == Kind::String;
        if value.is_empty() && !is_text {
            let expected = article(signature.features[feature].kind);
            reader.fault(feature, &Mismatch::new(expected, "nothing"));
        } else {
            read_text(&mut reader, feature, &value);
        }
    }
    reader.end_row();
    reader.into_tensors()
}

/// Reads a line of NDJSON, counted from 1.
pub fn read_line(reader: &mut Reader<'_>, number: u64, line: &[u8]) {
    if line.trim_ascii().is_empty() {
        return;
    }
    reader.line = Some(number);
    let rows = reader.number();
    let mut json = serde_json::Deserializer::from_slice(line);
    let read = RowSeed(reader).deserialize(&mut json).and_then(|()| json.end());
    if let Err(error) = read {
        if reader.number() == rows {
            reader.start_row();
        }
        let fault = syntax_fault(&error).row(reader.number() - 1);
        reader.push_malformed(Fault { line: Some(number), ..fault });
    }
}

/// Sets a feature of the current row from text: a scalar as it is, an array as JSON.
pub fn read_text(reader: &mut Reader<'_>, feature: usize, text: &str) {
    if reader.spec(feature).is_scalar() {
        reader.set(feature, Value::Text(text));
        return;
    }
    let row = reader.len() - 1;
    let mut json = serde_json::Deserializer::from_str(text);
    let read = CellSeed { reader: &mut *reader, row, feature }
        .deserialize(&mut json)
        .and_then(|()| json.end());
    if read.is_err() {
        let mismatch = Mismatch::new("an array as JSON", Value::Text(text).to_string());
        reader.fault(feature, &mismatch);
    }
}
