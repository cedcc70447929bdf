//! The routes of [instances](crate::protocol::instances): KServe's v1, TensorFlow Serving's, Vertex
//! AI's; and SageMaker's.

use crate::http::State;
use crate::http::negotiate::Format;
use crate::http::oip::check_path;
use crate::http::predict::{Question, answer, offered};
use crate::http::problem::Plain;
use crate::protocol::any::Any;
use crate::protocol::features::Named;
use crate::protocol::framed::{self, Framed};
use crate::protocol::headerless::Headerless;
use crate::protocol::instances::Predict;
use crate::protocol::oip::BINARY;
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
#[api_v2_operation(operation_id = "v1_predict", tags("KServe v1, TensorFlow Serving"))]
pub async fn predict(
    request: HttpRequest,
    payload: Payload,
    state: Data<State>,
) -> Result<HttpResponse, Plain> {
    check_path(&request, &state)?;
    let question = Question::read(&request, payload, &state).await?;
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
    let infer = framed::infer(content_type(&request), framed::VERTEX)?;
    let question = Question::read(&request, payload, &state).await?;
    let media_type = framed::VERTEX;
    let answered = match infer {
        Some(protocol) => answer(state, question, Framed { protocol, media_type }).await,
        None => answer(state, question, Framed { protocol: Any, media_type }).await,
    };
    Ok(answered?)
}

/// Is the container healthy?
#[api_v2_operation(operation_id = "sagemaker_ping", tags("SageMaker"))]
pub async fn ping() -> HttpResponse {
    HttpResponse::Ok().finish()
}

/// Predict what SageMaker sends
///
/// JSON of any of the protocols, a CSV with or without a first row that names the columns, or tensors
/// as Triton has them.
#[api_v2_operation(operation_id = "sagemaker_invocations", tags("SageMaker"))]
pub async fn invocations(
    request: HttpRequest,
    payload: Payload,
    state: Data<State>,
) -> Result<HttpResponse, Plain> {
    if let Some(infer) = framed::infer(content_type(&request), framed::SAGEMAKER)? {
        let question = Question::read(&request, payload, &state).await?;
        let protocol = Framed { protocol: infer, media_type: framed::SAGEMAKER };
        return Ok(answer(state, question, protocol).await?);
    }
    // Triton's clients call their JSON so.
    let format = match content_type(&request) {
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

fn content_type(request: &HttpRequest) -> &str {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    content_type.and_then(|value| value.to_str().ok()).unwrap_or_default()
}
