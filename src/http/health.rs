//! The routes that Kubernetes and load balancers probe. The server is live while the process responds. The server is
//! ready from the model's first prediction until the process shuts down.

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

/// Returns a response with `body`. The status is 503 while the server is shutting down, and 200 otherwise.
pub(crate) fn readiness(state: &State, body: serde_json::Value) -> HttpResponse {
    if state.is_draining() {
        HttpResponse::ServiceUnavailable().json(body)
    } else {
        HttpResponse::Ok().json(body)
    }
}

/// Descriptions of the handlers for the OpenAPI document.
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
