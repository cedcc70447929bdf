//! Finds the handler of a request. All I/O threads share one router.
//!
//! With actix-web's own router, every I/O thread would compile a regular expression for every pattern before it accepts
//! a connection, and would try all routes in turn for each request. This router first compares the path of a request
//! with the paths that have no parameters. If no path is equal, the router matches the patterns. It compiles the
//! patterns when it first needs them.

use crate::config::VertexRoutes;
use crate::http::problem::{self, ErrorFormat};
use crate::http::route::{AccessLevel, Api, Endpoint, Path, ResponseFuture, Route, Table};
use crate::metrics::{Metrics, RouteMetrics};
use actix_web::dev::{ResourceDef, ServiceRequest};
use actix_web::http::Method;
use actix_web::{HttpMessage, HttpResponse};
use futures_util::FutureExt;
use once_cell::sync::OnceCell;
use std::borrow::Cow;
use std::future::ready;
use std::sync::Arc;

/// The resources of a server. Some resources depend on the settings. The first resource that matches a path handles the
/// request. Resources without parameters come before patterns.
pub(crate) struct Router {
    table: &'static Table,
    /// Resources without parameters: first those whose path is a setting, then the [frequent patterns](Table::frequent)
    /// with the name of the served model, then all others.
    paths: Vec<Resource>,
    /// Number of resources in `paths` whose path is a setting.
    setting_count: usize,
    /// Resources with parameters.
    patterns: Vec<Resource>,
    /// The compiled `patterns`, in the same order.
    compiled: OnceCell<Vec<ResourceDef>>,
}

/// A path or a pattern, with a route for each method.
struct Resource {
    path: Cow<'static, str>,
    /// The API to which the path belongs.
    api: &'static Api,
    routes: &'static [Route],
    /// `None` if the path is reserved. Requests to a reserved path are counted as requests without a route.
    metrics: Option<Arc<RouteMetrics>>,
}

/// Marks a HEAD request, which is handled like a GET request.
pub(crate) struct IsHead;

impl Router {
    pub(crate) fn new(
        table: &'static Table,
        vertex: &VertexRoutes,
        model: &str,
        metrics: &Metrics,
    ) -> Router {
        let (mut from_settings, mut frequent, mut paths, mut patterns) =
            (vec![], vec![], vec![], vec![]);
        for (path, routes) in table.resources(vertex) {
            let resource = Resource::new(table, path, routes, metrics);
            if matches!(routes[0].path, Path::Setting(_)) {
                from_settings.push(resource);
            } else if !path.contains('{') {
                paths.push(resource);
            } else {
                if table.frequent.contains(&path) {
                    let path = path.replace("{model}", model).into();
                    frequent.push(Resource { path, metrics: resource.metrics.clone(), ..resource });
                }
                patterns.push(resource);
            }
        }
        let setting_count = from_settings.len();
        let paths = from_settings.into_iter().chain(frequent).chain(paths).collect();
        Router { table, paths, setting_count, patterns, compiled: OnceCell::new() }
    }

    /// Handles a request.
    pub(crate) fn serve(&self, mut request: ServiceRequest) -> ResponseFuture {
        let resource = self.find(&mut request);
        if let Some(metrics) = resource.and_then(|resource| resource.metrics.as_ref()) {
            request.extensions_mut().insert(metrics.clone());
        }
        let endpoints = || resource.into_iter().flat_map(Resource::endpoints);
        if let Some(endpoint) = endpoints().find(|endpoint| endpoint.method == *request.method()) {
            return (endpoint.handler)(request);
        }
        let errors = self.errors(request.path());
        let methods = endpoints().flat_map(|endpoint| match endpoint.method {
            Method::GET => vec!["GET", "HEAD"],
            ref method => vec![method.as_str()],
        });
        let methods = methods.collect::<Vec<_>>().join(", ");
        let response = if endpoints().next().is_none() {
            problem::not_found(request.request(), errors)
        } else if request.method() == Method::OPTIONS {
            HttpResponse::NoContent().insert_header(problem::allow(&methods)).finish()
        } else {
            let is_head = request.extensions().contains::<IsHead>();
            let found = if is_head { &Method::HEAD } else { request.method() };
            problem::method_not_allowed(found, &methods, errors)
        };
        ready(Ok(request.into_response(response))).boxed_local()
    }

    /// Finds the resource for a request. A slash at the end of the path is ignored if no resource has a path with this
    /// slash. If the resource is a pattern, stores the values of its parameters in the request.
    fn find(&self, request: &mut ServiceRequest) -> Option<&Resource> {
        let path = request.match_info().as_str();
        let mut found = self.paths.iter().find(|resource| resource.path == path);
        if found.is_none() && path.ends_with('/') {
            let path = without_slash(path);
            found = self.paths.iter().find(|resource| resource.path == path);
        }
        if found.is_some() {
            return found;
        }
        let compiled = self.compiled.get_or_init(|| {
            let paths = self.patterns.iter().map(|resource| &*resource.path);
            paths.map(|path| ResourceDef::new([path.to_owned(), format!("{path}/")])).collect()
        });
        let mut patterns = compiled.iter().zip(&self.patterns);
        patterns
            .find_map(|(pattern, resource)| pattern.capture_match_info(request).then_some(resource))
    }

