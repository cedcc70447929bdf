//! Probes: live while the process answers, ready once the model has.

use actix_web::HttpResponse;
use paperclip::actix::api_v2_operation;

/// Liveness: does the process answer?
#[api_v2_operation(operation_id = "live", tags("health"))]
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "live": true }))
}

/// Readiness: can the model answer?
///
/// The socket opens only after the model has answered a first prediction.
#[api_v2_operation(operation_id = "ready", tags("health"))]
pub async fn ready() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "ready": true }))
}
