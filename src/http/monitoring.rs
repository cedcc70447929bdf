//! What Prometheus collects; see [`metrics`].

use crate::http::State;
use crate::metrics;
use actix_web::{HttpResponse, web};
use paperclip::actix::api_v2_operation;

/// The process's metrics
///
/// In Prometheus' text format.
#[api_v2_operation(operation_id = "metrics", tags("monitoring"))]
pub async fn collect(state: web::Data<State>) -> HttpResponse {
    let text = state.metrics.text(state.model.signature(), &state.inferences.snapshot());
    HttpResponse::Ok().content_type(metrics::CONTENT_TYPE).body(text)
}
