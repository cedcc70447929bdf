//! Probes: live while the process answers, ready once the model has.

use crate::http::State;
use actix_web::HttpResponse;
use actix_web::web::Data;
use paperclip::actix::api_v2_operation;

/// Liveness: does the process answer?
#[api_v2_operation(operation_id = "live", tags("health"))]
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "live": true }))
}

/// Readiness: can the model answer?
///
/// The socket opens only after the model has answered a first prediction. 503 once the process has been
/// asked to stop.
#[api_v2_operation(operation_id = "ready", tags("health"))]
pub async fn ready(state: Data<State>) -> HttpResponse {
    readiness(&state, serde_json::json!({ "ready": !state.is_draining() }))
}

/// `body` with the status that load balancers go by.
pub fn readiness(state: &State, body: serde_json::Value) -> HttpResponse {
    match state.is_draining() {
        true => HttpResponse::ServiceUnavailable().json(body),
        false => HttpResponse::Ok().json(body),
    }
}
