//! The app: its routes, and what they share. The server, the tests and the benches all use
//! [`app`]; the OpenAPI document is made from the routes it registers.

pub mod docs;
pub mod health;
pub mod monitoring;
pub mod negotiate;
pub mod openapi;
pub mod predict;
pub mod problem;

use crate::config::Limits;
use crate::metrics::Metrics;
use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::web::Bytes;
use actix_web::{App, Error};
use ml_app_model::Model;
use once_cell::sync::OnceCell;
use paperclip::actix::{OpenApiExt, web};

/// What all requests share.
#[derive(Debug)]
pub struct State {
    pub model: Model,
    pub limits: Limits,
    pub metrics: Metrics,
    document: OnceCell<Bytes>,
}

impl State {
    pub fn new(model: Model, limits: Limits, metrics: Metrics) -> State {
        State { model, limits, metrics, document: OnceCell::new() }
    }
}

/// The OpenAPI document, made when it is first asked for: of the routes that an [`app`] registers.
pub fn document(state: &web::Data<State>) -> Bytes {
    let made = || {
        let mut document = String::new();
        drop(api(state.clone()).with_raw_json_spec_v3(|api, operations| {
            document = openapi::document(operations, state);
            api
        }));
        document.into()
    };
    state.document.get_or_init(made).clone()
}

/// The service for one worker.
pub fn app(state: web::Data<State>) -> App<impl Factory> {
    api(state).build()
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

fn api(state: web::Data<State>) -> paperclip::actix::App<impl Factory> {
    App::new()
        .wrap_fn(|mut request, service| {
            // A HEAD is answered as the GET would be; actix sends no body then.
            if request.method() == Method::HEAD {
                request.head_mut().method = Method::GET;
            }
            service.call(request)
        })
        .wrap_api_with_spec(openapi::info(state.model.signature()))
        .app_data(state)
        .configure(routes)
        .default_service(actix_web::web::to(problem::not_found))
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/predict")
                .route(web::get().to(predict::predict_query))
                .route(web::post().to(predict::predict))
                .default_service(problem::method_not_allowed("GET, HEAD, POST")),
        )
        .service(
            web::resource("/predict_file")
                .route(web::post().to(predict::predict_file))
                .default_service(problem::method_not_allowed("POST")),
        )
        .service(page("/healthz").route(web::get().to(health::live)))
        .service(page("/readyz").route(web::get().to(health::ready)))
        .service(page("/metrics").route(web::get().to(monitoring::collect)))
        .service(page("/openapi.json").route(web::get().to(docs::document)))
        .service(page("/apidocs").route(web::get().to(docs::page)))
        .service(page("/apidocs/{asset:.*}").route(web::get().to(docs::asset)))
        .service(page("/").route(web::get().to(docs::index)));
}

fn page(path: &str) -> web::Resource {
    web::resource(path).default_service(problem::method_not_allowed("GET, HEAD"))
}
