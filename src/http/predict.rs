//! Predictions: read, decode, run, encode; whatever the protocol.

use crate::error::{Busy, Error, RequestError};
use crate::executor::Failure;
use crate::http::negotiate::{Coding, WireFormat};
use crate::http::{Rows, State, slices};
use crate::inferences::Times;
use crate::protocol::predictions::Predictions;
use crate::protocol::{Body, Encoded, Protocol};
use actix_multipart::{Multipart, MultipartError};
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::rt::time::timeout;
use actix_web::web::{Bytes, BytesMut, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{Stream, StreamExt, stream};
use ml_app_model::{RunError, Tensors};
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The formats of answers to a question in this one; the first is preferred.
pub fn offered(question: WireFormat) -> &'static [WireFormat] {
    match question {
        WireFormat::Json => &[WireFormat::Json],
        WireFormat::Csv => &[WireFormat::Csv, WireFormat::Json, WireFormat::Ndjson],
        WireFormat::Ndjson => &[WireFormat::Ndjson, WireFormat::Json],
    }
}

/// A body, and how it and its answer are compressed.
#[derive(Debug)]
pub struct Question {
    pub body: Bytes,
    pub coding: Coding,
    /// Of the answer, if it is long.
    pub answer_coding: Coding,
    /// When there must be an answer.
    deadline: Instant,
    held: Held,
}

impl Question {
    /// `body` is not of the request's payload.
    pub fn new(body: Bytes, state: &State) -> Question {
        Question {
            body,
            coding: Coding::Identity,
            answer_coding: Coding::Identity,
            deadline: Instant::now() + state.limits.request_timeout,
            held: Held::new(state),
        }
    }

    /// The answer is not compressed.
    ///
    /// # Errors
    ///
    /// Where the body is too large, too slow, broken off, or compressed in a way that is not known, and
    /// where there is no place for more.
    pub async fn read(
        request: &HttpRequest,
        payload: Payload,
        state: &State,
    ) -> Result<Question, Error> {
        Question::read_up_to(state.limits.max_body, request, payload, state).await
    }

    /// The same of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// As [`Question::read`].
    pub async fn read_up_to(
        limit: usize,
        request: &HttpRequest,
        payload: Payload,
        state: &State,
    ) -> Result<Question, Error> {
        let mut question = Question::new(Bytes::new(), state);
        question.coding = Coding::of_body(request.headers())?;
        state.check_place()?;
        let body = read(request, payload, limit, &mut question.held);
        question.body = in_time(state, body).await?;
        Ok(question)
    }

    /// The file of a multipart form.
    ///
    /// # Errors
    ///
    /// As [`Question::read`], and where the form has no such part.
    pub async fn read_file(
        request: &HttpRequest,
        payload: Payload,
        state: &State,
    ) -> Result<Question, Error> {
        let mut question = Question::new(Bytes::new(), state);
        state.check_place()?;
        let file = read_file(request, payload, state.limits.max_body, &mut question.held);
        question.body = in_time(state, file).await?;
        Ok(question)
    }

    fn is_short(&self) -> bool {
        self.body.len() <= INLINE_BYTES && self.coding == Coding::Identity
    }
}

/// Bytes of a body that count as held for as long as this lives.
#[derive(Debug)]
struct Held {
    all: Arc<AtomicUsize>,
    limit: usize,
    bytes: usize,
}

impl Held {
    fn new(state: &State) -> Held {
        Held { all: state.buffered.clone(), limit: state.limits.max_buffered, bytes: 0 }
    }

    fn add(&mut self, bytes: usize) -> Result<(), Error> {
        self.bytes += bytes;
        match self.all.fetch_add(bytes, Relaxed) + bytes > self.limit {
            true => Err(Error::Busy(Busy::Buffered { limit: self.limit })),
            false => Ok(()),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Relaxed);
    }
}

impl State {
    fn no_place(&self) -> Error {
        self.executor.overloaded();
        Error::Busy(Busy::InFlight { limit: self.limits.max_in_flight })
    }

