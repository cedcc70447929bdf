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

/// All routes of the service, and the APIs to which the routes belong.
pub(crate) struct Table {
    /// The APIs, in the order of their tags in the OpenAPI document. If the prefix of one API is below the prefix of a
    /// different API, the API with the longer prefix comes later.
    pub(crate) apis: &'static [&'static Api],
    /// Routes in order of precedence. Routes with the same path must be adjacent.
    pub(crate) routes: &'static [Route],
    /// Patterns that clients call often. In nearly all of these calls, `{model}` is the served model. So the router
    /// replaces `{model}` by the served model's name, and compares the path of a request with the resulting paths
    /// before it matches any pattern. Comparing strings is cheaper than matching a pattern.
    pub(crate) frequent: &'static [&'static str],
}

/// One method of one path, with its access level, its handler and its documentation.
pub(crate) struct Route {
    pub(crate) path: Path,
    pub(crate) access: AccessLevel,
    pub(crate) api: &'static Api,
    /// The handler. `None` reserves the path: requests to the path get a 404, even if the pattern of a later route
    /// matches the path.
    pub(crate) endpoint: Option<Endpoint>,
}

/// The path of a route.
pub(crate) enum Path {
    /// A path or a pattern with `{parameters}`, in actix-web's syntax.
    Fixed(&'static str),
    /// A path that an environment variable sets. The route does not exist if the variable is not set.
    Setting(fn(&VertexRoutes) -> Option<&str>),
}

/// The clients that may call a route if API keys are configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccessLevel {
    /// All clients, because load balancers and orchestrators have no key.
    Probe,
    /// All clients. If the scope is [`Scope::All`], only clients with a key.
    Docs,
    /// Clients with a key.
    Keyed,
}

/// The handler of a route and its documentation.
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    pub(crate) handler: Handler,
    /// Creates paperclip's route for the handler. From this route, paperclip derives the ID, the summary and the
    /// description of the operation.
    pub(crate) paperclip_route: fn() -> paperclip::actix::web::Route,
    /// Describes the parts of the operation that paperclip cannot derive. `None` leaves the route out of the OpenAPI
    /// document.
    pub(crate) operation: Option<fn(&ServedModel<'_>) -> Operation>,
}

/// A function that handles a request.
pub(crate) type Handler = fn(ServiceRequest) -> ResponseFuture;
pub(crate) type ResponseFuture = LocalBoxFuture<'static, Result<ServiceResponse, Error>>;

/// Routes that belong together: a protocol, or a group of the service's own routes.
pub(crate) struct Api {
    /// Name of the group in the OpenAPI document.
    pub(crate) tag: &'static str,
    pub(crate) description: &'static str,
    /// Value of the metrics' label `protocol`. `None` if the routes do not predict.
    pub(crate) protocol: Option<&'static str>,
    pub(crate) errors: ErrorFormat,
    /// Path prefixes of the API. If a request has no route, and its path equals one of these prefixes or is below it,
    /// the response is an error in this API's format.
    pub(crate) prefixes: &'static [&'static str],
    /// Components of the OpenAPI document that the operations refer to.
    pub(crate) schemas: fn(&ServedModel<'_>) -> Schemas,
}

impl Table {
    /// Returns the path and the routes of each resource. Leaves out a route whose path is a setting that is not set.
    pub(crate) fn resources<'a>(
        &self,
        vertex: &'a VertexRoutes,
    ) -> impl Iterator<Item = (&'a str, &'static [Route])> + use<'a> {
        let resources = self.routes.chunk_by(|left, right| left.path.equals(&right.path));
        resources.filter_map(|routes| Some((routes.first()?.path.resolve(vertex)?, routes)))
    }

    /// Returns the API with a prefix that `path` begins with. If several APIs have such a prefix, returns the API with
    /// the longest prefix.
    pub(crate) fn api(&self, path: &str) -> Option<&'static Api> {
        let is_below = |prefix: &&str| {
            path.strip_prefix(*prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.apis.iter().rev().copied().find(|api| api.prefixes.iter().any(is_below))
    }
}

impl Path {
    /// Returns the path, or `None` if it is a setting that is not set.
    pub(crate) fn resolve<'a>(&self, vertex: &'a VertexRoutes) -> Option<&'a str> {
        match self {
            Path::Fixed(path) => Some(path),
            Path::Setting(path) => path(vertex),
        }
    }

    /// Returns the path if it is fixed, or `None` if it is a setting.
    pub(crate) fn fixed(&self) -> Option<&'static str> {
        match self {
            Path::Fixed(path) => Some(path),
            Path::Setting(_) => None,
        }
    }

    /// Returns whether both paths are fixed and equal. A setting equals no other path.
    fn equals(&self, other: &Path) -> bool {
        self.fixed().is_some_and(|path| other.fixed() == Some(path))
    }

    /// Returns whether this path or pattern matches the path of a request, without percent-decoding. A segment that
    /// begins with a `{parameter}` matches any single segment that is not empty: text after the `}` is not compared. A
    /// `{parameter:.*}` matches all remaining segments. A setting matches no path.
    ///
    /// Only the access check calls this function, and only for open routes, whose patterns have no text after a `}`.
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

/// Calls an actix-web handler: extracts the arguments from the request, and converts the result to a response.
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
    fn matches_paths_without_percent_decoding() {
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
