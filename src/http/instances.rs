//! The routes of [instances](crate::protocol::instances): KServe's v1, TensorFlow Serving's, Vertex
//! AI's; and SageMaker's.

use crate::http::State;
use crate::http::negotiate::Format;
use crate::http::oip::named;
use crate::http::predict::{self, Question, answer};
use crate::http::problem::Plain;
use crate::protocol::any::Any;
use crate::protocol::headerless::Headerless;
use crate::protocol::instances::Predict;
use crate::protocol::oip::Infer;
use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use paperclip::actix::api_v2_operation;
use serde_json::json;

/// The models that there are: one
#[api_v2_operation(operation_id = "v1_models", tags("KServe v1, TensorFlow Serving"))]
pub async fn models(state: Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "models": [state.model.signature().name] }))
}

/// Is the model ready?
///
/// As KServe and TensorFlow Serving tell it, in one object.
#[api_v2_operation(operation_id = "v1_model", tags("KServe v1, TensorFlow Serving"))]
pub async fn model(request: HttpRequest, state: Data<State>) -> Result<HttpResponse, Plain> {
    named(&request, &state)?;
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
#[api_v2_operation(operation_id = "v1_predict", tags("KServe v1, TensorFlow Serving"))]
pub async fn predict(
    request: HttpRequest,
    payload: Payload,
    state: Data<State>,
) -> Result<HttpResponse, Plain> {
    named(&request, &state)?;
    let question = Question::read(&request, payload, state.limits).await?;
    Ok(answer(state, question, Predict).await?)
}

/// Predict instances on Vertex AI
///
/// `AIP_PREDICT_ROUTE` names another path.
#[api_v2_operation(operation_id = "vertex_predict", tags("Vertex AI"))]
pub async fn vertex(
    request: HttpRequest,
    payload: Payload,
    state: Data<State>,
) -> Result<HttpResponse, Plain> {
    let question = Question::read(&request, payload, state.limits).await?;
    Ok(answer(state, question, Any).await?)
}

/// Is the container healthy?
#[api_v2_operation(operation_id = "sagemaker_ping", tags("SageMaker"))]
pub async fn ping() -> HttpResponse {
    HttpResponse::Ok().finish()
}

/// Predict what SageMaker sends
///
/// JSON of any of the protocols, a CSV with or without a first row that names the columns, or tensors as Triton has them.
#[api_v2_operation(operation_id = "sagemaker_invocations", tags("SageMaker"))]
pub async fn invocations(
    request: HttpRequest,
    payload: Payload,
    state: Data<State>,
) -> Result<HttpResponse, Plain> {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Some(length) = json_header_size(content_type) {
        let infer = Infer::new(Some(length))?;
        let question = Question::read(&request, payload, state.limits).await?;
        return Ok(answer(state, question, infer).await?);
    }
    let named = predict::named(&request)?;
    let question = Question::read(&request, payload, state.limits).await?;
    match named.question {
        Format::Json => Ok(answer(state, question, Any).await?),
        Format::Csv => Ok(answer(state, question, Headerless { answer: named.answer }).await?),
        Format::Ndjson => Ok(answer(state, question, named).await?),
    }
}

/// Of the MIME type that Triton's SageMaker server has for tensors.
fn json_header_size(content_type: &str) -> Option<&str> {
    let (media_type, parameters) = content_type.split_once(';')?;
    let (_, length) = parameters.split_once('=')?;
    let is_tensors =
        media_type.trim().eq_ignore_ascii_case("application/vnd.sagemaker-triton.binary+json");
    is_tensors.then_some(length.trim())
}
