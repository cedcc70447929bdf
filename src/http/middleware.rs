//! The middleware around all routes: checks requests, adds IDs to responses, handles panics, counts requests and logs
//! them.

use crate::config::Origins;
use crate::http::connection::Connection;
use crate::http::predict::RowCount;
use crate::http::problem::{Problem, Rejected};
use crate::http::router::IsHead;
use crate::http::state::State;
use crate::http::{body, guard, identity};
use crate::logging::Request;
use crate::metrics::RouteMetrics;
use actix_cors::Cors;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::web::Data;
use actix_web::{Error, HttpMessage};
use futures_util::FutureExt;
use futures_util::future::Either;
use std::future::{Future, ready};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

/// Passes a request to the router if [`guard::check`] accepts the request. Adds the IDs to the response, counts the
/// request and logs it. If the router panics, the response has no IDs, the request is counted as unrouted, and an
/// internal error is logged instead of the request.
pub(crate) fn around<S, B>(
    mut request: ServiceRequest,
    router: &S,
    state: Data<State>,
) -> impl Future<Output = Result<ServiceResponse<impl MessageBody + use<S, B>>, Error>> + use<S, B>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody + 'static,
{
    let began = Instant::now();
    if let Some(connection) = request.conn_data::<Connection>() {
        connection.request_begins(began);
    }
    // A HEAD request is handled like a GET request. actix-web then leaves the body out of the response.
    if request.method() == Method::HEAD {
        request.head_mut().method = Method::GET;
        request.extensions_mut().insert(IsHead);
    }
    let headers = request.headers();
    let identity = [
        (identity::REQUEST_ID, identity::request_id(headers)),
        (identity::TRACEPARENT, identity::traceparent(headers)),
    ];
    let errors = state.router.errors(request.path());
    let closes = state.is_draining();
    let response = match guard::check(&request, &state) {
        Ok(()) => Either::Left(AssertUnwindSafe(router.call(request)).catch_unwind().map({
            let state = state.clone();
            move |response| match response {
                Ok(response) => response.map(ServiceResponse::map_into_left_body),
                Err(_) => {
                    state.metrics.count_panic();
                    state.metrics.unrouted.observe(500, began.elapsed());
                    Err(errors.error(Problem::internal("a panic on an I/O thread")))
                }
            }
        })),
        Err(error) => {
            let rejected = request.into_response(errors.response(error.into()));
            Either::Right(ready(Ok(rejected.map_into_right_body())))
        }
    };
    async move {
        let mut response = response.await?;
        // After a timeout, the rest of the request's body may still arrive. Close the connection instead of waiting for
        // the rest.
        if closes || response.status() == StatusCode::REQUEST_TIMEOUT {
            response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        }
        for (name, value) in &identity {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        record(&state, &response, &identity, began);
        Ok(response)
    }
}

/// Counts a response. Logs the request if the status is 500. Otherwise, logs the request with a probability equal to
/// the [log rate](crate::logging::Logging::rate).
fn record<B: MessageBody>(
    state: &State,
    response: &ServiceResponse<B>,
    identity: &[(HeaderName, HeaderValue); 2],
    began: Instant,
) {
    let (status, latency) = (response.status().as_u16(), began.elapsed());
    let request = response.request();
    match request.extensions().get::<Arc<RouteMetrics>>() {
        Some(route) => route.observe(status, latency),
        None => state.metrics.unrouted.observe(status, latency),
    }
    if let Some(Rejected(limit)) = response.response().extensions().get() {
        state.metrics.count_rejection(limit);
    }
    let rate = state.logging.rate;
    let is_sampled = || rate > 0.0 && (identity::random() as f64) < rate * (u64::MAX as f64);
    if status != 500 && !is_sampled() {
        return;
    }
    let is_head = request.extensions().contains::<IsHead>();
    let [id, parent] = identity.each_ref().map(|(_, value)| value.to_str().unwrap_or_default());
    Request {
        method: if is_head { "HEAD" } else { request.method().as_str() },
        path: request.path(),
        status,
        latency,
        request_bytes: body::content_length(request.headers()).map(|bytes| bytes as u64),
        response_bytes: match response.response().body().size() {
            BodySize::None => Some(0),
            BodySize::Sized(bytes) => Some(bytes),
            BodySize::Stream => None,
        },
        rows: response.response().extensions().get().map(|RowCount(rows)| *rows),
        id,
        traceparent: parent,
    }
    .log(state.logging.format);
}

/// Returns the middleware that adds the CORS headers for pages of the allowed origins.
pub(crate) fn cors(origins: &Origins) -> Cors {
    let cors = Cors::default().allow_any_method().allow_any_header().expose_any_header();
    match origins {
        Origins::None => cors,
        Origins::Any => cors.allow_any_origin().send_wildcard(),
        Origins::List(origins) => {
            origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::metrics::ExpositionFormat;
    use crate::source::Source;
    use actix_web::test::{TestRequest, init_service, read_body};
    use actix_web::{App, HttpResponse, web};

    async fn panics() -> HttpResponse {
        panic!("on purpose")
    }

    #[test]
    fn reports_a_panic_as_an_internal_error_and_keeps_serving() {
        let model = Source::Embedded.load().expect("the embedded model loads");
        let state = Data::new(State::new(model, String::new(), &Config::default()));
        let shared = state.clone();
        actix_web::rt::System::new().block_on(async {
            let app = App::new()
                .app_data(state.clone())
                .route("/predict", web::get().to(panics))
                .route("/v2/models", web::get().to(panics))
                .route("/healthz", web::get().to(|| async { HttpResponse::Ok().body("live") }))
                .wrap_fn(move |request, service| around(request, service, shared.clone()));
            let app = init_service(app).await;
            for (path, key) in [("/predict", "detail"), ("/v2/models", "error")] {
                let failed = app.call(TestRequest::get().uri(path).to_request()).await;
                let response = failed.err().expect("a panic").error_response();
                assert_eq!(response.status(), 500);
                let body = actix_web::body::to_bytes(response.into_body()).await;
                let body: serde_json::Value =
                    serde_json::from_slice(&body.expect("a body")).expect("JSON");
                let detail = body[key].as_str().expect("text");
                assert!(detail.starts_with("internal error "), "{detail}");
            }
            let alive = app.call(TestRequest::get().uri("/healthz").to_request()).await;
            assert!(!read_body(alive.expect("a response")).await.is_empty());
        });
        let (format, model) = (ExpositionFormat::Prometheus, &state.model);
        let text = state.metrics.text(format, model, &state.inferences, &state.executor);
        assert!(text.contains("ml_app_panics_total 2\n"), "{text}");
    }
}