    /// Before a body is read that there would be no place for.
    fn check_place(&self) -> Result<(), Error> {
        match self.inferences.in_flight() >= self.limits.max_in_flight {
            true => Err(self.no_place()),
            false => Ok(()),
        }
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
    let limits = state.limits;
    let Some(times) = state.inferences.begin(limits.max_in_flight) else {
        return Err(state.no_place());
    };
    let deadline = question.deadline;
    let work = Work { state: state.clone(), question, protocol, times };
    let Answered { encoded, coding, rows } = if work.question.is_short() {
        let decoded = work.decode()?;
        let rows = u32::try_from(decoded.inputs.rows()).unwrap_or(u32::MAX);
        match state.model.latency().saturating_mul(rows) <= INLINE_TIME {
            true => decoded.finish()?,
            false => elsewhere(&state, deadline, move || decoded.queued().finish()).await?,
        }
    } else {
        elsewhere(&state, deadline, move || work.queued().decode()?.finish()).await?
    };
    let mut response = HttpResponse::Ok();
    response.content_type(encoded.content_type.as_ref());
    for (name, value) in encoded.headers {
        response.insert_header((name, value));
    }
    if let Some(name) = coding.name() {
        response.insert_header((header::CONTENT_ENCODING, name));
    }
    let logs = state.logging.rate > 0.0;
    let mut response = match encoded.body {
        Body::Whole(body) => response.body(slices::body(body)),
        Body::Lines(outputs) => response.streaming(lines(state, outputs)),
    };
    if logs {
        response.extensions_mut().insert(Rows(rows));
    }
    Ok(response)
}

/// An answer, and how it is compressed.
struct Answered {
    encoded: Encoded,
    coding: Coding,
    rows: usize,
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
    options: P::ResponseOptions,
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
            .and_then(|()| self.protocol.decode(&self.question.body, signature, limits.max_body))
            .and_then(|(inputs, options)| match (inputs.rows(), limits.max_rows) {
                (found, limit) if found > limit => Err(Error::TooManyRows { limit, found }),
                _ => Ok((inputs, options)),
            });
        match decoded {
            Ok((inputs, options)) => {
                self.state.metrics.drift.asked(&inputs);
                self.times.decoded(inputs.rows());
                Ok(Decoded { work: self, inputs, options })
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

    fn finish(self) -> Result<Answered, Error> {
        let Decoded { work: Work { state, question, protocol, mut times }, inputs, options } = self;
        let rows = inputs.rows();
        let answered = state.model.run(inputs).map_err(Error::from).and_then(|outputs| {
            state.metrics.drift.answered(&outputs);
            times.inferred();
            protocol.encode(options, &question.body, state.model.signature(), outputs)
        });
        if let Err(Error::Model(RunError::Panicked(_))) = answered {
            state.metrics.panicked();
        }
        let answered = answered.map(|mut encoded| {
            let coding = match &mut encoded.body {
                Body::Whole(body) => question.answer_coding.deflate(body),
                Body::Lines(_) => Coding::Identity,
            };
            Answered { encoded, coding, rows }
        });
        state.inferences.end(times, answered.is_ok());
        answered
    }
}

/// On one of the threads for what takes long.
async fn elsewhere<T: Send + 'static>(
    state: &State,
    deadline: Instant,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let limits = state.limits;
    let done = state.executor.run(work, limits.queue_timeout, deadline).await;
    done.unwrap_or_else(|failure| {
        Err(match failure {
            Failure::Queue => {
                let seconds = limits.queue_timeout.min(limits.request_timeout).as_secs();
                Error::Busy(Busy::Queue { seconds })
            }
            Failure::Overload => Error::Busy(Busy::InFlight { limit: limits.max_in_flight }),
            Failure::Deadline => {
                Error::Busy(Busy::Deadline { seconds: limits.request_timeout.as_secs() })
            }
            Failure::Panic => {
                state.metrics.panicked();
                Error::Internal("a panic on a thread for predictions".into())
            }
        })
    })
}

fn lines(
    state: Data<State>,
    outputs: Tensors,
) -> impl Stream<Item = Result<Bytes, Infallible>> + 'static {
    const ROWS: usize = 1000;
    let rows = outputs.rows();
    stream::iter((0..rows).step_by(ROWS).map(move |start| {
        let answer = Predictions::new(state.model.signature(), &outputs);
        let mut body = vec![];
        for row in start..rows.min(start + ROWS) {
            answer.object(&mut body, row);
            body.push(b'\n');
        }
        Ok(Bytes::from(body))
    }))
}

async fn in_time<T>(
    state: &State,
    read: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let time = state.limits.request_timeout;
    timeout(time, read).await.unwrap_or(Err(Error::TooSlow { seconds: time.as_secs() }))
}

async fn read(
    request: &HttpRequest,
    mut body: Payload,
    limit: usize,
    held: &mut Held,
) -> Result<Bytes, Error> {
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
        held.add(chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

fn announced(request: &HttpRequest) -> Option<usize> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The one part called `file` of a multipart form.
async fn read_file(
    request: &HttpRequest,
    body: Payload,
    limit: usize,
    held: &mut Held,
) -> Result<Bytes, Error> {
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
            expected: "none for a form",
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
            let fault = RequestError::new("expected one part named `file`, found a second");
            return Err(Error::Malformed(fault.into()));
        }
        let mut bytes = BytesMut::new();
        while let Some(chunk) = part.next().await {
            let chunk = chunk.map_err(|error| multipart_error(content_type, limit, error))?;
            if is_file {
                held.add(chunk.len())?;
                bytes.extend_from_slice(&chunk);
            }
        }
        if is_file {
            file = Some(bytes);
        }
    }
    file.map(BytesMut::freeze).ok_or_else(|| {
        let fault = RequestError::new("expected a part named `file` that holds a CSV, found none");
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
            let detail = format!("invalid multipart form: {error}");
            Error::Malformed(RequestError::new(detail).into())
        }
    }
}
