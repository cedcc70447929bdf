//! The routes of SageMaker's
//! [containers](https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html).

use crate::http::body::RequestBody;
use crate::http::negotiate::{WireFormat, content_type};
use crate::http::predict::respond;
use crate::http::problem::{ErrorFormat, PlainError};
use crate::http::route::Api;
use crate::http::state::State;
use crate::protocol::auto_detect::AutoDetect;
use crate::protocol::binary_json::{self, BinaryJson};
use crate::protocol::features::NamedFeatures;
use crate::protocol::oip::BINARY_MEDIA_TYPE;
use crate::protocol::sagemaker_csv::SageMakerCsv;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use paperclip::actix::api_v2_operation;

pub(crate) static API: Api = Api {
    tag: "SageMaker",
    description: "The contract of SageMaker's inference containers.",
    protocol: Some("sagemaker"),
    errors: ErrorFormat::Plain,
    prefixes: &["/ping", "/invocations"],
    schemas: |_| vec![],
};

/// Check whether the container is healthy
#[api_v2_operation(operation_id = "sagemaker_ping")]
pub(crate) async fn ping() -> HttpResponse {
    HttpResponse::Ok().finish()
}

/// Predict on SageMaker
///
/// The body is JSON in the form of any protocol of this server, CSV with or without a header, or Triton's
/// binary tensors.
#[api_v2_operation(operation_id = "sagemaker_invocations")]
pub(crate) async fn invocations(
    request: HttpRequest,
    payload: Payload,
    state: Data<State>,
) -> Result<HttpResponse, PlainError> {
    if let Some(binary_form) =
        binary_json::infer_form(content_type(request.headers()), binary_json::SAGEMAKER_MEDIA_TYPE)?
    {
        let body = RequestBody::read(&request, payload, &state).await?;
        let protocol =
            BinaryJson { protocol: binary_form, media_type: binary_json::SAGEMAKER_MEDIA_TYPE };
        return Ok(respond(state, body, protocol).await?);
    }
    // Triton's clients also send JSON without binary tensors as `application/octet-stream`.
    let format = match content_type(request.headers()) {
        BINARY_MEDIA_TYPE => WireFormat::Json,
        _ => WireFormat::from_content_type(request.headers())?,
    };
    // If `Accept` allows none of the offered formats, use the default format and return no error. Clients of SageMaker
    // can read the default format anyway.
    let offered = format.response_formats();
    let response_format =
        WireFormat::for_response(request.headers(), offered).unwrap_or(offered[0]);
    let body = RequestBody::read(&request, payload, &state).await?;
    let response = match format {
        WireFormat::Json => {
            let protocol =
                BinaryJson { protocol: AutoDetect, media_type: binary_json::SAGEMAKER_MEDIA_TYPE };
            respond(state, body, protocol).await
        }
        WireFormat::Csv => respond(state, body, SageMakerCsv { response: response_format }).await,
        WireFormat::Ndjson => {
            respond(state, body, NamedFeatures { request: format, response: response_format }).await
        }
    };
    Ok(response?)
}

/// Descriptions of the handlers for the OpenAPI document.
pub(crate) mod openapi {
    use crate::http::openapi::operation::{Operation, ServedModel};
    use crate::http::openapi::responses::{self, JSON};
    use crate::http::openapi::schema::reference;
    use crate::protocol::auto_detect::AutoDetect;
    use crate::protocol::binary_json;
    use serde_json::{Value, json};

    pub(crate) fn ping(_: &ServedModel<'_>) -> Operation {
        Operation::new(json!({ "200": { "description": "The container is healthy." } }))
    }

    pub(crate) fn invocations(served: &ServedModel<'_>) -> Operation {
        let any_of = |schemas: [&str; 3]| -> Value { json!({ "anyOf": schemas.map(reference) }) };
        let example = Value::from(served.example_row());
        let mut operation =
            responses::prediction(served, AutoDetect, ("Row", "Prediction"), &example);
        if let Some(body) = &mut operation.request_body {
            body["content"][JSON]["schema"] = any_of(["Row", "Instances", "InferRequest"]);
            body["content"]["text/csv"] =
                json!({ "schema": { "type": "string" }, "example": served.example_csv() });
        }
        let content = &mut operation.responses["200"]["content"];
        content[JSON]["schema"] =
            any_of(["PredictResponse", "InstancePredictions", "InferResponse"]);
        content["text/csv"] = json!({ "schema": reference("Table") });
        operation.or_binary(binary_json::SAGEMAKER_MEDIA_TYPE)
    }
}
