//! The routes of [instances](crate::protocol::instances) as KServe's v1 and TensorFlow Serving have them.

use crate::http::body::RequestBody;
use crate::http::oip::check_path;
use crate::http::predict::respond;
use crate::http::problem::{ErrorFormat, Plain};
use crate::http::route::Api;
use crate::http::state::State;
use crate::protocol::instances::Predict;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use paperclip::actix::api_v2_operation;
use serde_json::json;

pub(crate) static API: Api = Api {
    tag: "KServe v1, TensorFlow Serving",
    description: "`instances` in, `predictions` out.",
    protocol: Some("instances"),
    errors: ErrorFormat::Plain,
    prefixes: &["/v1"],
    schemas: openapi::schemas,
};

/// The models that there are: one
#[api_v2_operation(operation_id = "v1_models")]
pub(crate) async fn models(state: Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "models": [state.model.signature().name] }))
}

/// Is the model ready?
///
/// As KServe and TensorFlow Serving tell it, in one object.
#[api_v2_operation(operation_id = "v1_model")]
pub(crate) async fn model(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, Plain> {
    check_path(&request, &state)?;
    let signature = state.model.signature();
    Ok(HttpResponse::Ok().json(json!({
        "name": signature.name,
        "ready": true,
        "model_version_status": [{
            "version": signature.version,
            "state": "AVAILABLE",
            "status": { "error_code": "OK", "error_message": "" },
        }],
    })))
}

/// Predict instances
///
/// An instance is a list of the features in their order, or an object by name. `inputs` in place of
/// `instances` are columns by name.
#[api_v2_operation(operation_id = "v1_predict")]
pub(crate) async fn predict(
    request: HttpRequest,
    payload: Payload,
    state: Data<State>,
) -> Result<HttpResponse, Plain> {
    check_path(&request, &state)?;
    let body = RequestBody::read(&request, payload, &state).await?;
    Ok(respond(state, body, Predict).await?)
}

/// The OpenAPI document of the handlers.
pub(crate) mod openapi {
    use crate::http::openapi::describe::{Describe, Operation, Schemas};
    use crate::http::openapi::responses;
    use crate::protocol::instances::Predict;
    use ml_app_model::Feature;
    use serde_json::json;

    pub(crate) fn models(describe: &Describe<'_>) -> Operation {
        let example = json!({ "models": [describe.signature.name] });
        Operation::new(responses::object("The models.", &example))
    }

    pub(crate) fn model(describe: &Describe<'_>) -> Operation {
        let example = json!({ "name": describe.signature.name, "ready": true });
        let responses = responses::object("It is ready.", &example);
        Operation::new(responses::or_refusals(responses, &[404]))
    }

    pub(crate) fn predict(describe: &Describe<'_>) -> Operation {
        // A single feature is an instance without a list around it.
        let instance = match describe.signature.features.as_slice() {
            [feature] => feature.example(),
            features => features.iter().map(Feature::example).collect(),
        };
        let example = json!({ "instances": [instance] });
        responses::prediction(describe, Predict, ("Instances", "InstancePredictions"), &example)
    }

    pub(crate) fn schemas(_: &Describe<'_>) -> Schemas {
        let instances = json!({
            "type": "object",
            "properties": {
                "instances": {
                    "type": "array",
                    "minItems": 1,
                    "description": "Each a list of the features in their order, or an object by name.",
                    "items": {},
                },
                "inputs": { "description": "Columns by name, or the one input." },
            },
        });
        let predictions = json!({
            "type": "object",
            "properties": {
                "predictions": { "type": "array", "items": {} },
                "outputs": {},
            },
        });
        vec![("Instances", instances), ("InstancePredictions", predictions)]
    }
}
