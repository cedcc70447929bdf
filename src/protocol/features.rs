//! Named features as JSON, NDJSON or CSV, and in a query string.
//!
//! A JSON body is an object (one row), an array of objects (rows), or an object of arrays (columns). A parameter has
//! one value for the whole request. In rows, the parameter is a member of one or more rows. In columns, the member is
//! the value itself, or an array of equal values. For features whose input is a float, `null` is a missing value (NaN),
//! and the strings `NaN`, `Infinity` and `-Infinity` stand for the values that JSON numbers cannot express.

mod body;

use crate::error::{Error, RequestError};
use crate::protocol::cell::read_text;
use crate::protocol::json::fast_path;
use crate::protocol::predictions::Predictions;
use crate::protocol::reader::Reader;
use crate::protocol::{Body, Encoded, Protocol, WireFormat, csv, json};
pub use body::FeaturesLayout;
use body::{BodyVisitor, RowVisitor};
use ml_app_model::value::with_article;
use ml_app_model::{Kind, Mismatch, RowOutputs, Signature, Tensors};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::de::DeserializeSeed;

/// The protocol of requests with one row in the query string. The response is JSON.
#[derive(Debug, Clone, Copy)]
pub struct Query;

impl Protocol for Query {
    type ResponseOptions = ();

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
        let outputs = RowOutputs::new(signature, outputs);
        Ok(json_response(&Predictions::new(signature, &outputs), FeaturesLayout::Row))
    }
}

/// The protocol of requests with rows in the body. Request and response may have different formats.
#[derive(Debug, Clone, Copy)]
pub struct NamedFeatures {
    pub request: WireFormat,
    pub response: WireFormat,
}

/// Options that a request sets for its response.
#[derive(Debug)]
pub struct ResponseOptions {
    layout: FeaturesLayout,
    /// Names of the CSV columns that are not features. A header of the response lists them.
    ignored: Vec<String>,
}

impl Protocol for NamedFeatures {
    type ResponseOptions = ResponseOptions;

    fn decode(
        &self,
        body: &[u8],
        signature: &Signature,
        limit: usize,
    ) -> Result<(Tensors, ResponseOptions), Error> {
        let with_layout = |layout| ResponseOptions { layout, ignored: vec![] };
        match self.request {
            WireFormat::Json => {
                decode(body, signature, limit).map(|(inputs, layout)| (inputs, with_layout(layout)))
            }
            WireFormat::Ndjson => decode_lines(body, signature, limit)
                .map(|inputs| (inputs, with_layout(FeaturesLayout::Rows))),
            WireFormat::Csv => {
                let (inputs, ignored) = csv::decode(body, signature, limit)?;
                Ok((inputs, ResponseOptions { layout: FeaturesLayout::Rows, ignored }))
            }
        }
    }

    fn encode(
        &self,
        ResponseOptions { layout, ignored }: ResponseOptions,
        body: &[u8],
        signature: &Signature,
        outputs: Tensors,
    ) -> Result<Encoded, Error> {
        let outputs = RowOutputs::new(signature, outputs);
        let predictions = Predictions::new(signature, &outputs);
        let encoded = match self.response {
            WireFormat::Json => json_response(&predictions, layout),
            WireFormat::Csv => {
                let body = Body::Whole(csv::append(body, &predictions)?);
                Encoded { content_type: self.response.content_type().into(), headers: vec![], body }
            }
            WireFormat::Ndjson => {
                let body = Body::Lines(outputs);
                Encoded { content_type: self.response.content_type().into(), headers: vec![], body }
            }
        };
        if ignored.is_empty() {
            return Ok(encoded);
        }
        let headers = vec![("ignored-columns", header_list(&ignored))];
        Ok(Encoded { headers, ..encoded })
    }
}

fn json_response(predictions: &Predictions<'_>, layout: FeaturesLayout) -> Encoded {
    let mut body = Vec::with_capacity(predictions.rows() * predictions.row_size());
    match layout {
        FeaturesLayout::Row => predictions.row(&mut body),
        FeaturesLayout::Rows => predictions.array(&mut body),
        FeaturesLayout::Columns => predictions.columns_object(&mut body),
    }
    Encoded::json(body)
}

/// Decodes a JSON body.
///
/// # Errors
///
/// Returns [`Error::Malformed`] with line and column if `body` is not JSON or does not have one of the
/// [layouts](FeaturesLayout). Returns [`Error::Invalid`] with every error found in the values.
pub fn decode(
    body: &[u8],
    signature: &Signature,
    limit: usize,
) -> Result<(Tensors, FeaturesLayout), Error> {
    let text = json::text(body, ROWS)?;
    decode_fast(text, signature).map_or_else(|| decode_serde(text, signature, limit), Ok)
}

fn decode_serde(
    text: &str,
    signature: &Signature,
    limit: usize,
) -> Result<(Tensors, FeaturesLayout), Error> {
    let mut reader = Reader::new(signature, limit);
    let read = json::read(text, BodyVisitor(&mut reader));
    reader.finish_json(read)
}

