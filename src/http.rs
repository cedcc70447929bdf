//! The app: its routes, and what they share. The server, the tests and the benches all use
//! [`app`]; the OpenAPI document is made from the routes it registers.

pub mod docs;
pub mod health;
pub mod identity;
pub mod instances;
pub mod monitoring;
pub mod negotiate;
pub mod oip;
pub mod openapi;
pub mod predict;
pub mod problem;
mod routes;

use crate::config::{Limits, VertexRoutes};
use crate::inferences::Inferences;
use crate::metrics::Metrics;
use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::{ConnectionType, Method};
use actix_web::web::{self, Bytes};
use actix_web::{App, Error, HttpMessage};
use ml_app_model::Model;
use paperclip::actix::OpenApiExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What all requests share.
#[derive(Debug)]
pub struct State {
    pub model: Model,
    pub limits: Limits,
    pub metrics: Metrics,
    pub inferences: Inferences,
    pub vertex: VertexRoutes,
    document: OnceLock<Bytes>,
    draining: AtomicBool,
}

impl State {
    pub fn new(model: Model, limits: Limits, vertex: VertexRoutes, metrics: Metrics) -> State {
        State {
            model,
            limits,
            metrics,
            inferences: Inferences::default(),
            vertex,
            document: OnceLock::new(),
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

/// Marks a request that is answered as a GET.
struct IsHead;

/// The OpenAPI document, made when it is first asked for: of the routes that an [`app`] registers.
pub fn document(state: &web::Data<State>) -> Bytes {
    let made = || {
        let mut document = String::new();
        let described = App::new().wrap_api_with_spec(openapi::info(state.model.signature()));
        let described =
            described.configure(|config| routes::described::register(config, &state.vertex));
        drop(described.with_raw_json_spec_v3(|api, operations| {
            document = openapi::document(operations, state);
            api
        }));
        document.into()
    };
    state.document.get_or_init(made).clone()
}

/// The service for one worker.
pub fn app(state: web::Data<State>) -> App<impl Factory> {
    let (vertex, shared) = (state.vertex.clone(), state.clone());
    App::new()
        .wrap_fn(move |mut request, service| {
            // A HEAD is answered as the GET would be; actix sends no body then.
            if request.method() == Method::HEAD {
                request.head_mut().method = Method::GET;
                request.extensions_mut().insert(IsHead);
            }
            let headers = request.headers();
            let id = (identity::REQUEST_ID, identity::request_id(headers));
            let parent = (identity::TRACEPARENT, identity::traceparent(headers));
            let is_last = shared.is_draining();
            let answered = service.call(request);
            async move {
                let mut response = answered.await?;
                if is_last {
                    response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
                }
                for (name, value) in [id, parent] {
                    response.headers_mut().insert(name, value);
                }
                Ok(response)
            }
        })
        .app_data(state)
        .configure(|config| routes::served::register(config, &vertex))
        .default_service(actix_web::web::to(problem::not_found))
}

/// What makes the service of an app.
pub trait Factory:
    ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<Self::Body>,
        Error = Error,
        InitError = (),
    >
{
    type Body: MessageBody;
}

impl<F, B> Factory for F
where
    F: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<B>,
            Error = Error,
            InitError = (),
        >,
    B: MessageBody,
{
    type Body = B;
}
