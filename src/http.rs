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

use crate::config::{Limits, VertexRoutes};
use crate::inferences::Inferences;
use crate::metrics::Metrics;
use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::web::Bytes;
use actix_web::{App, Error, HttpMessage};
use ml_app_model::Model;
use once_cell::sync::OnceCell;
use paperclip::actix::{OpenApiExt, web};

/// What all requests share.
#[derive(Debug)]
pub struct State {
    pub model: Model,
    pub limits: Limits,
    pub metrics: Metrics,
    pub inferences: Inferences,
    pub vertex: VertexRoutes,
    document: OnceCell<Bytes>,
}

impl State {
    pub fn new(model: Model, limits: Limits, vertex: VertexRoutes, metrics: Metrics) -> State {
        let inferences = Inferences::default();
        State { model, limits, metrics, inferences, vertex, document: OnceCell::new() }
    }
}

/// Marks a request that is answered as a GET.
struct IsHead;

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
    let vertex = state.vertex.clone();
    App::new()
        .wrap_fn(|mut request, service| {
            // A HEAD is answered as the GET would be; actix sends no body then.
            if request.method() == Method::HEAD {
                request.head_mut().method = Method::GET;
                request.extensions_mut().insert(IsHead);
            }
            let headers = request.headers();
            let id = (identity::REQUEST_ID, identity::request_id(headers));
            let parent = (identity::TRACEPARENT, identity::traceparent(headers));
            let answered = service.call(request);
            async move {
                let mut response = answered.await?;
                for (name, value) in [id, parent] {
                    response.headers_mut().insert(name, value);
                }
                Ok(response)
            }
        })
        .wrap_api_with_spec(openapi::info(state.model.signature()))
        .app_data(state)
        .configure(|config| routes(config, &vertex))
        .default_service(actix_web::web::to(problem::not_found))
}

fn routes(config: &mut web::ServiceConfig, vertex: &VertexRoutes) {
    // They come first: what they name is Vertex AI's, even if it is another route's too.
    if let Some(path) = &vertex.predict {
        config.service(resource(path, POST).route(web::post().to(instances::vertex)));
    }
    if let Some(path) = &vertex.health {
        config.service(resource(path, GET).route(web::get().to(health::live)));
    }
    config
        .service(
            resource("/predict", "GET, HEAD, POST")
                .route(web::get().to(predict::predict_query))
                .route(web::post().to(predict::predict)),
        )
        .service(resource("/predict_file", POST).route(web::post().to(predict::predict_file)))
        .service(resource("/healthz", GET).route(web::get().to(health::live)))
        .service(resource("/readyz", GET).route(web::get().to(health::ready)))
        .service(resource("/metrics", GET).route(web::get().to(monitoring::collect)))
        .service(resource("/openapi.json", GET).route(web::get().to(docs::document)))
        .service(resource("/apidocs", GET).route(web::get().to(docs::page)))
        .service(resource("/apidocs/{asset:.*}", GET).route(web::get().to(docs::asset)))
        .service(resource("/", GET).route(web::get().to(docs::index)));
    let model = "/v2/models/{model}";
    let version = "/v2/models/{model}/versions/{version}";
    config
        .service(resource("/v2", GET).route(web::get().to(oip::server)))
        .service(resource("/v2/", GET).route(web::get().to(oip::server)))
        .service(resource("/v2/health/live", GET).route(web::get().to(oip::live)))
        .service(resource("/v2/health/ready", GET).route(web::get().to(oip::ready)))
        .service(resource("/v2/models/stats", GET).route(web::get().to(oip::stats)))
        .service(resource("/v2/repository/index", POST).route(web::post().to(oip::repository)))
        .service(
            resource("/v2/repository/models/{model}/load", POST).route(web::post().to(oip::load)),
        )
        .service(
            resource("/v2/repository/models/{model}/unload", POST).route(web::post().to(oip::load)),
        );
    for model in [model, version] {
        config
            .service(resource(model, GET).route(web::get().to(oip::model)))
            .service(
                resource(&format!("{model}/ready"), GET).route(web::get().to(oip::model_ready)),
            )
            .service(resource(&format!("{model}/config"), GET).route(web::get().to(oip::config)))
            .service(
                resource(&format!("{model}/stats"), GET).route(web::get().to(oip::model_stats)),
            )
            .service(resource(&format!("{model}/infer"), POST).route(web::post().to(oip::infer)));
    }
    config.service(resource("/v1/models", GET).route(web::get().to(instances::models)));
    for model in ["/v1/models/{model}", "/v1/models/{model}/versions/{version}"] {
        config
            .service(
                resource(&format!("{model}:predict"), POST)
                    .route(web::post().to(instances::predict)),
            )
            .service(resource(model, GET).route(web::get().to(instances::model)));
    }
    config
        .service(
            resource("/v1/endpoints/{endpoint}/deployedModels/{deployed}:predict", POST)
                .route(web::post().to(instances::vertex)),
        )
        .service(resource("/ping", GET).route(web::get().to(instances::ping)))
        .service(resource("/invocations", POST).route(web::post().to(instances::invocations)));
}

const GET: &str = "GET, HEAD";
const POST: &str = "POST";

/// `methods` are those it will have routes for.
fn resource(path: &str, methods: &'static str) -> web::Resource {
    web::resource(path).default_service(problem::method_not_allowed(methods))
}
