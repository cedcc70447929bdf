//! The app: its routes, and what they share. The server, the tests and the benches all use
//! [`app`]; the OpenAPI document is made from the same list of routes.

pub mod connection;
mod docs;
mod features;
mod guard;
mod health;
pub mod identity;
mod instances;
mod monitoring;
pub mod negotiate;
mod oip;
pub(crate) mod openapi;
pub mod predict;
pub mod problem;
mod route;
mod router;
mod routes;
mod sagemaker;
mod slices;
mod vertex;

use crate::access::Access;
use crate::config::{Config, Limits, Origins, VertexRoutes};
use crate::executor::Executor;
use crate::inferences::Inferences;
use crate::logging::{Logging, Request};
use crate::metrics::{Metrics, RouteMetrics};
use actix_cors::Cors;
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{Service, ServiceFactory, ServiceRequest, ServiceResponse, fn_service};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Method, StatusCode};
use actix_web::middleware::Condition;
use actix_web::web::{self, Bytes};
use actix_web::{App, Error, HttpMessage};
use connection::Connection;
use futures_util::FutureExt;
use futures_util::future::Either;
use ml_app_model::Model;
use once_cell::sync::OnceCell;
use problem::{Problem, Refused};
use route::Table;
use router::{IsHead, Router};
use std::future::{Future, ready};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

/// What all requests share.
pub struct State {
    pub model: Model,
    pub limits: Limits,
    pub access: Access,
    pub cors: Origins,
    pub vertex: VertexRoutes,
    pub logging: Logging,
    pub metrics: Metrics,
    pub inferences: Inferences,
    pub executor: Executor,
    table: &'static Table,
    router: Router,
    /// Bytes of bodies that are held.
    pub buffered: Arc<AtomicUsize>,
    document: OnceCell<Bytes>,
    draining: AtomicBool,
}

impl State {
    pub fn new(model: Model, model_sha256: String, config: &Config) -> State {
        let metrics = Metrics::new(model_sha256, model.signature(), config.threads);
        let table = &routes::TABLE;
        let router = Router::new(table, &config.vertex, &model.signature().name, &metrics);
        State {
            metrics,
            model,
            table,
            router,
            limits: config.limits,
            access: config.access.clone(),
            cors: config.cors.clone(),
            vertex: config.vertex.clone(),
            logging: config.logging,
            inferences: Inferences::default(),
            executor: Executor::new(config.threads.inference),
            buffered: Arc::default(),
            document: OnceCell::new(),
            draining: AtomicBool::new(false),
        }
    }

    /// The process will end: it is not ready any more, and connections end with the next answer.
    pub fn drain(&self) {
        self.draining.store(true, Relaxed);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }
}

/// Of a response: how many rows it answers.
pub struct Rows(pub usize);

/// The service for one worker.
pub fn app(
    state: web::Data<State>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let (shared, routed) = (state.clone(), state.clone());
    App::new()
        .app_data(state.clone())
        .default_service(fn_service(move |request| routed.router.serve(request)))
        .wrap_fn(move |request, service| answered(request, service, shared.clone()))
        .wrap(Condition::new(state.cors != Origins::None, cors(&state.cors)))
}

