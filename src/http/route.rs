//! The types of the route table. The table itself is [`routes::TABLE`](super::routes).

use crate::access::Scope;
use crate::config::VertexRoutes;
use crate::http::openapi::operation::{Operation, Schemas, ServedModel};
use crate::http::problem::ErrorFormat;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::{Error, FromRequest, HttpResponse, Responder};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

/// All routes of the service, and the APIs that they belong to.
pub(crate) struct Table {
    /// In the order in which the OpenAPI document lists their tags. An API whose prefix is below the prefix of
    /// another one stands after it.
    pub(crate) apis: &'static [&'static Api],
    /// In order of precedence. Routes with the same path stand next to each other.
    pub(crate) routes: &'static [Route],
    /// Patterns whose `{model}` is nearly always this server's model. The router also compares paths with
    /// the pattern for this model, which is cheaper than matching it.
    pub(crate) frequent: &'static [&'static str],
}

/// One method of one path: who may call it, what handles it and how it is documented.
pub(crate) struct Route {
    pub(crate) path: Path,
    pub(crate) access: AccessLevel,
    pub(crate) api: &'static Api,
    /// `None` reserves the path: requests to it get 404, also if a later pattern matches.
    pub(crate) endpoint: Option<Endpoint>,
}

/// The path of a route.
pub(crate) enum Path {
    /// A path or a pattern with `{parameters}`, in actix-web's syntax.
    Fixed(&'static str),
    /// A path that the environment gives; the route does not exist if it gives none.
    Setting(fn(&VertexRoutes) -> Option<&str>),
}

/// The clients that may call a route if there are API keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccessLevel {
    /// All clients: load balancers and orchestrators have no key.
    Probe,
    /// All clients, unless all routes except the probes need a key ([`Scope::All`]).
    Docs,
    /// Clients with a key.
    Keyed,
}

/// The handler of a route and its documentation.
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    pub(crate) handler: Handler,
    /// Makes the handler's route for paperclip, which reads the operation's summary and description from it.
    pub(crate) described: fn() -> paperclip::actix::web::Route,
    /// Describes what paperclip cannot know; `None` leaves the route out of the OpenAPI document.
    pub(crate) operation: Option<fn(&ServedModel<'_>) -> Operation>,
}

pub(crate) type Handler = fn(ServiceRequest) -> ResponseFuture;
pub(crate) type ResponseFuture = LocalBoxFuture<'static, Result<ServiceResponse, Error>>;

/// Routes that belong together: a protocol, or a group of the service's own routes.
pub(crate) struct Api {
    /// Name of the group in the OpenAPI document.
    pub(crate) tag: &'static str,
    pub(crate) description: &'static str,
    /// Value of the metrics' label `protocol`; `None` for routes that predict nothing.
    pub(crate) protocol: Option<&'static str>,
    pub(crate) errors: ErrorFormat,
    /// Paths below which requests without a route get this API's errors.
    pub(crate) prefixes: &'static [&'static str],
    /// Components of the OpenAPI document that the operations refer to.
    pub(crate) schemas: fn(&ServedModel<'_>) -> Schemas,
}

impl Table {
    /// Returns the resources that there are with these settings, each with its path and its routes.
    pub(crate) fn resources<'a>(
        &self,
        vertex: &'a VertexRoutes,
    ) -> impl Iterator<Item = (&'a str, &'static [Route])> + use<'a> {
        let resources = self.routes.chunk_by(|one, other| one.path.is(&other.path));
        resources.filter_map(|routes| Some((routes.first()?.path.resolve(vertex)?, routes)))
    }

    /// Returns the API below one of whose prefixes `path` is.
    pub(crate) fn api(&self, path: &str) -> Option<&'static Api> {
        let is_below = |prefix: &&str| {
            path.strip_prefix(*prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.apis.iter().rev().copied().find(|api| api.prefixes.iter().any(is_below))
    }
}

impl Path {
    pub(crate) fn resolve<'a>(&self, vertex: &'a VertexRoutes) -> Option<&'a str> {
        match self {
            Path::Fixed(path) => Some(path),
            Path::Setting(path) => path(vertex),
        }
    }

    /// Returns the path, unless a setting gives it.
    pub(crate) fn fixed(&self) -> Option<&'static str> {
        match self {
            Path::Fixed(path) => Some(path),
            Path::Setting(_) => None,
        }
    }

    fn is(&self, other: &Path) -> bool {
        self.fixed().is_some_and(|path| other.fixed() == Some(path))
    }

    /// Returns whether a request's path has the form of this one as it is written, without
    /// percent-decoding. A `{parameter}` matches one segment, a `{parameter:.*}` all that are left.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let Some(pattern) = self.fixed() else { return false };
        let (mut expected, mut found) = (pattern.split('/'), path.split('/'));
        loop {
            match (expected.next(), found.next()) {
                (None, None) => return true,
                (Some(expected), Some(_)) if expected.ends_with(":.*}") => return true,
                (Some(expected), Some(found)) if expected == found => {}
                (Some(expected), Some(found)) if expected.starts_with('{') && !found.is_empty() => {
                }
                _ => return false,
            }
        }
    }
}

impl AccessLevel {
    pub(crate) fn needs_key(self, scope: Scope) -> bool {
        match self {
            AccessLevel::Probe => false,
            AccessLevel::Docs => scope == Scope::All,
            AccessLevel::Keyed => true,
        }
    }
}

/// Calls an actix-web handler: extracts its arguments and turns its result into a response.
pub(crate) fn call<F, Args>(handler: F, request: ServiceRequest) -> ResponseFuture
where
    F: actix_web::Handler<Args, Output: Responder>,
    Args: FromRequest + 'static,
{
    async move {
        let (request, mut payload) = request.into_parts();
        let response = match Args::from_request(&request, &mut payload).await {
            Ok(arguments) => {
                handler.call(arguments).await.respond_to(&request).map_into_boxed_body()
            }
            Err(error) => HttpResponse::from_error(error),
        };
        Ok(ServiceResponse::new(request, response))
    }
    .boxed_local()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_matches_a_pattern_only_as_it_is_written() {
        let matches = |pattern, path| Path::Fixed(pattern).matches(path);
        assert!(matches("/healthz", "/healthz"));
        for path in ["/", "/healthz/", "/health%7A", "/healthz/x"] {
            assert!(!matches("/healthz", path), "{path}");
        }
        assert!(matches("/v2/models/{model}/ready", "/v2/models/a%20b/ready"));
        for path in ["/v2/models/ready", "/v2/models//ready", "/v2/models/a/%72eady"] {
            assert!(!matches("/v2/models/{model}/ready", path), "{path}");
        }
        for path in ["/apidocs/", "/apidocs/page.js", "/apidocs/a/b"] {
            assert!(matches("/apidocs/{asset:.*}", path), "{path}");
        }
        assert!(!matches("/apidocs/{asset:.*}", "/apidocs"));
    }
}
