//! Predictions: read, decode, run, encode; whatever the protocol.

use crate::config::Limits;
use crate::error::{Error, Fault};
use crate::http::State;
use crate::http::negotiate::{Coding, Format};
use crate::http::problem::Problem;
use crate::inferences::Times;
use crate::protocol::answer::Answer;
use crate::protocol::features::{Named, Query};
use crate::protocol::{Body, Encoded, Protocol};
use actix_multipart::{Multipart, MultipartError};
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::rt::time::timeout;
use actix_web::web::{self, Bytes, BytesMut, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{Stream, StreamExt, stream};
use ml_app_model::Tensors;
use paperclip::actix::api_v2_operation;
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
    let query = Bytes::copy_from_slice(request.query_string().as_bytes());
    Ok(answer(state, Question { body: query, ..Question::default() }, Query).await?)
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
    let format = Format::of_body(request.headers())?;
    let named =
        Named { question: format, answer: Format::of_answer(request.headers(), offered(format))? };
    let question = Question::read(&request, payload, state.limits).await?;
    Ok(answer(state, question, named).await?)
}

/// The formats of answers to a question in this one; the first is preferred.
pub fn offered(question: Format) -> &'static [Format] {
    match question {
        Format::Json => &[Format::Json],
        Format::Csv => &[Format::Csv, Format::Json, Format::Ndjson],
        Format::Ndjson => &[Format::Ndjson, Format::Json],
    }
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
    let format = Format::of_answer(request.headers(), &Format::ALL)?;
    let body = in_time(state.limits, read_file(&request, payload, state.limits.max_body)).await?;
    let named = Named { question: Format::Csv, answer: format };
    Ok(answer(state, Question { body, ..Question::default() }, named).await?)
}

/// A body, and how it and its answer are compressed.
#[derive(Debug, Default)]
pub struct Question {
    pub body: Bytes,
    pub coding: Coding,
    /// Of the answer, if it is long.
    pub answer_coding: Coding,
}

impl Question {
    /// The answer is not compressed.
    ///
    /// # Errors
    ///
    /// Where the body is too large, too slow, broken off, or compressed in a way that is not known.
    pub async fn read(
        request: &HttpRequest,
        payload: Payload,
        limits: Limits,
    ) -> Result<Question, Error> {
        let coding = Coding::of_body(request.headers())?;
        let body = in_time(limits, read(request, payload, limits.max_body)).await?;
        Ok(Question { body, coding, answer_coding: Coding::Identity })
    }

    fn is_short(&self) -> bool {
        self.body.len() <= INLINE_BYTES && self.coding == Coding::Identity
    }
}

/// Bytes a request may have to be decoded on the thread that reads it; more would keep that thread's
/// other connections waiting.
const INLINE_BYTES: usize = 16 * 1024;

/// What its rows may take for the same, each as long as one alone.
const INLINE_TIME: Duration = Duration::from_millis(1);

/// Answers a question, on a thread of its own where that could take long.
///
/// # Errors
///
/// As the protocol decodes and encodes, and as the model runs.
pub async fn answer<P: Protocol>(
    state: Data<State>,
    question: Question,
    protocol: P,
) -> Result<HttpResponse, Error> {
    let times = state.inferences.begin();
    let work = Work { state: state.clone(), question, protocol, times };
    let (encoded, coding) = if work.question.is_short() {
        let decoded = work.decode()?;
        let rows = u32::try_from(decoded.inputs.rows()).unwrap_or(u32::MAX);
        match state.model.latency().saturating_mul(rows) <= INLINE_TIME {
            true => decoded.finish()?,
            false => elsewhere(move || decoded.queued().finish()).await?,
        }
    } else {
        elsewhere(move || work.queued().decode()?.finish()).await?
    };
    let mut response = HttpResponse::Ok();
    response.content_type(encoded.content_type.as_ref());
    for (name, value) in encoded.headers {
        response.insert_header((name, value));
    }
    if let Some(name) = coding.name() {
        response.insert_header((header::CONTENT_ENCODING, name));
    }
    Ok(match encoded.body {
        Body::Whole(body) => response.body(body),
        Body::Lines(outputs) => response.streaming(lines(state, outputs)),
    })
}