/// What is done around every route.
fn answered<S, B>(
    mut request: ServiceRequest,
    service: &S,
    state: web::Data<State>,
) -> impl Future<Output = Result<ServiceResponse<impl MessageBody + use<S, B>>, Error>> + use<S, B>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody + 'static,
{
    let began = Instant::now();
    if let Some(connection) = request.conn_data::<Connection>() {
        connection.request_begins(began);
    }
    // A HEAD is answered as the GET would be; actix sends no body then.
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
    let is_last = state.is_draining();
    let answer = match guard::check(&request, &state) {
        Ok(()) => Either::Left(AssertUnwindSafe(service.call(request)).catch_unwind().map({
            let state = state.clone();
            move |answer| match answer {
                Ok(answer) => answer.map(ServiceResponse::map_into_left_body),
                Err(_) => {
                    state.metrics.panicked();
                    state.metrics.unrouted.answered(500, began.elapsed());
                    let problem = Problem::fault("a panic on the thread that answers");
                    Err(errors.error(problem))
                }
            }
        })),
        Err(error) => {
            let problem = errors.response(error.into());
            let refused = request.into_response(problem).map_into_right_body();
            Either::Right(ready(Ok(refused)))
        }
    };
    async move {
        let mut response = answer.await?;
        // What is left of a body that did not come in time is not waited for.
        if is_last || response.status() == StatusCode::REQUEST_TIMEOUT {
            response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        }
        for (name, value) in &identity {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        note(&state, &response, &identity, began);
        Ok(response)
    }
}

/// Counts an answer, and logs it if its turn has come.
fn note<B: MessageBody>(
    state: &State,
    response: &ServiceResponse<B>,
    identity: &[(HeaderName, HeaderValue); 2],
    began: Instant,
) {
    let (status, latency) = (response.status().as_u16(), began.elapsed());
    let request = response.request();
    match request.extensions().get::<Arc<RouteMetrics>>() {
        Some(route) => route.answered(status, latency),
        None => state.metrics.unrouted.answered(status, latency),
    }
    if let Some(Refused(limit)) = response.response().extensions().get() {
        state.metrics.refused(limit);
    }
    let rate = state.logging.rate;
    let is_chosen = || rate > 0.0 && (identity::random() as f64) < rate * (u64::MAX as f64);
    if status != 500 && !is_chosen() {
        return;
    }
    let is_head = request.extensions().contains::<IsHead>();
    let length = request.headers().get(header::CONTENT_LENGTH);
    let [id, parent] = identity.each_ref().map(|(_, value)| value.to_str().unwrap_or_default());
    Request {
        method: if is_head { "HEAD" } else { request.method().as_str() },
        path: request.path(),
        status,
        latency,
        request_bytes: length.and_then(|length| length.to_str().ok()?.parse().ok()),
        response_bytes: match response.response().body().size() {
            BodySize::None => Some(0),
            BodySize::Sized(bytes) => Some(bytes),
            BodySize::Stream => None,
        },
        rows: response.response().extensions().get().map(|Rows(rows)| *rows),
        id,
        traceparent: parent,
    }
    .log(state.logging.format);
}

fn cors(origins: &Origins) -> Cors {
    let cors = Cors::default().allow_any_method().allow_any_header().expose_any_header();
    match origins {
        Origins::None => cors,
        Origins::Any => cors.allow_any_origin().send_wildcard(),
        Origins::These(origins) => {
            origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;
    use actix_web::HttpResponse;
    use actix_web::test::{TestRequest, init_service, read_body};

    async fn panics() -> HttpResponse {
        panic!("on purpose")
    }

    #[test]
    fn a_panic_is_a_fault_with_a_number_and_the_thread_goes_on() {
        let model = Source::Embedded.load().expect("the embedded model loads");
        let state = web::Data::new(State::new(model, String::new(), &Config::default()));
        let shared = state.clone();
        actix_web::rt::System::new().block_on(async {
            let app = App::new()
                .app_data(state.clone())
                .route("/predict", web::get().to(panics))
                .route("/v2/models", web::get().to(panics))
                .route("/healthz", web::get().to(health::live))
                .wrap_fn(move |request, service| answered(request, service, shared.clone()));
            let app = init_service(app).await;
            for (path, key) in [("/predict", "detail"), ("/v2/models", "error")] {
                let failed = app.call(TestRequest::get().uri(path).to_request()).await;
                let response = failed.err().expect("a panic").error_response();
                assert_eq!(response.status(), 500);
                let body = actix_web::body::to_bytes(response.into_body()).await;
                let body: serde_json::Value =
                    serde_json::from_slice(&body.expect("a body")).expect("JSON");
                let detail = body[key].as_str().expect("text");
                assert!(detail.starts_with("the server failed on this request; see fault "));
            }
            let alive = app.call(TestRequest::get().uri("/healthz").to_request()).await;
            assert!(!read_body(alive.expect("an answer")).await.is_empty());
        });
        let text = state.metrics.text(
            crate::metrics::ExpositionFormat::Prometheus,
            state.model.signature(),
            &state.inferences,
            &state.executor,
        );
        assert!(text.contains("ml_app_panics_total 2\n"), "{text}");
    }
}
