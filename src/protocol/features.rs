//! Named features as JSON, NDJSON, and in a query.
//!
//! A JSON body is an object (one row), an array of objects (rows), or an object of arrays
//! (columns). `null` and the strings `NaN`, `Infinity` and `-Infinity` stand for what JSON numbers
//! cannot say, in features whose input is a float.

mod rows;

use crate::error::{Error, Fault};
use crate::protocol::answer::Answer;
use crate::protocol::json::plain;
use crate::protocol::reader::Reader;
use crate::protocol::{Body, Encoded, Format, Protocol, csv, json};
use ml_app_model::value::article;
use ml_app_model::{Kind, Mismatch, Signature, Tensors, Value};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use rows::{BodyVisitor, RowVisitor};
pub use rows::{CellSeed, ElementVisitor, in_feature};
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

/// One row by a query.
#[derive(Debug, Clone, Copy)]
pub struct Query;

impl Protocol for Query {
    type Wish = ();

    fn decode(
        &self,
        query: &[u8],
        signature: &Signature,
        _: usize,
    ) -> Result<(Tensors, ()), Error> {
        Ok((decode_query(query, signature)?, ()))
    }

    fn encode(
        &self,
        (): (),
        _: &[u8],
        signature: &Signature,
        outputs: Tensors,
    ) -> Result<Encoded, Error> {
        Ok(json_answer(&Answer::new(signature, &outputs), Layout::Row))
    }
}

/// Rows by a body.
#[derive(Debug, Clone, Copy)]
pub struct Named {
    pub question: Format,
    pub answer: Format,
}

/// What a body asks of its answer.
#[derive(Debug)]
pub struct Asked {
    layout: Layout,
    /// Columns that are no feature.
    ignored: Vec<String>,
}

impl Protocol for Named {
    type Wish = Asked;

    fn decode(
        &self,
        body: &[u8],
        signature: &Signature,
        limit: usize,
    ) -> Result<(Tensors, Asked), Error> {
        let rows = |layout| Asked { layout, ignored: vec![] };
        match self.question {
            Format::Json => {
                decode(body, signature, limit).map(|(inputs, layout)| (inputs, rows(layout)))
            }
            Format::Ndjson => {
                decode_lines(body, signature, limit).map(|inputs| (inputs, rows(Layout::Rows)))
            }
            Format::Csv => {
                let (inputs, ignored) = csv::decode(body, signature, limit)?;
                Ok((inputs, Asked { layout: Layout::Rows, ignored }))
            }
        }
    }

    fn encode(
        &self,
        Asked { layout, ignored }: Asked,
        body: &[u8],
        signature: &Signature,
        outputs: Tensors,
    ) -> Result<Encoded, Error> {
        let answer = Answer::new(signature, &outputs);
        let encoded = match self.answer {
            Format::Json => json_answer(&answer, layout),
            Format::Csv => {
                let body = Body::Whole(csv::append(body, &answer)?);
                Encoded { content_type: self.answer.media_type().into(), headers: vec![], body }
            }
            Format::Ndjson => {
                let body = Body::Lines(outputs);
                Encoded { content_type: self.answer.media_type().into(), headers: vec![], body }
            }
        };
        if ignored.is_empty() {
            return Ok(encoded);
        }
        let headers = vec![("ignored-columns", header_list(&ignored))];
        Ok(Encoded { headers, ..encoded })
    }
}

fn json_answer(answer: &Answer<'_>, layout: Layout) -> Encoded {
    let mut body = Vec::with_capacity(answer.rows() * answer.row_size());
    match layout {
        Layout::Row => answer.object(&mut body, 0),
        Layout::Rows => answer.array(&mut body),
        Layout::Columns => answer.columns_object(&mut body),
    }
    Encoded::json(body)
}

/// # Errors
///
/// [`Error::Malformed`] with line and column where `body` is no JSON or has none of the layouts,
/// [`Error::Invalid`] with every fault found in the values.
pub fn decode(
    body: &[u8],
    signature: &Signature,
    limit: usize,
) -> Result<(Tensors, Layout), Error> {
    let text = json::text(body, ROWS)?;
    decode_plain(text, signature).map_or_else(|| decode_any(text, signature, limit), Ok)
}

fn decode_any(text: &str, signature: &Signature, limit: usize) -> Result<(Tensors, Layout), Error> {
    let mut reader = Reader::new(signature, limit);
    let read = json::read(text, BodyVisitor(&mut reader));
    reader.finish_json(read)
}

fn decode_plain(text: &str, signature: &Signature) -> Option<(Tensors, Layout)> {
    if !plain::has_plain_objects(signature) {
        return None;
    }
    plain::rows(text, signature, |scanner, rows| match scanner.peek()? {
        b'{' => scanner.object(rows).map(|()| Layout::Row),
        _ => scanner.objects(rows).map(|()| Layout::Rows),
    })
}

