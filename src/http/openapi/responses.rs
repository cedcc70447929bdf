//! Responses that several operations share, including errors.

use crate::error::RequestErrors;
use crate::http::openapi::operation::{Operation, ServedModel};
use crate::http::openapi::schema::reference;
use crate::http::problem::{self, ErrorFormat};
use crate::protocol::Protocol;
use serde_json::{Value, json};

pub(crate) const JSON: &str = "application/json";

/// The statuses of the errors that a prediction in an inference protocol can return.
pub(crate) const PREDICTION_ERRORS: &[u16] = &[400, 404, 408, 413, 415, 503];

/// Returns a 200 with this content.
pub(crate) fn content(description: &str, content: Value) -> Value {
    json!({ "200": { "description": description, "content": content } })
}

/// Returns a 200 whose body is a JSON object.
pub(crate) fn object(description: &str, example: &Value) -> Value {
    json(description, &json!({ "type": "object" }), example)
}

/// Returns a 200 whose body is JSON.
pub(crate) fn json(description: &str, schema: &Value, example: &Value) -> Value {
    content(description, json!({ JSON: { "schema": schema, "example": example } }))
}

/// Returns a 200 whose body is an object with one member, `name`, which is true.
pub(crate) fn flag(name: &str, description: &str) -> Value {
    let schema = json!({
        "type": "object",
        "properties": { name: { "type": "boolean" } },
        "required": [name],
    });
    json(description, &schema, &json!({ name: true }))
}

/// Returns the content of an HTML page.
pub(crate) fn page() -> Value {
    json!({ "text/html": { "schema": { "type": "string" } } })
}

/// Adds the 503 of a server that is shutting down.
pub(crate) fn or_shutting_down(mut responses: Value, example: &Value) -> Value {
    responses["503"] = json!({
        "description": "The process is shutting down.",
        "content": { JSON: { "schema": { "type": "object" }, "example": example } },
    });
    responses
}

/// Returns the operation of a prediction in JSON. `request` and `response` are the names of the schemas of request and
/// response. `example` is the example of the request. The model computes the example of the response.
pub(crate) fn prediction<P: Protocol>(
    served: &ServedModel<'_>,
    protocol: P,
    (request, response): (&str, &str),
    example: &Value,
) -> Operation {
    let body = json!({ JSON: { "schema": reference(request), "example": example } });
    let mut media = json!({ "schema": reference(response) });
    if let Some(example) = served.response(protocol, example) {
        media["example"] = example;
    }
    let responses = content("Predictions.", json!({ JSON: media }));
    Operation {
        request_body: Some(json!({ "required": true, "content": body })),
        responses: or_errors(responses, PREDICTION_ERRORS),
        ..Operation::default()
    }
}

/// Adds error responses with these statuses, in the format of the inference protocols.
pub(crate) fn or_errors(mut responses: Value, statuses: &[u16]) -> Value {
    for status in statuses {
        let (description, detail) = match status {
            400 => ("The body is malformed, or its values are invalid.", "missing key `inputs`"),
            404 => ("Unknown model or version.", "unknown model `b` (this server has `a`)"),
            408 => ("The body did not arrive in time.", "expected the whole body within 60 s"),
            413 => (
                "The body is larger than this server allows.",
                "expected a body of at most 1024 bytes, found more",
            ),
            503 => (
                BUSY,
                "the server is at capacity: 256 predictions are already waiting or running; try again in a second",
            ),
            _ => (
                "The format or compression of the body is not supported.",
                "content type: expected application/json, found text/plain",
            ),
        };
        responses[status.to_string()] = error(description, detail);
    }
    with_retry_after(&mut responses);
    responses
}

/// Returns an error response in the format of the inference protocols. `detail` is the message of the example.
pub(crate) fn error(description: &str, detail: &str) -> Value {
    json!({
        "description": description,
        "content": { JSON: { "schema": reference("Error"), "example": { "error": detail } } },
    })
}

/// Description of the 503 of a prediction.
pub(crate) const BUSY: &str = "The server is at capacity, or the prediction took too long. Try again after the time in `Retry-After`.";

/// Adds the header `Retry-After` to the 503, if `responses` contains a 503.
pub(crate) fn with_retry_after(responses: &mut Value) {
    if let Some(busy) = responses.get_mut("503") {
        busy["headers"] = json!({
            "Retry-After": { "description": "Time to wait before the next attempt, in seconds.", "schema": { "type": "integer" } },
        });
    }
}

/// Returns the 401 for a request without a valid API key.
pub(crate) fn unauthorized(errors: ErrorFormat) -> Value {
    let (content_type, schema) = match errors {
        ErrorFormat::Plain => (JSON, "Error"),
        ErrorFormat::Problem => (problem::CONTENT_TYPE, "Problem"),
    };
    json!({
        "description": "The API key is missing or unknown.",
        "content": { content_type: { "schema": reference(schema) } },
    })
}

pub(crate) fn problem_schema() -> Value {
    json!({
        "type": "object",
        "description": "An error, as RFC 9457 defines it.",
        "properties": {
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string", "description": "The first error and its position, for people to read." },
            "errors": {
                "type": "array",
                "description": format!("All errors that were found, at most {}.", RequestErrors::MAX_LISTED),
                "items": {
                    "type": "object",
                    "properties": {
                        "detail": { "type": "string", "description": "What was expected and what was found." },
                        "feature": { "type": "string" },
                        "row": { "type": "integer", "description": "Number of the row, counted from 1. The header of a CSV is not a row." },
                        "line": { "type": "integer", "description": "Line of the body, counted from 1." },
                        "column": { "type": "integer", "description": "Byte in the line, counted from 1." },
                    },
                    "required": ["detail"],
                },
            },
            "errors_omitted": { "type": "integer", "description": "Number of errors beyond those in `errors`." },
        },
        "required": ["title", "status", "detail"],
    })
}

pub(crate) fn error_schema() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": { "error": { "type": "string" } },
        "additionalProperties": false,
    })
}