/// A question on its way to its answer.
struct Work<P> {
    state: Data<State>,
    question: Question,
    protocol: P,
    times: Times,
}

/// The same, read.
struct Decoded<P: Protocol> {
    work: Work<P>,
    inputs: Tensors,
    wish: P::Wish,
}

impl<P: Protocol> Work<P> {
    fn queued(mut self) -> Work<P> {
        self.times.queued();
        self
    }

    fn decode(mut self) -> Result<Decoded<P>, Error> {
        let (limits, signature) = (self.state.limits, self.state.model.signature());
        let inflated = match self.question.coding {
            Coding::Identity => Ok(()),
            coding => coding
                .inflate(&self.question.body, limits.max_body)
                .map(|inflated| self.question.body = inflated.into()),
        };
        // Rows that are told in full have a byte for each value at the least.
        let decoded = inflated
            .and_then(|()| self.protocol.decode(&self.question.body, signature, limits.max_body));
        match decoded {
            Ok((inputs, wish)) => {
                self.times.decoded(inputs.rows());
                Ok(Decoded { work: self, inputs, wish })
            }
            Err(error) => {
                self.state.inferences.end(self.times, false);
                Err(error)
            }
        }
    }
}

impl<P: Protocol> Decoded<P> {
    fn queued(self) -> Decoded<P> {
        Decoded { work: self.work.queued(), ..self }
    }

    fn finish(self) -> Result<(Encoded, Coding), Error> {
        let Decoded { work: Work { state, question, protocol, mut times }, inputs, wish } = self;
        let answered = state.model.run(inputs).map_err(Error::from).and_then(|outputs| {
            times.inferred();
            protocol.encode(wish, &question.body, state.model.signature(), outputs)
        });
        let answered = answered.map(|mut encoded| {
            let coding = match &mut encoded.body {
                Body::Whole(body) => question.answer_coding.deflate(body),
                Body::Lines(_) => Coding::Identity,
            };
            (encoded, coding)
        });
        state.inferences.end(times, answered.is_ok());
        answered
    }
}

async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = web::block(work).await;
    done.unwrap_or_else(|error| Err(Error::Internal(error.to_string())))
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
    let found = Coding::of_body(request.headers())?;
    if found != Coding::Identity {
        return Err(Error::UnsupportedCoding {
            expected: "none of a form",
            found: found.name().unwrap_or_default().to_owned(),
        });
    }
    let mut total = 0;
    let body = body.map(move |chunk| {
        let chunk = chunk?;
        total += chunk.len();
        if total > limit { Err(PayloadError::Overflow) } else { Ok(chunk) }
    });
    let mut form = Multipart::new(request.headers(), body);
    let mut file: Option<BytesMut> = None;
    while let Some(part) = form.next().await {
        let mut part = part.map_err(|error| multipart_error(content_type, limit, error))?;
        let is_file = part.name() == Some(FILE);
        if is_file && file.is_some() {
            let fault = Fault::new("expected one part named `file`, but found a second");
            return Err(Error::Malformed(fault.into()));
        }
        let mut bytes = BytesMut::new();
        while let Some(chunk) = part.next().await {
            let chunk = chunk.map_err(|error| multipart_error(content_type, limit, error))?;
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

fn multipart_error(content_type: &str, limit: usize, error: MultipartError) -> Error {
    match error {
        MultipartError::Payload(PayloadError::Overflow) => Error::TooLarge { limit },
        MultipartError::BoundaryMissing if !content_type.contains("boundary=") => {
            unsupported_form(content_type)
        }
        error => {
            let detail = format!("expected a multipart form, but found a fault: {error}");
            Error::Malformed(Fault::new(detail).into())
        }
    }
}
