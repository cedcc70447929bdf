//! Converts errors to responses, in the format `application/problem+json`
//! ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) or in the format of the inference protocols.

use crate::error::{Error, RequestError};
use crate::http::identity;
use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use ml_app_model::RunError;
use paperclip::v2::schema::Apiv2Errors;
use serde::Serialize;
use std::fmt;

pub const CONTENT_TYPE: &str = "application/problem+json";

/// An error response in the format of RFC 9457.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    pub title: &'static str,
    pub status: u16,
    /// The first error and its position, for people to read.
    pub detail: String,
    /// The errors in the request, at most [`RequestErrors::MAX_LISTED`](crate::error::RequestErrors::MAX_LISTED).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<RequestError>,
    /// Number of errors in the request that `errors` does not list.
    #[serde(skip_serializing_if = "is_zero")]
    pub errors_omitted: usize,
    /// Name of the limit that the request exceeded, as in the metrics.
    #[serde(skip)]
    limit: Option<&'static str>,
}

/// Marks the response to a request that exceeded a limit. The field is the name of the limit in the metrics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rejected(pub(crate) &'static str);

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        Problem {
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: detail.into(),
            errors: vec![],
            errors_omitted: 0,
            limit: None,
        }
    }

    /// Returns an internal error and logs its cause. The response does not contain the cause. The response and the log
    /// line contain the same random ID.
    pub(crate) fn internal(cause: &str) -> Problem {
        let id = identity::random();
        log::error!("internal error {id:016x}: {cause}");
        let detail = format!("internal error {id:016x} (the server's log has the details)");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    /// Returns the response, with the headers that its status requires.
    fn response(&self, content_type: &str, body: Vec<u8>) -> HttpResponse {
        let status = self.status_code();
        let mut response = HttpResponse::build(status);
        match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                response.insert_header((header::RETRY_AFTER, "1"));
            }
            StatusCode::UNAUTHORIZED => {
                response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
            }
            _ => {}
        }
        let mut response = response.content_type(content_type).body(body);
        if let Some(limit) = self.limit {
            response.extensions_mut().insert(Rejected(limit));
        }
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let status = match &error {
            Error::Malformed(_) | Error::Interrupted(_) => StatusCode::BAD_REQUEST,
            Error::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::UnsupportedFormat { .. } | Error::UnsupportedCoding { .. } => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Error::NotAcceptable { .. } => StatusCode::NOT_ACCEPTABLE,
            Error::TooLarge { .. } | Error::TooManyValues { .. } | Error::TooManyRows { .. } => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Error::HeaderTooLarge { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Error::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Error::Unauthorized { .. } => StatusCode::UNAUTHORIZED,
            Error::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
            Error::Model(RunError::Panicked(_)) => StatusCode::INTERNAL_SERVER_ERROR,
            // The model made a prediction when the server started, so the values of this request are the cause.
            Error::Model(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let limit = error.limit();
        let problem = match error {
            Error::Malformed(errors) | Error::Invalid(errors) => Problem {
                errors_omitted: errors.omitted,
                ..Problem::new(status, errors.to_string()).with_errors(errors.listed)
            },
            Error::Model(RunError::Panicked(_)) => Problem::internal("the model panicked"),
            Error::Model(error) => {
                // The message may contain values of the request, so it is logged only at the debug level.
                log::debug!("the model failed on a request: {error}");
                Problem::new(status, "the model cannot compute a result for these values")
            }
            Error::Internal(error) => Problem::internal(&error),
            error => Problem::new(status, error.to_string()),
        };
        Problem { limit, ..problem }
    }
}

impl Problem {
    fn with_errors(self, errors: Vec<RequestError>) -> Problem {
        Problem { errors, ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        self.response(CONTENT_TYPE, serde_json::to_vec(self).unwrap_or_default())
    }
}

impl Apiv2Errors for Problem {}

/// An error response in the format of the inference protocols: `{"error": "…"}`.
#[derive(Debug, Clone)]
pub struct PlainError(Problem);

impl PlainError {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> PlainError {
        PlainError(Problem::new(status, detail))
    }
}

impl From<Error> for PlainError {
    fn from(error: Error) -> PlainError {
        Problem::from(error).into()
    }
}

impl From<Problem> for PlainError {
    fn from(mut problem: Problem) -> PlainError {
        // The inference protocols use 400 also for invalid values.
        if problem.status == StatusCode::UNPROCESSABLE_ENTITY.as_u16() {
            problem.status = StatusCode::BAD_REQUEST.as_u16();
        }
        PlainError(problem)
    }
}

impl fmt::Display for PlainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ResponseError for PlainError {
    fn status_code(&self) -> StatusCode {
        self.0.status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let body = serde_json::json!({ "error": self.0.detail }).to_string();
        self.0.response("application/json", body.into())
    }
}

impl Apiv2Errors for PlainError {}

/// The format of an API's error responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorFormat {
    /// `application/problem+json`.
    Problem,
    /// `{"error": "…"}`, with 400 for invalid values.
    Plain,
}

impl ErrorFormat {
    pub(crate) fn response(self, problem: Problem) -> HttpResponse {
        match self {
            ErrorFormat::Problem => problem.error_response(),
            ErrorFormat::Plain => PlainError(problem).error_response(),
        }
    }

    /// Returns the error as actix-web's error type, which becomes the response.
    pub(crate) fn error(self, problem: Problem) -> actix_web::Error {
        match self {
            ErrorFormat::Problem => problem.into(),
            ErrorFormat::Plain => PlainError::from(problem).into(),
        }
    }
}

/// Returns the 404 for a path without a route.
pub(crate) fn not_found(request: &HttpRequest, errors: ErrorFormat) -> HttpResponse {
    let path: String = request.path().chars().take(100).collect();
    let detail = format!("unknown route {path} (see /apidocs for the routes)");
    errors.response(Problem::new(StatusCode::NOT_FOUND, detail))
}

/// Returns the 405 for a path that supports only `methods` and OPTIONS.
pub(crate) fn method_not_allowed(
    found: &Method,
    methods: &str,
    errors: ErrorFormat,
) -> HttpResponse {
    let detail = format!("method: expected {methods}, found {found}");
    let mut response = errors.response(Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail));
    let (name, value) = allow(methods);
    if let Ok(value) = header::HeaderValue::from_str(&value) {
        response.headers_mut().insert(name, value);
    }
    response
}

/// Returns the header `Allow` for a path that supports `methods` and OPTIONS.
pub(crate) fn allow(methods: &str) -> (header::HeaderName, String) {
    (header::ALLOW, format!("{methods}, OPTIONS"))
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}
