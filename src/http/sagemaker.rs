//! The routes of SageMaker's
//! [containers](https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html).

use crate::http::State;
use crate::http::negotiate::{Format, content_type};
use crate::http::predict::{Question, answer, offered};
use crate::http::problem::{ErrorFormat, Plain};
use crate::http::route::Api;
use crate::protocol::any::Any;
use crate::protocol::features::Named;
use crate::protocol::framed::{self, Framed};
use crate::protocol::headerless::Headerless;
use crate::protocol::oip::BINARY;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use paperclip::actix::api_v2_operation;

pub(crate) static API: Api = Api {
    tag: "SageMaker",
    description: "The contract of its containers.",
    protocol: Some("sagemaker"),
    errors: ErrorFormat::Plain,
    prefixes: &["/ping", "/invocations"],
    schemas: |_| vec![],
};

/// Is the container healthy?
#[api_v2_operation(operation_id = "sagemaker_ping")]
pub(crate) async fn ping() -> HttpResponse {
    HttpResponse::Ok().finish()
}

/// Predict what SageMaker sends
///
/// JSON of any of the protocols, a CSV with or without a first row that names the columns, or tensors
/// as Triton has them.
#[api_v2_operation(operation_id = "sagemaker_invocations")]
pub(crate) async fn invocations(
    request: HttpRequest,
    payload: Payload,
    state: Data<State>,
) -> Result<HttpResponse, Plain> {
    if let Some(infer) = framed::infer(content_type(request.headers()), framed::SAGEMAKER)? {
        let question = Question::read(&request, payload, &state).await?;
        let protocol = Framed { protocol: infer, media_type: framed::SAGEMAKER };
        return Ok(answer(state, question, protocol).await?);
    }
    // Triton's clients call their JSON so.
    let format = match content_type(request.headers()) {
        BINARY => Format::Json,
        _ => Format::of_body(request.headers())?,
    };
    // Clients accept what they did not ask for.
    let offered = offered(format);
    let best = Format::of_answer(request.headers(), offered).unwrap_or(offered[0]);
    let question = Question::read(&request, payload, &state).await?;
    let answered = match format {
        Format::Json => {
            let protocol = Framed { protocol: Any, media_type: framed::SAGEMAKER };
            answer(state, question, protocol).await
        }
        Format::Csv => answer(state, question, Headerless { answer: best }).await,
        Format::Ndjson => answer(state, question, Named { question: format, answer: best }).await,
    };
    Ok(answered?)
}

/// The OpenAPI document of the handlers.
pub(crate) mod openapi {
    use crate::http::openapi::describe::{Describe, Operation};
    use crate::http::openapi::responses::{self, JSON};
    use crate::http::openapi::schema::reference;
    use crate::protocol::any::Any;
    use crate::protocol::framed;
    use serde_json::{Value, json};

    pub(crate) fn ping(_: &Describe<'_>) -> Operation {
        Operation::new(json!({ "200": { "description": "It is." } }))
    }

    pub(crate) fn invocations(describe: &Describe<'_>) -> Operation {
        let any_of = |schemas: [&str; 3]| -> Value { json!({ "anyOf": schemas.map(reference) }) };
        let example = Value::from(describe.example_row());
        let operation = responses::prediction(describe, Any, ("Row", "Prediction"), &example);
        let mut operation = operation.or_bytes(framed::SAGEMAKER);
        if let Some(body) = &mut operation.request_body {
            body["content"][JSON]["schema"] = any_of(["Row", "Instances", "InferRequest"]);
            body["content"]["text/csv"] =
                json!({ "schema": { "type": "string" }, "example": describe.example_csv() });
        }
        let content = &mut operation.responses["200"]["content"];
        content[JSON]["schema"] = any_of(["Answer", "InstancePredictions", "InferResponse"]);
        content["text/csv"] = json!({ "schema": reference("Table") });
        operation
    }
}
