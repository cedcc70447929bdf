//! Which handler answers a request: one table for all threads that answer.
//!
//! actix-web's own router makes a regular expression of every pattern in every such thread before it
//! accepts a connection, and tries all routes in turn for each request. Here paths are compared, and
//! patterns are compiled when a path is first asked for that is none of those.

use crate::http::problem;
use crate::metrics::Route;
use actix_web::dev::{ResourceDef, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::{Error, FromRequest, HttpMessage, HttpResponse, Responder};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use once_cell::sync::OnceCell;
use std::fmt;
use std::sync::Arc;

type Answer = LocalBoxFuture<'static, Result<ServiceResponse, Error>>;
type Handler = Box<dyn Fn(ServiceRequest) -> Answer + Send + Sync>;

/// Resources by path; the first that matches is it, those without parameters before all others.
pub struct Router {
    paths: Vec<Resource>,
    /// Those with parameters, and what they match.
    patterns: Vec<Resource>,
    compiled: OnceCell<Vec<ResourceDef>>,
    not_found: Handler,
}

impl Router {
    pub fn new() -> Router {
        Router {
            paths: vec![],
            patterns: vec![],
            compiled: OnceCell::new(),
            not_found: handled(problem::not_found),
        }
    }

    pub fn service(&mut self, resource: Resource) -> &mut Router {
        match resource.path.contains('{') {
            true => self.patterns.push(resource),
            false => self.paths.push(resource),
        }
        self
    }

    pub fn serve(&self, mut request: ServiceRequest) -> Answer {
        let Some(resource) = self.find(&mut request) else { return (self.not_found)(request) };
        if let Some(counted) = &resource.counted {
            request.extensions_mut().insert(counted.clone());
        }
        let method = request.method();
        let route = resource.routes.iter().find(|(own, _)| own == method);
        route.map_or(&resource.otherwise, |(_, handler)| handler)(request)
    }

    fn find(&self, request: &mut ServiceRequest) -> Option<&Resource> {
        let path = request.match_info().as_str();
        if let found @ Some(_) = self.paths.iter().find(|resource| resource.path == path) {
            return found;
        }
        let compiled = self.compiled.get_or_init(|| {
            self.patterns.iter().map(|resource| ResourceDef::new(resource.path.as_str())).collect()
        });
        let mut patterns = compiled.iter().zip(&self.patterns);
        patterns
            .find_map(|(pattern, resource)| pattern.capture_match_info(request).then_some(resource))
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resources = self.paths.iter().chain(&self.patterns);
        f.debug_set().entries(resources.map(|resource| &resource.path)).finish()
    }
}

/// What has a path, or all that a pattern with `{parameters}` matches.
pub struct Resource {
    path: String,
    counted: Option<Arc<Route>>,
    routes: Vec<(Method, Handler)>,
    otherwise: Handler,
}

impl Resource {
    /// Of a resource that is not there.
    pub fn none(path: &str) -> Resource {
        let otherwise = handled(problem::not_found);
        Resource { path: path.to_owned(), counted: None, routes: vec![], otherwise }
    }

    /// Whose requests are counted; `methods` are those that it will have routes for.
    pub fn new(path: &str, counted: Arc<Route>, methods: &'static str) -> Resource {
        let otherwise = handled(problem::method_not_allowed(methods));
        Resource { counted: Some(counted), otherwise, ..Resource::none(path) }
    }

    pub fn route(mut self, route: (Method, Handler)) -> Resource {
        self.routes.push(route);
        self
    }
}

/// A route's method, as [`actix_web::web::get`] has it.
pub struct To(Method);

pub fn get() -> To {
    To(Method::GET)
}

pub fn post() -> To {
    To(Method::POST)
}

impl To {
    pub fn to<F, Args>(self, handler: F) -> (Method, Handler)
    where
        F: actix_web::Handler<Args, Output: Responder> + Send + Sync,
        Args: FromRequest + 'static,
    {
        (self.0, handled(handler))
    }
}

fn handled<F, Args>(handler: F) -> Handler
where
    F: actix_web::Handler<Args, Output: Responder> + Send + Sync,
    Args: FromRequest + 'static,
{
    Box::new(move |request| {
        let handler = handler.clone();
        let answer = async move {
            let (request, mut payload) = request.into_parts();
            let response = match Args::from_request(&request, &mut payload).await {
                Ok(arguments) => {
                    handler.call(arguments).await.respond_to(&request).map_into_boxed_body()
                }
                Err(error) => HttpResponse::from_error(error),
            };
            Ok(ServiceResponse::new(request, response))
        };
        answer.boxed_local()
    })
}
