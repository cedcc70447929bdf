//! The HTTP service. The server, the tests and the benchmarks all use [`app`].
//!
//! A request first passes `middleware`. `router` then finds the request's route in the table of `routes` and
//! calls its handler. A handler that predicts reads the request with `body` and calls `predict` with a
//! [protocol](crate::protocol).

mod body;
pub(crate) mod connection;
mod docs;
mod features;
mod guard;
mod health;
mod identity;
mod instances;
mod middleware;
mod monitoring;
mod multipart;
pub mod negotiate;
mod oip;
pub(crate) mod openapi;
mod predict;
pub mod problem;
mod route;
mod router;
mod routes;
mod sagemaker;
mod slices;
mod state;
mod vertex;

use crate::config::{Config, Origins};
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse, fn_service};
use actix_web::middleware::Condition;
use actix_web::web::Data;
use actix_web::{App, Error};
use ml_app_model::Model;

pub use state::State;

impl State {
    /// Returns the state of a server with all routes.
    pub fn new(model: Model, model_sha256: String, config: &Config) -> State {
        State::with_routes(&routes::TABLE, model, model_sha256, config)
    }
}

/// Returns the service of one I/O thread.
pub fn app(
    state: Data<State>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let (for_middleware, for_router) = (state.clone(), state.clone());
    App::new()
        .app_data(state.clone())
        .default_service(fn_service(move |request| for_router.router.serve(request)))
        .wrap_fn(move |request, router| middleware::around(request, router, for_middleware.clone()))
        .wrap(Condition::new(state.cors != Origins::None, middleware::cors(&state.cors)))
}
