//! Errors as `application/problem+json` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)).

use crate::error::{Error, RequestError};
use crate::http::identity;
use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use ml_app_model::RunError;
use paperclip::v2::schema::Apiv2Errors;
use serde::Serialize;
use std::fmt;

pub const CONTENT_TYPE: &str = "application/problem+json";

/// What a client sees of an error.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    pub title: &'static str,
    pub status: u16,
    /// For people: the first fault, with its place.
    pub detail: String,
    /// Every fault found, as far as they are listed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<RequestError>,
    /// Faults found beyond those listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub errors_omitted: usize,
    #[serde(skip)]
    limit: Option<&'static str>,
}

/// Of a response: which limit refused the request.
#[derive(Debug, Clone, Copy)]
pub struct Refused(pub &'static str);

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

    /// A fault of ours. The client and the log are told the same number.
    pub fn fault(what: &str) -> Problem {
        let id = identity::random();
        log::error!("fault {id:016x}: {what}");
        let detail = format!("the server failed on this request; see fault {id:016x} in its log");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    /// With the headers that its status asks for.
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
            response.extensions_mut().insert(Refused(limit));
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
            // The model has answered before: it is these values it has no answer for.
            Error::Model(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let limit = error.limit();
        let problem = match error {
            Error::Malformed(faults) | Error::Invalid(faults) => Problem {
                errors_omitted: faults.omitted,
                ..Problem::new(status, faults.to_string()).with(faults.listed)
            },
            Error::Model(RunError::Panicked(_)) => Problem::fault("the model panicked"),
            Error::Model(error) => {
                // It may tell values.
                log::debug!("the model failed on a request: {error}");
                Problem::new(status, "the model cannot compute a result for these values")
            }
            Error::Internal(error) => Problem::fault(&error),
            error => Problem::new(status, error.to_string()),
        };
        Problem { limit, ..problem }
    }
}

impl Problem {
    fn with(self, errors: Vec<RequestError>) -> Problem {
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

/// An error as the inference protocols have it: `{"error": "…"}`.
#[derive(Debug, Clone)]
pub struct Plain(Problem);

impl Plain {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Plain {
        Plain(Problem::new(status, detail))
    }
}

impl From<Error> for Plain {
    fn from(error: Error) -> Plain {
        Problem::from(error).into()
    }
}

impl From<Problem> for Plain {
    fn from(mut problem: Problem) -> Plain {
        // They have no status of their own for values that do not fit.
        if problem.status == StatusCode::UNPROCESSABLE_ENTITY.as_u16() {
            problem.status = StatusCode::BAD_REQUEST.as_u16();
        }
        Plain(problem)
    }
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ResponseError for Plain {
    fn status_code(&self) -> StatusCode {
        self.0.status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let body = serde_json::json!({ "error": self.0.detail }).to_string();
        self.0.response("application/json", body.into())
    }
}

impl Apiv2Errors for Plain {}

/// The form in which an API reports errors.
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
            ErrorFormat::Plain => Plain(problem).error_response(),
        }
    }

    /// As [`ErrorFormat::response`], for where an error is expected.
    pub(crate) fn error(self, problem: Problem) -> actix_web::Error {
        match self {
            ErrorFormat::Problem => problem.into(),
            ErrorFormat::Plain => Plain::from(problem).into(),
        }
    }
}

/// Returns the 404 for a path without a route.
pub(crate) fn not_found(request: &HttpRequest, errors: ErrorFormat) -> HttpResponse {
    let path: String = request.path().chars().take(100).collect();
    let detail = format!("unknown route {path} (see /apidocs for the routes)");
    errors.response(Problem::new(StatusCode::NOT_FOUND, detail))
}

/// Returns the 405 for a path that has routes for the methods `allow` only.
pub(crate) fn method_not_allowed(found: &Method, allow: &str, errors: ErrorFormat) -> HttpResponse {
    let detail = format!("method: expected {allow}, found {found}");
    let mut response = errors.response(Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail));
    if let Ok(allow) = header::HeaderValue::from_str(allow) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}
