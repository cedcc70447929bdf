//! The routes of KServe's v1 protocol and of TensorFlow Serving: [instances](crate::protocol::instances).

use crate::http::body::RequestBody;
use crate::http::oip::check_path;
use crate::http::predict::respond;
use crate::http::problem::{ErrorFormat, PlainError};
use crate::http::route::Api;
use crate::http::state::State;
use crate::protocol::instances::Predict;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use paperclip::actix::api_v2_operation;
use serde_json::json;

pub(crate) static API: Api = Api {
    tag: "KServe v1, TensorFlow Serving",
    description: "`instances` in, `predictions` out: the protocol of KServe v1 and TensorFlow Serving.",
    protocol: Some("instances"),
    errors: ErrorFormat::Plain,
    prefixes: &["/v1"],
    schemas: openapi::schemas,
};

/// List the models
///
/// The server has one model.
#[api_v2_operation(operation_id = "v1_models")]
pub(crate) async fn models(state: Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "models": [state.model.signature().name] }))
}

/// Get the model's status
///
/// The response contains the status in KServe's format and in TensorFlow Serving's format.
#[api_v2_operation(operation_id = "v1_model")]
pub(crate) async fn model(
    request: HttpRequest,
    state: Data<State>,
) -> Result<HttpResponse, PlainError> {
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
/// An instance is a list of the features' values in the model's order, or an object with the features' names as keys.
/// Instead of `instances`, the body may contain `inputs`: an object with the list of each feature's values.
#[api_v2_operation(operation_id = "v1_predict")]
pub(crate) async fn predict(
    request: HttpRequest,
    payload: Payload,
    state: Data<State>,
) -> Result<HttpResponse, PlainError> {
    check_path(&request, &state)?;
    let body = RequestBody::read(&request, payload, &state).await?;
    Ok(respond(state, body, Predict).await?)
}

/// Descriptions of the handlers for the OpenAPI document.
pub(crate) mod openapi {
    use crate::http::openapi::operation::{Operation, Schemas, ServedModel};
    use crate::http::openapi::{responses, schema};
    use crate::protocol::instances::Predict;
    use ml_app_model::Feature;
    use serde_json::json;

    pub(crate) fn models(served: &ServedModel<'_>) -> Operation {
        let example = json!({ "models": [served.signature.name] });
        Operation::new(responses::object("All models.", &example))
    }

    pub(crate) fn model(served: &ServedModel<'_>) -> Operation {
        let example = json!({ "name": served.signature.name, "ready": true });
        let responses = responses::object("The model is ready.", &example);
        Operation::new(responses::or_errors(responses, &[404]))
    }

    pub(crate) fn predict(served: &ServedModel<'_>) -> Operation {
        let signature = served.signature;
        let (of_rows, parameters) = signature.features.split_at(signature.row_features());
        // If a row has only one feature, an instance is its value, without a list.
        let instance = match of_rows {
            [feature] if !feature.has_long_example() => feature.example(),
            [feature] => json!({ &feature.name: feature.example() }),
            features => features.iter().map(Feature::example).collect(),
        };
        let mut example = json!({ "instances": [instance] });
        if !parameters.is_empty() {
            let values = parameters.iter().map(|feature| (feature.name.clone(), feature.example()));
            example["parameters"] = values.collect();
        }
        responses::prediction(served, Predict, ("Instances", "InstancePredictions"), &example)
    }

    pub(crate) fn schemas(served: &ServedModel<'_>) -> Schemas {
        let signature = served.signature;
        let mut instances = json!({
            "type": "object",
            "properties": {
                "instances": {
                    "type": "array",
                    "minItems": 1,
                    "description": "Each instance is a list of the features' values in the model's order, or an object with the features' names as keys.",
                    "items": {},
                },
                "inputs": { "description": "An object with the list of each feature's values, or a list of rows if the model has only one input." },
            },
        });
        let predictions = json!({
            "type": "object",
            "properties": {
                "predictions": { "type": "array", "items": {} },
                "outputs": {},
            },
        });
        let parameters = &signature.features[signature.row_features()..];
        if !parameters.is_empty() {
            let values = parameters
                .iter()
                .map(|feature| (feature.name.clone(), schema::value_schema(feature)))
                .collect();
            let description = "Features with one value for the whole request.";
            instances["properties"]["parameters"] =
                schema::features_schema(description, values, parameters);
        }
        vec![("Instances", instances), ("InstancePredictions", predictions)]
    }
}
