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
    description: "For the probes of Kubernetes and load balancers.",
    protocol: None,
    errors: ErrorFormat::Problem,
    prefixes: &[],
    schemas: |_| vec![],
};

/// Liveness: does the process answer?
#[api_v2_operation(operation_id = "live")]
pub(crate) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "live": true }))
}

/// Readiness: can the model answer?
///
/// The socket opens only after the model has answered a first prediction. 503 once the process has been
/// asked to stop.
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
    use crate::http::openapi::describe::{Describe, Operation};
    use crate::http::openapi::responses;
    use serde_json::json;

    pub(crate) fn live(_: &Describe<'_>) -> Operation {
        Operation::new(responses::flag("live", "The process answers."))
    }

    pub(crate) fn ready(_: &Describe<'_>) -> Operation {
        let responses = responses::flag("ready", "The model is loaded and has answered.");
        Operation::new(responses::until_drained(responses, &json!({ "ready": false })))
    }
}
