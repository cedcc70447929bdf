//! The prediction route of Vertex AI's
//! [custom containers](https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements).

use crate::http::body::RequestBody;
use crate::http::negotiate::content_type;
use crate::http::predict::respond;
use crate::http::problem::{ErrorFormat, PlainError};
use crate::http::route::Api;
use crate::http::state::State;
use crate::protocol::auto_detect::AutoDetect;
use crate::protocol::binary_json::{self, BinaryJson};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use paperclip::actix::api_v2_operation;

pub(crate) static API: Api = Api {
    tag: "Vertex AI",
    description: "The contract of Vertex AI's custom containers.",
    protocol: Some("vertex"),
    errors: ErrorFormat::Plain,
    prefixes: &["/v1/endpoints"],
    schemas: |_| vec![],
};

/// Predict instances on Vertex AI
///
/// The environment variable `AIP_PREDICT_ROUTE` adds a further path for this operation.
#[api_v2_operation(operation_id = "vertex_predict")]
pub(crate) async fn predict(
    request: HttpRequest,
    payload: Payload,
    state: Data<State>,
) -> Result<HttpResponse, PlainError> {
    let binary_form =
        binary_json::infer_form(content_type(request.headers()), binary_json::VERTEX_MEDIA_TYPE)?;
    let body = RequestBody::read(&request, payload, &state).await?;
    let media_type = binary_json::VERTEX_MEDIA_TYPE;
    let response = match binary_form {
        Some(protocol) => respond(state, body, BinaryJson { protocol, media_type }).await,
        None => respond(state, body, BinaryJson { protocol: AutoDetect, media_type }).await,
    };
    Ok(response?)
}

/// Descriptions of the handlers for the OpenAPI document.
pub(crate) mod openapi {
    use crate::http::openapi::operation::{Operation, ServedModel};
    use crate::http::openapi::responses;
    use crate::protocol::auto_detect::AutoDetect;
    use crate::protocol::binary_json;
    use serde_json::json;

    pub(crate) fn predict(served: &ServedModel<'_>) -> Operation {
        let example = json!({ "instances": [served.example_row()], "parameters": {} });
        let schemas = ("Instances", "InstancePredictions");
        responses::prediction(served, AutoDetect, schemas, &example)
            .or_binary(binary_json::VERTEX_MEDIA_TYPE)
    }
}