    /// Returns the access level of a path. `raw` is the path as the client wrote it, and `decoded` is the path after
    /// percent-decoding.
    ///
    /// A path gets the level of an open route, [`AccessLevel::Probe`] or [`AccessLevel::Docs`], only if `raw` matches
    /// the route without any decoding. The router matches decoded paths, so `/pre%64ict` finds `/predict`. Suppose that
    /// this check decoded the path too, but not exactly as the router does. Then this check could treat a path as open,
    /// and the router could find a prediction route for the same path.
    ///
    /// The paths from settings are compared first. If such a path needs a key, a request needs the key if `raw` or
    /// `decoded` equals the path. Otherwise only `raw` is compared. As in the router, a slash at the end is ignored.
    pub(crate) fn access(&self, raw: &str, decoded: &str) -> AccessLevel {
        for resource in &self.paths[..self.setting_count] {
            let access = resource.routes[0].access;
            let equals = |path: &str| resource.path == path || resource.path == without_slash(path);
            if equals(raw) || access == AccessLevel::Keyed && equals(decoded) {
                return access;
            }
        }
        let mut open = self.table.routes.iter().filter(|route| route.access != AccessLevel::Keyed);
        let found =
            open.find(|route| route.path.matches(raw) || route.path.matches(without_slash(raw)));
        found.map_or(AccessLevel::Keyed, |route| route.access)
    }

    /// Returns the format of error responses for a path. The path need not have a route.
    pub(crate) fn errors(&self, raw: &str) -> ErrorFormat {
        let mut from_settings = self.paths[..self.setting_count].iter();
        let path = without_slash(raw);
        let found = from_settings.find(|resource| resource.path == raw || resource.path == path);
        let api = found.map(|resource| resource.api).or_else(|| self.table.api(raw));
        api.map_or(ErrorFormat::Problem, |api| api.errors)
    }
}

/// Returns the path without the slash at its end. A path that consists of slashes is returned unchanged.
fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').filter(|path| !matches!(*path, "" | "/")).unwrap_or(path)
}

impl Resource {
    fn new(table: &Table, path: &str, routes: &'static [Route], metrics: &Metrics) -> Resource {
        let route = &routes[0];
        let (path, api) = match route.path {
            Path::Fixed(path) => (Cow::Borrowed(path), route.api),
            // A setting may put the health route below the prefix of a protocol. The path then belongs to the API of
            // this protocol.
            Path::Setting(_) if route.api.protocol.is_none() => {
                (Cow::Owned(path.to_owned()), table.api(path).unwrap_or(route.api))
            }
            Path::Setting(_) => (Cow::Owned(path.to_owned()), route.api),
        };
        let is_reserved = route.endpoint.is_none();
        let metrics = (!is_reserved).then(|| metrics.route(&path, api.protocol));
        Resource { path, api, routes, metrics }
    }

    fn endpoints(&self) -> impl Iterator<Item = &'static Endpoint> {
        self.routes.iter().filter_map(|route| route.endpoint.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::http::State;
    use crate::source::Source;

    /// Returns a function that returns the access level of a path. The arguments are the paths that Vertex AI sets.
    fn access(predict: Option<&str>, health: Option<&str>) -> impl Fn(&str) -> AccessLevel {
        let [predict, health] = [predict, health].map(|path| path.map(str::to_owned));
        let config = Config { vertex: VertexRoutes { predict, health }, ..Config::default() };
        let model = Source::Embedded.load().expect("the embedded model loads");
        let state = State::new(model, String::new(), &config);
        move |path| {
            let request = actix_web::test::TestRequest::with_uri(path).to_srv_request();
            state.router.access(request.path(), request.match_info().as_str())
        }
    }

    #[test]
    fn only_exact_paths_are_open() {
        let access = access(None, None);
        for path in [
            "/",
            "/healthz",
            "/healthz/",
            "/v2/models/any/ready",
            "/v2/models/any/ready/",
            "/v2/models/a/versions/1/ready",
        ] {
            assert_eq!(access(path), AccessLevel::Probe, "{path}");
        }
        for path in ["/metrics", "/apidocs", "/apidocs/page.js"] {
            assert_eq!(access(path), AccessLevel::Docs, "{path}");
        }
        for path in [
            "/health%7a",
            "/v2/models/any/%72eady",
            "/v2/models/ready",
            "/v2/models/ready/",
            "/health%7a/",
            "/healthz//",
            "/predict/",
            "/predict",
            "/x",
            "/pre%64ict",
        ] {
            assert_eq!(access(path), AccessLevel::Keyed, "{path}");
        }
    }

    #[test]
    fn a_path_from_a_setting_has_its_own_access_level() {
        let access = access(Some("/apidocs/predict"), Some("/v2/models/a"));
        assert_eq!(access("/v2/models/a"), AccessLevel::Probe);
        assert_eq!(access("/v2/models/%61"), AccessLevel::Keyed);
        assert_eq!(access("/apidocs/page.js"), AccessLevel::Docs);
        // Both spellings of the path lead to predictions.
        assert_eq!(access("/apidocs/predict"), AccessLevel::Keyed);
        assert_eq!(access("/apidocs/%70redict"), AccessLevel::Keyed);
        assert_eq!(access("/apidocs/predict/"), AccessLevel::Keyed);
        assert_eq!(access("/apidocs/%70redict/"), AccessLevel::Keyed);
        assert_eq!(access("/v2/models/a/"), AccessLevel::Probe);
    }
}
