//! The probes of Kubernetes and load balancers: live while the process responds, ready once the model has
//! predicted.

use crate::http::problem::ErrorFormat;
use crate::http::route::Api;
use crate::http::state::State;
use actix_web::HttpResponse;
use actix_web::web::Data;
use paperclip::actix::api_v2_operation;
use serde_json::json;

pub(crate) static API: Api = Api {
    tag: "health",
    description: "Probes for Kubernetes and load balancers. They need no API key.",
    protocol: None,
    errors: ErrorFormat::Problem,
    prefixes: &[],
    schemas: |_| vec![],
};

/// Check liveness
///
/// Responds for as long as the process runs.
#[api_v2_operation(operation_id = "live")]
pub(crate) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "live": true }))
}

/// Check readiness
///
/// The server opens its socket only after the model has made a first prediction, so it is ready from then
/// on. Returns 503 while the process is shutting down.
#[api_v2_operation(operation_id = "ready")]
pub(crate) async fn ready(state: Data<State>) -> HttpResponse {
    readiness(&state, json!({ "ready": !state.is_draining() }))
}

/// Returns `body` with the status that load balancers go by.
pub(crate) fn readiness(state: &State, body: serde_json::Value) -> HttpResponse {
    if state.is_draining() {
        HttpResponse::ServiceUnavailable().json(body)
    } else {
        HttpResponse::Ok().json(body)
    }
}

/// The OpenAPI document of the handlers.
pub(crate) mod openapi {
    use crate::http::openapi::operation::{Operation, ServedModel};
    use crate::http::openapi::responses;
    use serde_json::json;

    pub(crate) fn live(_: &ServedModel<'_>) -> Operation {
        Operation::new(responses::flag("live", "The process is running."))
    }

    pub(crate) fn ready(_: &ServedModel<'_>) -> Operation {
        let responses = responses::flag("ready", "The model is loaded and has made a prediction.");
        Operation::new(responses::or_shutting_down(responses, &json!({ "ready": false })))
    }
}
