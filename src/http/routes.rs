//! The route table. The router, the access check, the metrics and the OpenAPI document all use the entry of a route.
//!
//! To add a route:
//!
//! 1. Write the handler.
//! 2. In the submodule `openapi` of the handler's module, write a function with the name of the handler. The function
//!    describes the [operation].
//! 3. Add an entry to `ROUTES`.
//!
//! To add a protocol, write a module with an [`Api`], handlers and descriptions. Then add the `Api` to `APIS`, and the
//! entries of the routes to `ROUTES`.
//!
//! [operation]: crate::http::openapi::operation::Operation
//! [`Api`]: crate::http::route::Api

use crate::http::route::AccessLevel::{Docs, Keyed, Probe};
use crate::http::route::{Api, Endpoint, Path, Route, Table, call};
use crate::http::{docs, features, health, instances, monitoring, oip, sagemaker, vertex};
use actix_web::http::Method;
use paperclip::actix::web;

/// The route table of the server.
pub(crate) static TABLE: Table = Table { apis: APIS, routes: ROUTES, frequent: FREQUENT };

/// The APIs, in the order of their tags in the OpenAPI document.
static APIS: &[&Api] = &[
    &features::API,
    &oip::API,
    &instances::API,
    &vertex::API,
    &sagemaker::API,
    &health::API,
    &monitoring::API,
    &docs::API,
];

/// Patterns of the routes with the most requests. The router replaces `{model}` by the name of the served model, and
/// compares the results with the request path before it matches patterns.
const FREQUENT: &[&str] = &["/v2/models/{model}/infer", "/v1/models/{model}:predict"];

/// Creates the entry of a route from method, path, access level and handler. The route belongs to `API` of the
/// handler's module. The function with the handler's name in the submodule `openapi` describes the route for the
/// OpenAPI document, unless the entry ends with `undocumented`.
///
/// With `NONE` instead of a method, and a module instead of a handler, the entry has no handler. A request whose path
/// matches such an entry gets 404, even if the pattern of an entry further down matches the path too.
macro_rules! route {
    (NONE $path:literal, $access:expr, $module:ident) => {
        Route { path: Path::Fixed($path), access: $access, api: &$module::API, endpoint: None }
    };
    ($method:ident $path:literal, $($rest:tt)*) => {
        route!(@ $method (Path::Fixed($path)), $($rest)*)
    };
    ($method:ident $path:ident, $($rest:tt)*) => {
        route!(@ $method $path, $($rest)*)
    };
    (@ $method:ident $path:tt, $access:expr, $module:ident::$handler:ident) => {
        route!(@ $method $path, $access, $module, $handler, Some($module::openapi::$handler))
    };
    (@ $method:ident $path:tt, $access:expr, $module:ident::$handler:ident, undocumented) => {
        route!(@ $method $path, $access, $module, $handler, None)
    };
    (@ $method:ident $path:tt, $access:expr, $module:ident, $handler:ident, $operation:expr) => {
        Route {
            path: $path,
            access: $access,
            api: &$module::API,
            endpoint: Some(Endpoint {
                method: Method::$method,
                handler: |request| call($module::$handler, request),
                paperclip_route: || web::Route::new().method(Method::$method).to($module::$handler),
                operation: $operation,
            }),
        }
    };
}

// The paths that Vertex AI chooses for a container. The entries with these paths come first in `ROUTES`, so that they
// take precedence over other entries with the same path.
const AIP_PREDICT_ROUTE: Path = Path::Setting(|vertex| vertex.predict.as_deref());
const AIP_HEALTH_ROUTE: Path = Path::Setting(|vertex| vertex.health.as_deref());

