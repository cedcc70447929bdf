//! What Prometheus collects; see [`metrics`](crate::metrics).

use crate::http::State;
use crate::metrics::Format;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use paperclip::actix::api_v2_operation;

/// The process's metrics
///
/// In Prometheus' text format, or as OpenMetrics where that is asked for.
#[api_v2_operation(operation_id = "metrics", tags("monitoring"))]
pub async fn collect(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::of(accept.unwrap_or_default());
    let text =
        state.metrics.text(format, state.model.signature(), &state.inferences, &state.executor);
    HttpResponse::Ok().content_type(format.content_type()).body(text)
}
