//! The [Open Inference Protocol](crate::protocol::oip)'s routes, and Triton's extensions of it.

pub(crate) mod openapi;

use crate::error::Error;
use crate::http::body::RequestBody;
use crate::http::health::readiness;
use crate::http::negotiate::Coding;
use crate::http::predict::respond;
use crate::http::problem::{ErrorFormat, Plain};
use crate::http::route::Api;
use crate::http::state::State;
use crate::protocol::json;
use crate::protocol::oip::{HEADER_LENGTH, Infer, describe};
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use paperclip::actix::api_v2_operation;
use serde_json::{Map, Value, json};

pub(crate) static API: Api = Api {
    tag: "Open Inference Protocol v2",
    description: "Triton's, KServe's and MLServer's clients.",
    protocol: Some("oip"),
    errors: ErrorFormat::Plain,
    prefixes: &["/v2"],
    schemas: openapi::schemas,
};

/// The server, and which extensions it has
#[api_v2_operation(operation_id = "v2_server")]
pub(crate) async fn server() -> HttpResponse {
    HttpResponse::Ok().json(describe::server())
}

/// Is the server live?
#[api_v2_operation(operation_id = "v2_live")]
pub(crate) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "live": true }))
}

/// Is the server ready?
#[api_v2_operation(operation_id = "v2_ready")]
pub(crate) async fn ready(state: Data<State>) -> HttpResponse {
    readiness(&state, json!({ "live": true, "ready": !state.is_draining() }))
}

/// The model's inputs and outputs
#[api_v2_operation(operation_id = "v2_model")]
pub(crate) async fn model(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, Plain> {
    check_path(&request, &state)?;
    Ok(HttpResponse::Ok().json(describe::model(state.model.signature())))
}

/// Is the model ready?
#[api_v2_operation(operation_id = "v2_model_ready")]
pub(crate) async fn model_ready(
    request: HttpRequest,
    state: Data<State>,
) -> Result<HttpResponse, Plain> {
    check_path(&request, &state)?;
    let name = &state.model.signature().name;
    Ok(readiness(&state, json!({ "name": name, "ready": !state.is_draining() })))
}

/// The model's configuration, as Triton has it
#[api_v2_operation(operation_id = "v2_model_config")]
pub(crate) async fn model_config(
    request: HttpRequest,
    state: Data<State>,
) -> Result<HttpResponse, Plain> {
    check_path(&request, &state)?;
    Ok(HttpResponse::Ok().json(describe::config(state.model.signature())))
}

/// What has been inferred so far, as Triton tells it
#[api_v2_operation(operation_id = "v2_model_stats")]
pub(crate) async fn model_stats(
    request: HttpRequest,
    state: Data<State>,
) -> Result<HttpResponse, Plain> {
    check_path(&request, &state)?;
    Ok(HttpResponse::Ok().json(statistics(&state)))
}

/// The same of all models
#[api_v2_operation(operation_id = "v2_stats")]
pub(crate) async fn stats(state: Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(statistics(&state))
}

fn statistics(state: &State) -> Value {
    let done = &state.inferences;
    let none = json!({ "count": 0, "ns": 0 });
    let signature = state.model.signature();
    json!({
        "model_stats": [{
            "name": signature.name,
            "version": signature.version,
            "last_inference": done.last(),
            "inference_count": done.rows(),
            "execution_count": done.success.total().count,
            "inference_stats": {
                "success": done.success.total(),
                "fail": done.fail.total(),
                "queue": done.queue.total(),
                "compute_input": done.decode.total(),
                "compute_infer": done.infer.total(),
                "compute_output": done.encode.total(),
                "cache_hit": none,
                "cache_miss": none,
            },
            "batch_stats": [],
        }],
    })
}

/// Infer from tensors
///
/// In and out as JSON, or as bytes by the binary tensor data extension.
#[api_v2_operation(operation_id = "v2_infer")]
pub(crate) async fn infer(
    request: HttpRequest,
    payload: Payload,
    state: Data<State>,
) -> Result<HttpResponse, Plain> {
    check_path(&request, &state)?;
    let length = request.headers().get(HEADER_LENGTH);
    let length = length.map(|length| length.to_str().unwrap_or("something else"));
    let infer = Infer::new(HEADER_LENGTH, length)?;
    let mut body = RequestBody::read(&request, payload, &state).await?;
    body.response_coding = Coding::of_answer(request.headers());
    Ok(respond(state, body, infer).await?)
}

/// Bytes of what is asked of the repository.
const FILTER: usize = 4096;

/// The models that there are: one
#[api_v2_operation(operation_id = "v2_repository")]
pub(crate) async fn repository(
    request: HttpRequest,
    payload: Payload,
    state: Data<State>,
) -> Result<HttpResponse, Plain> {
    let limit = state.limits.max_body.min(FILTER);
    let body = RequestBody::read_up_to(limit, &request, payload, &state).await?;
    let body = body.coding.inflate(&body.bytes, FILTER)?;
    // It may ask for the ready ones only, which is all the same.
    if !body.trim_ascii().is_empty() {
        let filter: Result<Map<String, Value>, _> = serde_json::from_slice(&body);
        filter.map_err(|error| Error::Malformed(json::error(&error).into()))?;
    }
    Ok(HttpResponse::Ok().json(describe::repository(state.model.signature())))
}

/// Load or unload a model: it is compiled in
#[api_v2_operation(operation_id = "v2_load")]
pub(crate) async fn load() -> Result<HttpResponse, Plain> {
    let detail =
        "the model is compiled in: it can be neither loaded nor unloaded; deploy another image";
    Err(Plain::new(StatusCode::BAD_REQUEST, detail))
}

/// The path names the model, and its version if it names one.
pub(crate) fn check_path(request: &HttpRequest, state: &State) -> Result<(), Plain> {
    let signature = state.model.signature();
    for (key, expected) in [("model", &signature.name), ("version", &signature.version)] {
        let Some(found) = request.match_info().get(key) else { continue };
        if found != expected.as_str() {
            let found = ml_app_model::value::excerpt(found);
            let detail = format!("unknown {key} `{found}` (this server has `{expected}`)");
            return Err(Plain::new(StatusCode::NOT_FOUND, detail));
        }
    }
    Ok(())
}
