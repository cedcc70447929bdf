//! Runs a prediction in any protocol: decodes the request, runs the model, and encodes the response.

use crate::error::{Busy, Error};
use crate::executor::Failure;
use crate::http::body::RequestBody;
use crate::http::negotiate::ContentCoding;
use crate::http::slices;
use crate::http::state::State;
use crate::inferences::Stopwatch;
use crate::protocol::predictions::Predictions;
use crate::protocol::{Body, Encoded, Protocol};
use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Bytes, Data};
use futures_util::{Stream, stream};
use ml_app_model::{RowOutputs, RunError, Tensors};
use std::convert::Infallible;
use std::time::{Duration, Instant};

/// Maximum size in bytes of a body that is decoded on the I/O thread. Decoding a larger body would delay the other
/// connections of the thread.
const MAX_INLINE_BYTES: usize = 16 * 1024;

/// Maximum estimated duration of a prediction that runs on the I/O thread.
const MAX_INLINE_TIME: Duration = Duration::from_millis(1);

/// Number of rows in each chunk of a streamed response.
const ROWS_PER_CHUNK: usize = 1000;

/// Number of predicted rows. A response carries this number for the request log.
pub(crate) struct RowCount(pub(crate) usize);

/// Responds to a request. Runs a short prediction on the I/O thread, and any other prediction on the inference pool. A
/// large or compressed body is also decoded on the pool.
///
/// # Errors
///
/// Returns an error if the server is at capacity, if the request is invalid, or if the model fails.
pub(crate) async fn respond<P: Protocol>(
    state: Data<State>,
    body: RequestBody,
    protocol: P,
) -> Result<HttpResponse, Error> {
    let stopwatch = state.admit()?;
    let deadline = body.deadline;
    let is_small = body.bytes.len() <= MAX_INLINE_BYTES && body.coding == ContentCoding::Identity;
    let received = Received { state: state.clone(), body, protocol, stopwatch };
    let predicted = if is_small {
        let decoded = received.decode()?;
        let rows = u32::try_from(decoded.inputs.rows()).unwrap_or(u32::MAX);
        // This estimate is too high for most batches, because a batch often takes less time than its rows take one at a
        // time.
        if state.model.latency().saturating_mul(rows) <= MAX_INLINE_TIME {
            decoded.predict()?
        } else {
            on_pool(&state, deadline, move || decoded.dequeued().predict()).await?
        }
    } else {
        on_pool(&state, deadline, move || received.dequeued().decode()?.predict()).await?
    };
    Ok(response(state, predicted))
}

/// A request whose body has been read.
struct Received<P> {
    state: Data<State>,
    body: RequestBody,
    protocol: P,
    stopwatch: Stopwatch,
}

/// A request whose rows have been decoded.
struct Decoded<P: Protocol> {
    received: Received<P>,
    inputs: Tensors,
    options: P::ResponseOptions,
}

/// An encoded response.
struct Predicted {
    encoded: Encoded,
    /// Compression of the body in `encoded`.
    coding: ContentCoding,
    /// Number of predicted rows.
    rows: usize,
}

impl<P: Protocol> Received<P> {
    /// Ends the measurement of the time in the pool's queue. A thread of the pool calls this first.
    fn dequeued(mut self) -> Received<P> {
        self.stopwatch.end_queue();
        self
    }

    /// Decodes the body and records the measurements. If decoding fails, counts the prediction as failed.
    fn decode(mut self) -> Result<Decoded<P>, Error> {
        match self.decode_inputs() {
            Ok((inputs, options)) => {
                self.state.metrics.drift.observe_inputs(&inputs);
                self.stopwatch.end_decode(inputs.rows());
                Ok(Decoded { received: self, inputs, options })
            }
            Err(error) => {
                self.state.inferences.end(self.stopwatch, false);
                Err(error)
            }
        }
    }

