//! The route that Prometheus scrapes. [`metrics`](crate::metrics) counts and formats the metrics.

use crate::http::problem::ErrorFormat;
use crate::http::route::Api;
use crate::http::state::State;
use crate::metrics::ExpositionFormat;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use paperclip::actix::api_v2_operation;

pub(crate) static API: Api = Api {
    tag: "monitoring",
    description: "Metrics for Prometheus.",
    protocol: None,
    errors: ErrorFormat::Problem,
    prefixes: &[],
    schemas: |_| vec![],
};

/// Get the metrics
///
/// The response is in OpenMetrics format if `Accept` lists `application/openmetrics-text`, and in Prometheus's text
/// format otherwise.
#[api_v2_operation(operation_id = "metrics")]
pub(crate) async fn collect(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = ExpositionFormat::from_accept(accept.unwrap_or_default());
    let text = state.metrics.text(format, &state.model, &state.inferences, &state.executor);
    HttpResponse::Ok().content_type(format.content_type()).body(text)
}

/// Descriptions of the handlers for the OpenAPI document.
pub(crate) mod openapi {
    use crate::http::openapi::operation::{Operation, ServedModel};
    use crate::http::openapi::responses;
    use serde_json::json;

    pub(crate) fn collect(_: &ServedModel<'_>) -> Operation {
        let text = json!({ "text/plain": { "schema": { "type": "string" } } });
        Operation::new(responses::content("Metrics, one sample on each line.", text))
    }
}