/// Decodes a body on the [fast path](fast_path): an object or an array of objects, each with all features in the
/// model's order. Returns `None` for any other body.
fn decode_fast(text: &str, signature: &Signature) -> Option<(Tensors, FeaturesLayout)> {
    if !fast_path::supports_objects(signature) {
        return None;
    }
    fast_path::rows(text, signature, |scanner, rows| match scanner.peek()? {
        b'{' => scanner.object(rows).map(|()| FeaturesLayout::Row),
        _ => scanner.objects(rows).map(|()| FeaturesLayout::Rows),
    })
}

/// The expected content of a body, for error messages.
const ROWS: &str = "at least one row";

/// Decodes NDJSON: one object per line. Empty lines are skipped.
///
/// # Errors
///
/// Returns every error found, as [`Error::Malformed`] if a line is not JSON, and as [`Error::Invalid`] otherwise.
fn decode_lines(body: &[u8], signature: &Signature, limit: usize) -> Result<Tensors, Error> {
    let mut reader = Reader::new(signature, limit);
    let body = json::without_bom(body);
    if body.trim_ascii().is_empty() {
        let detail = format!("expected {ROWS}, found an empty body");
        return Err(Error::malformed(detail));
    }
    for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
        read_line(&mut reader, index as u64 + 1, line);
        if reader.is_exhausted() {
            break;
        }
    }
    reader.into_tensors()
}

/// Decodes one row from a query string. The value of an array is JSON. A scalar is written without JSON's quotes.
///
/// # Errors
///
/// Returns [`Error::Invalid`] with every error found.
fn decode_query(query: &[u8], signature: &Signature) -> Result<Tensors, Error> {
    let mut reader = Reader::new(signature, usize::MAX);
    reader.start_row();
    for (name, value) in form_urlencoded::parse(query) {
        let Some(feature) = reader.take(&name) else { continue };
        // An empty CSV cell is a missing value. An empty value in a query is an error instead, because it probably
        // comes from a form with a field that the user forgot.
        let is_string = signature.features[feature].kind == Kind::String;
        if value.is_empty() && !is_string {
            let expected = with_article(signature.features[feature].kind);
            reader.feature_error(feature, Mismatch::new(expected, "nothing"));
        } else {
            read_text(&mut reader, feature, &value);
        }
    }
    reader.end_row();
    reader.into_tensors()
}

/// Reads a line of NDJSON into `reader`. `number` is the number of the line, counted from 1.
pub(crate) fn read_line(reader: &mut Reader<'_>, number: u64, line: &[u8]) {
    if line.trim_ascii().is_empty() {
        return;
    }
    reader.line = Some(number);
    if str::from_utf8(line).is_ok_and(|text| reader.read_fast(text)) {
        return;
    }
    let rows = reader.rows_read();
    let mut source = serde_json::Deserializer::from_slice(line);
    let read = json::Seed(RowVisitor(reader)).deserialize(&mut source).and_then(|()| source.end());
    if let Err(error) = read {
        // The line counts as a row, even if the error occurred before the visitor started one.
        if reader.rows_read() == rows {
            reader.start_row();
        }
        let error = json::request_error(&error).row(reader.rows_read() - 1);
        reader.push_malformed(RequestError { line: Some(number), ..error });
    }
}

/// Formats names as the value of a header: a [list of strings][strings].
///
/// Characters outside printable ASCII are percent-encoded. If the list would exceed its maximum length, the
/// remaining names are only counted, as in `and-2-more`.
///
/// [strings]: https://www.rfc-editor.org/rfc/rfc9651#section-3.3.3
fn header_list(names: &[String]) -> String {
    // Maximum length of the list in bytes. Clients and proxies limit headers, often to 8 KiB in total.
    const MAX_LENGTH: usize = 2048;
    /// Characters that are percent-encoded.
    const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');
    let mut list = String::new();
    let mut left_out = 0;
    for name in names {
        let name = name.replace('\\', "\\\\").replace('"', "\\\"");
        let name = utf8_percent_encode(&name, ESCAPED);
        let entry = format!("{}\"{name}\"", if list.is_empty() { "" } else { ", " });
        if list.len() + entry.len() > MAX_LENGTH {
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
    use crate::protocol::json::fast_path::Random;
    use crate::source::Source;

    #[test]
    fn fast_path_and_serde_read_the_same_rows() {
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
            if let Some(read) = decode_fast(&text, signature) {
                assert_eq!(decode_serde(&text, signature, usize::MAX).ok(), Some(read), "{text}");
                rows += 1;
            }
            // A line of NDJSON is decoded like a body with a single row.
            let mut reader = Reader::new(signature, usize::MAX);
            if text.starts_with('{') && reader.read_fast(&text) {
                let body = decode_serde(&text, signature, usize::MAX).ok();
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
    fn quotes_escapes_and_counts_names_in_a_header() {
        assert_eq!(list(&["id", "a, b", "5\" \\"]), r#""id", "a, b", "5\" \\""#);
        assert_eq!(list(&["é", "%C3%A9"]), r#""%C3%A9", "%25C3%25A9""#);
        let long = "x".repeat(3000);
        assert_eq!(list(&[&long, "id", &long]), r#""id", and-2-more"#);
        assert_eq!(list(&[&long]), "and-1-more");
    }
}
