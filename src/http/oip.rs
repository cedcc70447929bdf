//! The routes of the [Open Inference Protocol](crate::protocol::oip) and of Triton's extensions.

pub(crate) mod openapi;

use crate::error::Error;
use crate::http::body::RequestBody;
use crate::http::health::readiness;
use crate::http::negotiate::ContentCoding;
use crate::http::predict::respond;
use crate::http::problem::{ErrorFormat, PlainError};
use crate::http::route::Api;
use crate::http::state::State;
use crate::protocol::json;
use crate::protocol::oip::{Infer, JSON_SIZE_HEADER, describe};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use paperclip::actix::api_v2_operation;
use serde_json::{Map, Value, json};

pub(crate) static API: Api = Api {
    tag: "Open Inference Protocol v2",
    description: "Tensors in, tensors out: the protocol of Triton, KServe and MLServer, for use with their clients.",
    protocol: Some("oip"),
    errors: ErrorFormat::Plain,
    prefixes: &["/v2"],
    schemas: openapi::schemas,
};

/// Get the server's metadata
///
/// Name and version of the server, and the supported extensions of the protocol.
#[api_v2_operation(operation_id = "v2_server")]
pub(crate) async fn server() -> HttpResponse {
    HttpResponse::Ok().json(describe::server())
}

/// Check whether the server is live
#[api_v2_operation(operation_id = "v2_live")]
pub(crate) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "live": true }))
}

/// Check whether the server is ready
///
/// Returns 503 while the process is shutting down.
#[api_v2_operation(operation_id = "v2_ready")]
pub(crate) async fn ready(state: Data<State>) -> HttpResponse {
    readiness(&state, json!({ "live": true, "ready": !state.is_draining() }))
}

/// Get the model's metadata
///
/// Names, datatypes and shapes of the model's inputs and outputs. In a shape, -1 stands for an axis of any length.
#[api_v2_operation(operation_id = "v2_model")]
pub(crate) async fn model(
    request: HttpRequest,
    state: Data<State>,
) -> Result<HttpResponse, PlainError> {
    check_path(&request, &state)?;
    Ok(HttpResponse::Ok().json(describe::model(state.model.signature())))
}

/// Check whether the model is ready
///
/// Returns 503 while the process is shutting down.
#[api_v2_operation(operation_id = "v2_model_ready")]
pub(crate) async fn model_ready(
    request: HttpRequest,
    state: Data<State>,
) -> Result<HttpResponse, PlainError> {
    check_path(&request, &state)?;
    let name = &state.model.signature().name;
    Ok(readiness(&state, json!({ "name": name, "ready": !state.is_draining() })))
}

/// Get the model's configuration
///
/// The configuration is in the format of Triton's `ModelConfig`.
#[api_v2_operation(operation_id = "v2_model_config")]
pub(crate) async fn model_config(
    request: HttpRequest,
    state: Data<State>,
) -> Result<HttpResponse, PlainError> {
    check_path(&request, &state)?;
    Ok(HttpResponse::Ok().json(describe::config(state.model.signature())))
}

/// Get the model's statistics
///
/// Counts and durations of all predictions since the start, in the format of Triton's statistics extension.
#[api_v2_operation(operation_id = "v2_model_stats")]
pub(crate) async fn model_stats(
    request: HttpRequest,
    state: Data<State>,
) -> Result<HttpResponse, PlainError> {
    check_path(&request, &state)?;
    Ok(HttpResponse::Ok().json(statistics(&state)))
}

/// Get the statistics of all models
///
/// The server has one model.
#[api_v2_operation(operation_id = "v2_stats")]
pub(crate) async fn stats(state: Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(statistics(&state))
}

fn statistics(state: &State) -> Value {
    let inferences = &state.inferences;
    let zero = json!({ "count": 0, "ns": 0 });
    let signature = state.model.signature();
    json!({
        "model_stats": [{
            "name": signature.name,
            "version": signature.version,
            "last_inference": inferences.last_success(),
            "inference_count": inferences.rows(),
            "execution_count": inferences.success.total().count,
            "inference_stats": {
                "success": inferences.success.total(),
                "fail": inferences.fail.total(),
                "queue": inferences.queue.total(),
                "compute_input": inferences.decode.total(),
                "compute_infer": inferences.infer.total(),
                "compute_output": inferences.encode.total(),
                "cache_hit": zero,
                "cache_miss": zero,
            },
            "batch_stats": [],
        }],
    })
}

/// Predict from tensors
///
/// Request and response contain their tensors as JSON, or as bytes after the JSON (the binary tensor data
/// extension, which needs the header `Inference-Header-Content-Length`).
#[api_v2_operation(operation_id = "v2_infer")]
pub(crate) async fn infer(
    request: HttpRequest,
    payload: Payload,
    state: Data<State>,
) -> Result<HttpResponse, PlainError> {
    check_path(&request, &state)?;
    let length = request.headers().get(JSON_SIZE_HEADER);
    let length = length.map(|length| length.to_str().unwrap_or("an unreadable value"));
    let infer = Infer::new(JSON_SIZE_HEADER, length)?;
    let mut body = RequestBody::read(&request, payload, &state).await?;
    body.response_coding = ContentCoding::for_response(request.headers());
    Ok(respond(state, body, infer).await?)
}

/// Maximum size in bytes of the body of `POST /v2/repository/index`.
const MAX_FILTER_SIZE: usize = 4096;

/// List the models
///
/// The repository has one model.
#[api_v2_operation(operation_id = "v2_repository")]
pub(crate) async fn repository(
    request: HttpRequest,
    payload: Payload,
    state: Data<State>,
) -> Result<HttpResponse, PlainError> {
    let limit = state.limits.max_body.min(MAX_FILTER_SIZE);
    let body = RequestBody::read_up_to(limit, &request, payload, &state).await?;
    let body = body.coding.decompress(&body.bytes, MAX_FILTER_SIZE)?;
    // The body may restrict the list to models that are ready. This does not change the list, because the server's
    // model is ready until the shutdown. So only check that the body is a JSON object.
    if !body.trim_ascii().is_empty() {
        let filter: Result<Map<String, Value>, _> = serde_json::from_slice(&body);
        filter.map_err(|error| Error::Malformed(json::request_error(&error).into()))?;
    }
    Ok(HttpResponse::Ok().json(describe::repository(state.model.signature())))
}

/// Load or unload a model (not supported)
///
/// The server serves only the model that it started with.
#[api_v2_operation(operation_id = "v2_load")]
pub(crate) async fn load() -> Result<HttpResponse, PlainError> {
    let detail =
        "this server serves only the model that it started with; it cannot load or unload models";
    Err(PlainError::new(StatusCode::BAD_REQUEST, detail))
}

/// Returns an error if the path contains a model or a version that differs from the served model.
pub(crate) fn check_path(request: &HttpRequest, state: &State) -> Result<(), PlainError> {
    let signature = state.model.signature();
    for (key, expected) in [("model", &signature.name), ("version", &signature.version)] {
        let Some(found) = request.match_info().get(key) else { continue };
        if found != expected.as_str() {
            let found = ml_app_model::value::excerpt(found);
            let detail = format!("unknown {key} `{found}` (this server has `{expected}`)");
            return Err(PlainError::new(StatusCode::NOT_FOUND, detail));
        }
    }
    Ok(())
}
