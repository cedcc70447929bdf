//! Predictions: read, decode, run, encode.

use crate::config::Limits;
use crate::error::{Error, Fault};
use crate::http::State;
use crate::http::negotiate::Format;
use crate::http::problem::Problem;
use crate::protocol::answer::Answer;
use crate::protocol::csv;
use crate::protocol::features::{self, Layout};
use actix_multipart::{Multipart, MultipartError};
use actix_web::http::header;
use actix_web::rt::time::timeout;
use actix_web::web::{self, Bytes, BytesMut, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{Stream, StreamExt, stream};
use ml_app_model::Tensors;
use paperclip::actix::api_v2_operation;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

/// Predict one row given in the query
#[api_v2_operation(operation_id = "predict_query", tags("prediction"))]
pub async fn predict_query(
    request: HttpRequest,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    Format::of_answer(request.headers(), &[Format::Json])?;
    let query = request.query_string().to_owned();
    run(state, query.len(), move |state| {
        let signature = state.model.signature();
        let outputs = state.model.run(features::decode_query(&query, signature)?)?;
        Ok(Reply::json(&Answer::new(signature, &outputs), Layout::Row))
    })
    .await
}

/// Predict the rows of the body
///
/// The answer has the shape of the question: an object for an object, an array for an array,
/// columns for columns, and CSV or NDJSON likewise.
#[api_v2_operation(operation_id = "predict", tags("prediction"))]
pub async fn predict(
    request: HttpRequest,
    payload: Payload,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let question = Format::of_body(request.headers())?;
    let offered: &[Format] = match question {
        Format::Json => &[Format::Json],
        Format::Csv => &[Format::Csv, Format::Json, Format::Ndjson],
        Format::Ndjson => &[Format::Ndjson, Format::Json],
    };
    let answer = Format::of_answer(request.headers(), offered)?;
    let body = in_time(state.limits, read(&request, payload, state.limits.max_body)).await?;
    run(state, body.len(), move |state| {
        let signature = state.model.signature();
        match question {
            Format::Json => {
                let (inputs, layout) = features::decode(&body, signature)?;
                let outputs = state.model.run(inputs)?;
                Ok(Reply::json(&Answer::new(signature, &outputs), layout))
            }
            Format::Csv => {
                let (inputs, ignored) = csv::decode(&body, signature)?;
                Reply::table(state, state.model.run(inputs)?, &body, answer, ignored)
            }
            Format::Ndjson => {
                let outputs = state.model.run(features::decode_lines(&body, signature)?)?;
                Reply::table(state, outputs, &body, answer, vec![])
            }
        }
    })
    .await
}

/// Predict the rows of a CSV file
///
/// The file's first row names its columns, in any order. Columns that are no feature are ignored;
/// the header `Ignored-Columns` names them. With `Accept: text/csv` the file comes back with the
/// prediction appended to each row.
#[api_v2_operation(operation_id = "predict_file", tags("prediction"))]
pub async fn predict_file(
    request: HttpRequest,
    payload: Payload,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let answer = Format::of_answer(request.headers(), &Format::ALL)?;
    let body = in_time(state.limits, read_file(&request, payload, state.limits.max_body)).await?;
    run(state, body.len(), move |state| {
        let (inputs, ignored) = csv::decode(&body, state.model.signature())?;
        Reply::table(state, state.model.run(inputs)?, &body, answer, ignored)
    })
    .await
}

/// Bytes a request may have to be answered on the thread that reads it; more would keep that
/// thread's other connections waiting.
const INLINE_BYTES: usize = 16 * 1024;

/// What a row may take for the same.
const INLINE_LATENCY: Duration = Duration::from_millis(1);

/// Runs a prediction, on a thread of its own where it could take long.
async fn run(
    state: Data<State>,
    bytes: usize,
    job: impl FnOnce(&State) -> Result<Reply, Error> + Send + 'static,
) -> Result<HttpResponse, Problem> {
    let reply = if bytes <= INLINE_BYTES && state.model.latency() <= INLINE_LATENCY {
        job(&state)
    } else {
        let state = state.clone();
        let done = web::block(move || job(&state)).await;
        done.unwrap_or_else(|error| Err(Error::Internal(error.to_string())))
    };
    Ok(reply?.into_response(state))
}

/// An answer on its way out.
struct Reply {
    format: Format,
    /// Columns of the question that are no feature.
    ignored: Vec<String>,
    body: Body,
}

enum Body {
    Whole(Vec<u8>),
    /// Outputs whose rows are written while they are sent.
    Lines(Tensors),
}

impl Reply {
    fn json(answer: &Answer<'_>, layout: Layout) -> Reply {
        let mut body = vec![];
        match layout {
            Layout::Row => answer.object(&mut body, 0),
            Layout::Rows => answer.array(&mut body),
            Layout::Columns => answer.columns_object(&mut body),
        }
        Reply { format: Format::Json, ignored: vec![], body: Body::Whole(body) }
    }

    /// The answer to a table, whose CSV `question` is.
    fn table(
        state: &State,
        outputs: Tensors,
        question: &[u8],
        format: Format,
        ignored: Vec<String>,
    ) -> Result<Reply, Error> {
        let answer = Answer::new(state.model.signature(), &outputs);
        let body = match format {
            Format::Json => Reply::json(&answer, Layout::Rows).body,
            Format::Csv => Body::Whole(csv::append(question, &answer)?),
            Format::Ndjson => Body::Lines(outputs),
        };
        Ok(Reply { format, ignored, body })
    }

    fn into_response(self, state: Data<State>) -> HttpResponse {
        let mut response = HttpResponse::Ok();
        response.content_type(self.format.media_type());
        if !self.ignored.is_empty() {
            response.insert_header(("ignored-columns", header_list(&self.ignored)));
        }
        match self.body {
            Body::Whole(body) => response.body(body),
            Body::Lines(outputs) => response.streaming(lines(state, outputs)),
        }
    }
}

fn lines(
    state: Data<State>,
    outputs: Tensors,
) -> impl Stream<Item = Result<Bytes, Infallible>> + 'static {
    const ROWS: usize = 1000;
    let rows = outputs.rows();
    stream::iter((0..rows).step_by(ROWS).map(move |start| {
        let answer = Answer::new(state.model.signature(), &outputs);
        let mut body = vec![];
        for row in start..rows.min(start + ROWS) {
            answer.object(&mut body, row);
            body.push(b'\n');
        }
        Ok(Bytes::from(body))
    }))
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

async fn in_time<T>(
    limits: Limits,
    read: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let seconds = limits.body_timeout;
    let whole = timeout(Duration::from_secs(seconds), read).await;
    whole.unwrap_or(Err(Error::TooSlow { seconds }))
}

async fn read(request: &HttpRequest, mut body: Payload, limit: usize) -> Result<Bytes, Error> {
    let announced = announced(request);
    if announced.is_some_and(|length| length > limit) {
        return Err(Error::TooLarge { limit });
    }
    // An announcement costs a client nothing, so it must not cost much memory either.
    let mut bytes = BytesMut::with_capacity(announced.unwrap_or(0).min(64 * 1024));
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| Error::Interrupted(error.to_string()))?;
        if bytes.len() + chunk.len() > limit {
            return Err(Error::TooLarge { limit });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

fn announced(request: &HttpRequest) -> Option<usize> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The one part called `file` of a multipart form.
async fn read_file(request: &HttpRequest, body: Payload, limit: usize) -> Result<Bytes, Error> {
    if announced(request).is_some_and(|length| length > limit) {
        return Err(Error::TooLarge { limit });
    }
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.map_or("none", |value| value.to_str().unwrap_or("none"));
    if !content_type.to_ascii_lowercase().starts_with("multipart/form-data") {
        return Err(unsupported_form(content_type));
    }
    let mut form = Multipart::new(request.headers(), body.into_inner());
    let mut file: Option<BytesMut> = None;
    let mut total = 0;
    while let Some(part) = form.next().await {
        let mut part = part.map_err(|error| multipart_error(content_type, error))?;
        let is_file = part.name() == Some(FILE);
        if is_file && file.is_some() {
            let fault = Fault::new("expected one part named `file`, but found a second");
            return Err(Error::Malformed(fault.into()));
        }
        let mut bytes = BytesMut::new();
        while let Some(chunk) = part.next().await {
            let chunk = chunk.map_err(|error| multipart_error(content_type, error))?;
            total += chunk.len();
            if total > limit {
                return Err(Error::TooLarge { limit });
            }
            if is_file {
                bytes.extend_from_slice(&chunk);
            }
        }
        if is_file {
            file = Some(bytes);
        }
    }
    file.map(BytesMut::freeze).ok_or_else(|| {
        let fault = Fault::new("expected a part named `file` that holds a CSV, but found none");
        Error::Malformed(fault.into())
    })
}

const FILE: &str = "file";

fn unsupported_form(content_type: &str) -> Error {
    Error::UnsupportedFormat {
        expected: "multipart/form-data with a boundary".into(),
        found: ml_app_model::value::excerpt(content_type),
    }
}

fn multipart_error(content_type: &str, error: MultipartError) -> Error {
    match error {
        MultipartError::BoundaryMissing if !content_type.contains("boundary=") => {
            unsupported_form(content_type)
        }
        error => {
            let detail = format!("expected a multipart form, but found a fault: {error}");
            Error::Malformed(Fault::new(detail).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::header_list;

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
