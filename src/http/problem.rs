//! Errors as `application/problem+json` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)).

use crate::error::{Error, Fault};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, ResponseError, Route, web};
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
    pub errors: Vec<Fault>,
    /// Faults found beyond those listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub errors_omitted: usize,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        Problem {
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: detail.into(),
            errors: vec![],
            errors_omitted: 0,
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let status = match &error {
            Error::Malformed(_) | Error::Interrupted(_) => StatusCode::BAD_REQUEST,
            Error::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::UnsupportedFormat { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Error::NotAcceptable { .. } => StatusCode::NOT_ACCEPTABLE,
            Error::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Error::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            // The model has answered before: it is these values it has no answer for.
            Error::Model(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        match error {
            Error::Malformed(faults) | Error::Invalid(faults) => Problem {
                errors_omitted: faults.omitted,
                ..Problem::new(status, faults.to_string()).with(faults.listed)
            },
            Error::Model(error) => {
                log::warn!("the model failed on a request: {error}");
                Problem::new(status, "the model cannot compute an answer for these values")
            }
            Error::Internal(error) => {
                log::error!("a request failed: {error}");
                Problem::new(status, "the server failed on this request")
            }
            error => Problem::new(status, error.to_string()),
        }
    }
}

impl Problem {
    fn with(self, errors: Vec<Fault>) -> Problem {
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
        let body = serde_json::to_vec(self).unwrap_or_default();
        HttpResponse::build(self.status_code()).content_type(CONTENT_TYPE).body(body)
    }
}

impl Apiv2Errors for Problem {}

pub async fn not_found(request: HttpRequest) -> Problem {
    let path: String = request.path().chars().take(100).collect();
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("expected one of the routes that /apidocs lists, but found {path}"),
    )
}

/// Answers methods that a resource has no route for; `allow` lists those it has.
pub fn method_not_allowed(allow: &'static str) -> Route {
    web::to(move |request: HttpRequest| async move {
        let detail = format!("expected one of {allow}, but found {}", request.method());
        let mut response = Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail).error_response();
        response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allow));
        response
    })
}

impl actix_web::Responder for Problem {
    type Body = actix_web::body::BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        self.error_response()
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}
