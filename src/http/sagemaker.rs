//! The routes of SageMaker's
//! [containers](https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html).

use crate::http::body::RequestBody;
use crate::http::negotiate::{WireFormat, content_type};
use crate::http::predict::respond;
use crate::http::problem::{ErrorFormat, Plain};
use crate::http::route::Api;
use crate::http::state::State;
use crate::protocol::auto_detect::AutoDetect;
use crate::protocol::binary_json::{self, BinaryJson};
use crate::protocol::features::NamedFeatures;
use crate::protocol::oip::BINARY;
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
) -> Result<HttpResponse, Plain> {
    if let Some(infer) =
        binary_json::infer(content_type(request.headers()), binary_json::SAGEMAKER)?
    {
        let body = RequestBody::read(&request, payload, &state).await?;
        let protocol = BinaryJson { protocol: infer, media_type: binary_json::SAGEMAKER };
        return Ok(respond(state, body, protocol).await?);
    }
    // Triton's clients send JSON without binary tensors under this content type too.
    let format = match content_type(request.headers()) {
        BINARY => WireFormat::Json,
        _ => WireFormat::of_body(request.headers())?,
    };
    // If `Accept` allows none of the formats, the response has the first one instead of an error: clients of
    // SageMaker read it all the same.
    let offered = format.responses();
    let best = WireFormat::of_response(request.headers(), offered).unwrap_or(offered[0]);
    let body = RequestBody::read(&request, payload, &state).await?;
    let response = match format {
        WireFormat::Json => {
            let protocol = BinaryJson { protocol: AutoDetect, media_type: binary_json::SAGEMAKER };
            respond(state, body, protocol).await
        }
        WireFormat::Csv => respond(state, body, SageMakerCsv { response: best }).await,
        WireFormat::Ndjson => {
            respond(state, body, NamedFeatures { request: format, response: best }).await
        }
    };
    Ok(response?)
}

/// The OpenAPI document of the handlers.
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
        content[JSON]["schema"] = any_of(["Answer", "InstancePredictions", "InferResponse"]);
        content["text/csv"] = json!({ "schema": reference("Table") });
        operation.or_bytes(binary_json::SAGEMAKER)
    }
}