const ROWS: &str = "at least one row";

/// One object per line; empty lines are skipped.
///
/// # Errors
///
/// [`Error::Malformed`] where a line is no JSON, [`Error::Invalid`] where values do not fit: with
/// every fault found.
pub fn decode_lines(body: &[u8], signature: &Signature, limit: usize) -> Result<Tensors, Error> {
    let mut reader = Reader::new(signature, limit);
    let body = json::without_mark(body);
    if body.trim_ascii().is_empty() {
        let detail = format!("expected {ROWS}, found an empty body");
        return Err(Error::Malformed(Fault::new(detail).into()));
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
pub fn decode_query(query: &[u8], signature: &Signature) -> Result<Tensors, Error> {
    let mut reader = Reader::new(signature, usize::MAX);
    reader.start_row();
    for (name, value) in form_urlencoded::parse(query) {
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
    if str::from_utf8(line).is_ok_and(|text| reader.read_plain(text)) {
        return;
    }
    let rows = reader.number();
    let mut source = serde_json::Deserializer::from_slice(line);
    let read = json::Seed(RowVisitor(reader)).deserialize(&mut source).and_then(|()| source.end());
    if let Err(error) = read {
        if reader.number() == rows {
            reader.start_row();
        }
        let fault = json::fault(&error).row(reader.number() - 1);
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
    let mut source = serde_json::Deserializer::from_str(text);
    let read = CellSeed { reader: &mut *reader, row, feature }
        .deserialize(&mut source)
        .and_then(|()| source.end());
    if read.is_err() {
        let mismatch = Mismatch::new("a JSON array", Value::Text(text).to_string());
        reader.fault(feature, &mismatch);
    }
}

/// A list of strings ([RFC 9651](https://www.rfc-editor.org/rfc/rfc9651#section-3.3.3)), in which
/// what is no printable ASCII is percent-encoded; past what clients take, how many more there are.
fn header_list(names: &[String]) -> String {
    const LONGEST: usize = 2048;
    const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');
    let mut list = String::new();
    let mut left_out = 0;
    for name in names {
        let name = name.replace('\\', "\\\\").replace('"', "\\\"");
        let name = utf8_percent_encode(&name, ESCAPED);
        let entry = format!("{}\"{name}\"", if list.is_empty() { "" } else { ", " });
        if list.len() + entry.len() > LONGEST {
            left_out += 1;
            continue;
        }
        list.push_str(&entry);
    }
    match left_out {
        0 => list,
        _ if list.is_empty() => format!("and-{left_out}-more"),
        _ => format!("{list}, and-{left_out}-more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json::plain::Random;
    use crate::source::Source;

    #[test]
    fn both_roads_read_the_same_rows() {
        let model = Source::Embedded.load().expect("the embedded model loads");
        let signature = model.signature();
        let (mut random, mut rows, mut lines) = (Random::default(), 0, 0);
        for _ in 0..20_000 {
            let mut object = || {
                let mut member = |feature: &ml_app_model::Feature| {
                    format!("\"{}\":{}", feature.name, random.integer())
                };
                let members: Vec<String> = signature.features.iter().map(&mut member).collect();
                format!("{{{}}}", members.join(","))
            };
            let text = match rows % 3 {
                0 => object(),
                _ => format!("[{},{}]", object(), object()),
            };
            let text = random.damaged(text);
            if let Some(read) = decode_plain(&text, signature) {
                assert_eq!(decode_any(&text, signature, usize::MAX).ok(), Some(read), "{text}");
                rows += 1;
            }
            // A line is read as the only row of a body is.
            let mut reader = Reader::new(signature, usize::MAX);
            if text.starts_with('{') && reader.read_plain(&text) {
                let body = decode_any(&text, signature, usize::MAX).ok();
                assert_eq!(reader.into_tensors().ok(), body.map(|(inputs, _)| inputs), "{text}");
                lines += 1;
            }
        }
        assert!(rows > 2_000 && lines > 500, "{rows} {lines}");
    }

    fn list(names: &[&str]) -> String {
        header_list(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn names_are_quoted_escaped_and_counted() {
        assert_eq!(list(&["id", "a, b", "5\" \\"]), r#""id", "a, b", "5\" \\""#);
        assert_eq!(list(&["é", "%C3%A9"]), r#""%C3%A9", "%25C3%25A9""#);
        let long = "x".repeat(3000);
        assert_eq!(list(&[&long, "id", &long]), r#""id", and-2-more"#);
        assert_eq!(list(&[&long]), "and-1-more");
    }
}