    /// Decompresses and decodes the body.
    fn decode_inputs(&mut self) -> Result<(Tensors, P::ResponseOptions), Error> {
        let (limits, signature) = (self.state.limits, self.state.model.signature());
        let body = &mut self.body;
        if body.coding != ContentCoding::Identity {
            body.bytes = body.coding.decompress(&body.bytes, limits.max_body)?.into();
        }
        // Each value in a body takes at least one byte. So only a body that leaves optional values out can exceed this
        // limit.
        let max_values = limits.max_body;
        let (inputs, options) = self.protocol.decode(&body.bytes, signature, max_values)?;
        let (found, limit) = (inputs.rows(), limits.max_rows);
        if found > limit {
            return Err(Error::TooManyRows { limit, found });
        }
        Ok((inputs, options))
    }
}

impl<P: Protocol> Decoded<P> {
    /// Ends the measurement of the time in the queue, as [`Received::dequeued`] does.
    fn dequeued(self) -> Decoded<P> {
        Decoded { received: self.received.dequeued(), ..self }
    }

    /// Runs the model, encodes and compresses the response, and records the measurements.
    fn predict(self) -> Result<Predicted, Error> {
        let Decoded {
            received: Received { state, body, protocol, mut stopwatch },
            inputs,
            options,
        } = self;
        let rows = inputs.rows();
        let encoded = state.model.run(inputs).map_err(Error::from).and_then(|outputs| {
            state.metrics.drift.observe_outputs(&outputs);
            stopwatch.end_inference();
            protocol.encode(options, &body.bytes, state.model.signature(), outputs)
        });
        if let Err(Error::Model(RunError::Panicked(_))) = encoded {
            state.metrics.count_panic();
        }
        let predicted = encoded.map(|mut encoded| {
            let coding = match &mut encoded.body {
                Body::Whole(bytes) => body.response_coding.compress(bytes),
                Body::Lines(_) => ContentCoding::Identity,
            };
            Predicted { encoded, coding, rows }
        });
        state.inferences.end(stopwatch, predicted.is_ok());
        predicted
    }
}

/// Runs a task on the inference pool, and converts a failure of the pool to an error.
async fn on_pool<T: Send + 'static>(
    state: &State,
    deadline: Instant,
    task: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let limits = state.limits;
    let result = state.executor.run(task, limits.queue_timeout, deadline).await;
    result.unwrap_or_else(|failure| {
        Err(match failure {
            Failure::Queue => {
                let seconds = limits.queue_timeout.min(limits.request_timeout).as_secs();
                Error::Busy(Busy::Queue { seconds })
            }
            Failure::Overload => Error::Busy(Busy::Overload),
            Failure::Deadline => {
                Error::Busy(Busy::Deadline { seconds: limits.request_timeout.as_secs() })
            }
            Failure::Panic => {
                state.metrics.count_panic();
                Error::Internal("a panic on an inference thread".into())
            }
        })
    })
}

fn response(state: Data<State>, predicted: Predicted) -> HttpResponse {
    let Predicted { encoded, coding, rows } = predicted;
    let mut response = HttpResponse::Ok();
    response.content_type(encoded.content_type.as_ref());
    for (name, value) in encoded.headers {
        response.insert_header((name, value));
    }
    if let Some(name) = coding.name() {
        response.insert_header((header::CONTENT_ENCODING, name));
    }
    let is_logged = state.logging.rate > 0.0;
    let mut response = match encoded.body {
        Body::Whole(body) => response.body(slices::body(body)),
        Body::Lines(outputs) => response.streaming(lines(state, outputs)),
    };
    if is_logged {
        response.extensions_mut().insert(RowCount(rows));
    }
    response
}

/// Encodes predictions as NDJSON, chunk by chunk, while the response is being sent.
fn lines(
    state: Data<State>,
    outputs: RowOutputs,
) -> impl Stream<Item = Result<Bytes, Infallible>> + 'static {
    let rows = outputs.rows();
    stream::iter((0..rows).step_by(ROWS_PER_CHUNK).map(move |start| {
        let predictions = Predictions::new(state.model.signature(), &outputs);
        let mut chunk = vec![];
        for row in start..rows.min(start + ROWS_PER_CHUNK) {
            predictions.line(&mut chunk, row);
            chunk.push(b'\n');
        }
        Ok(Bytes::from(chunk))
    }))
}