/// All routes. If a path matches several entries, the first entry applies.
static ROUTES: &[Route] = &[
    route!(POST AIP_PREDICT_ROUTE, Keyed, vertex::predict),
    route!(GET AIP_HEALTH_ROUTE, Probe, health::live),
    route!(GET "/predict", Keyed, features::predict_query),
    route!(POST "/predict", Keyed, features::predict),
    route!(POST "/predict_file", Keyed, features::predict_file),
    route!(GET "/healthz", Probe, health::live),
    route!(GET "/readyz", Probe, health::ready),
    route!(GET "/metrics", Docs, monitoring::collect),
    route!(GET "/openapi.json", Docs, docs::document),
    route!(GET "/apidocs", Docs, docs::page),
    // Redirects to `/apidocs`, because the links of the page are relative.
    route!(GET "/apidocs/", Docs, docs::asset, undocumented),
    route!(GET "/apidocs/{asset:.*}", Docs, docs::asset, undocumented),
    route!(GET "/", Probe, docs::index),
    route!(GET "/v2", Keyed, oip::server),
    route!(GET "/v2/health/live", Probe, oip::live),
    route!(GET "/v2/health/ready", Probe, oip::ready),
    route!(GET "/v2/models/stats", Keyed, oip::stats),
    route!(POST "/v2/repository/index", Keyed, oip::repository),
    route!(POST "/v2/repository/models/{model}/load", Keyed, oip::load),
    route!(POST "/v2/repository/models/{model}/unload", Keyed, oip::load),
    route!(POST "/v2/models/{model}/infer", Keyed, oip::infer),
    route!(GET "/v2/models/{model}", Keyed, oip::model),
    route!(GET "/v2/models/{model}/ready", Probe, oip::model_ready),
    route!(GET "/v2/models/{model}/config", Keyed, oip::model_config),
    route!(GET "/v2/models/{model}/stats", Keyed, oip::model_stats),
    route!(POST "/v2/models/{model}/versions/{version}/infer", Keyed, oip::infer),
    route!(GET "/v2/models/{model}/versions/{version}", Keyed, oip::model),
    route!(GET "/v2/models/{model}/versions/{version}/ready", Probe, oip::model_ready),
    route!(GET "/v2/models/{model}/versions/{version}/config", Keyed, oip::model_config),
    route!(GET "/v2/models/{model}/versions/{version}/stats", Keyed, oip::model_stats),
    route!(GET "/v1/models", Keyed, instances::models),
    route!(POST "/v1/models/{model}:predict", Keyed, instances::predict),
    // Reserved, because the pattern `/v1/models/{model}` below would match paths with other verbs of TensorFlow
    // Serving, such as `/v1/models/m:classify`.
    route!(NONE "/v1/models/{model}:{verb}", Keyed, instances),
    route!(GET "/v1/models/{model}", Keyed, instances::model),
    route!(POST "/v1/models/{model}/versions/{version}:predict", Keyed, instances::predict),
    route!(NONE "/v1/models/{model}/versions/{version}:{verb}", Keyed, instances),
    route!(GET "/v1/models/{model}/versions/{version}", Keyed, instances::model),
    route!(POST "/v1/endpoints/{endpoint}/deployedModels/{deployed}:predict", Keyed, vertex::predict),
    route!(GET "/ping", Probe, sagemaker::ping),
    route!(POST "/invocations", Keyed, sagemaker::invocations),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::VertexRoutes;

    #[test]
    fn routes_of_one_path_are_adjacent() {
        let unset = VertexRoutes::default();
        let paths: Vec<&str> = TABLE.resources(&unset).map(|(path, _)| path).collect();
        for (index, path) in paths.iter().enumerate() {
            assert!(!paths[..index].contains(path), "{path}");
        }
    }

    #[test]
    fn a_route_has_the_api_of_its_prefix() {
        for (path, routes) in TABLE.resources(&VertexRoutes::default()) {
            for route in routes {
                let api_of_prefix = TABLE.api(path).unwrap_or(route.api);
                assert_eq!(api_of_prefix.tag, route.api.tag, "{path}");
            }
        }
    }

    #[test]
    fn parameters_of_open_routes_are_whole_segments() {
        let open = ROUTES.iter().filter(|route| route.access != Keyed);
        for segment in open.filter_map(|route| route.path.fixed()).flat_map(|path| path.split('/'))
        {
            let is_parameter = segment.starts_with('{') && segment.ends_with('}');
            assert!(is_parameter || !segment.contains('{'), "{segment}");
        }
    }
}
