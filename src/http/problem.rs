//! Errors as `application/problem+json` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)).

use crate::config::VertexRoutes;
use crate::error::{Error, Fault};
use crate::http::{IsHead, State};
use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, ResponseError, Route, web};
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
            Error::UnsupportedFormat { .. } | Error::UnsupportedCoding { .. } => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Error::NotAcceptable { .. } => StatusCode::NOT_ACCEPTABLE,
            Error::TooLarge { .. } | Error::TooManyValues { .. } => StatusCode::PAYLOAD_TOO_LARGE,
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
        let mut problem = Problem::from(error);
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
        HttpResponse::build(self.status_code()).json(serde_json::json!({ "error": self.0.detail }))
    }
}

impl Apiv2Errors for Plain {}

/// In the form of the protocol whose path it is.
fn respond(request: &HttpRequest, problem: Problem) -> HttpResponse {
    let path = request.path();
    let vertex = request.app_data::<web::Data<State>>().map(|state| &state.vertex);
    let is_vertex = |vertex: &VertexRoutes| vertex.predict.as_deref() == Some(path);
    match path.split('/').nth(1) {
        Some("v1" | "v2" | "invocations" | "ping") => Plain(problem).error_response(),
        _ if vertex.is_some_and(is_vertex) => Plain(problem).error_response(),
        _ => problem.error_response(),
    }
}

pub async fn not_found(request: HttpRequest) -> HttpResponse {
    let path: String = request.path().chars().take(100).collect();
    let detail = format!("expected one of the routes that /apidocs lists, but found {path}");
    respond(&request, Problem::new(StatusCode::NOT_FOUND, detail))
}

/// Answers methods that a resource has no route for; `allow` lists those it has.
pub fn method_not_allowed(allow: &'static str) -> Route {
    web::to(move |request: HttpRequest| async move {
        let found = match request.extensions().contains::<IsHead>() {
            true => &Method::HEAD,
            false => request.method(),
        };
        let detail = format!("expected one of {allow}, but found {found}");
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail);
        let mut response = respond(&request, problem);
        response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(allow));
        response
    })
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}
