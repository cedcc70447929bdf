//! The routes.

const GET: &str = "GET, HEAD";
const POST: &str = "POST";

/// The routes, for what is served and for what describes it: paperclip describes each route when it is
/// registered, which a start need not wait for.
macro_rules! routes {
    ($web:path, $config:path, $resource:path) => {
        use super::super::{docs, health, instances, monitoring, oip, predict};
        use super::{GET, POST};
        use crate::config::VertexRoutes;
        use $config as Config;
        use $resource as Resource;
        use $web as web;

        /// They come first: what they name is Vertex AI's, even if it is another route's too.
        fn register_vertex(
            config: &mut Config,
            vertex: &VertexRoutes,
            resource: impl Fn(&str, &'static str) -> Resource,
        ) {
            if let Some(path) = &vertex.predict {
                config.service(resource(path, POST).route(web::post().to(instances::vertex)));
            }
            if let Some(path) = &vertex.health {
                config.service(resource(path, GET).route(web::get().to(health::live)));
            }
        }

        /// `resource` makes one of a path and the methods that it will have routes for, `none` one of a
        /// pattern that nothing is found at.
        fn register(
            config: &mut Config,
            resource: impl Fn(&str, &'static str) -> Resource,
            none: impl Fn(&str) -> Resource,
        ) {
            config
                .service(
                    resource("/predict", "GET, HEAD, POST")
                        .route(web::get().to(predict::predict_query))
                        .route(web::post().to(predict::predict)),
                )
                .service(
                    resource("/predict_file", POST).route(web::post().to(predict::predict_file)),
                )
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
                .service(
                    resource("/v2/repository/index", POST).route(web::post().to(oip::repository)),
                )
                .service(
                    resource("/v2/repository/models/{model}/load", POST)
                        .route(web::post().to(oip::load)),
                )
                .service(
                    resource("/v2/repository/models/{model}/unload", POST)
                        .route(web::post().to(oip::load)),
                );
            for model in [model, version] {
                config
                    .service(
                        resource(&format!("{model}/infer"), POST).route(web::post().to(oip::infer)),
                    )
                    .service(resource(model, GET).route(web::get().to(oip::model)))
                    .service(
                        resource(&format!("{model}/ready"), GET)
                            .route(web::get().to(oip::model_ready)),
                    )
                    .service(
                        resource(&format!("{model}/config"), GET).route(web::get().to(oip::config)),
                    )
                    .service(
                        resource(&format!("{model}/stats"), GET)
                            .route(web::get().to(oip::model_stats)),
                    );
            }
            config.service(resource("/v1/models", GET).route(web::get().to(instances::models)));
            for model in ["/v1/models/{model}", "/v1/models/{model}/versions/{version}"] {
                config
                    .service(
                        resource(&format!("{model}:predict"), POST)
                            .route(web::post().to(instances::predict)),
                    )
                    // `{model}` would take in TensorFlow Serving's other verbs.
                    .service(none(&format!("{model}:{{verb}}")))
                    .service(resource(model, GET).route(web::get().to(instances::model)));
            }
            config
                .service(
                    resource("/v1/endpoints/{endpoint}/deployedModels/{deployed}:predict", POST)
                        .route(web::post().to(instances::vertex)),
                )
                .service(resource("/ping", GET).route(web::get().to(instances::ping)))
                .service(
                    resource("/invocations", POST).route(web::post().to(instances::invocations)),
                );
        }
    };
}

pub mod served {
    use crate::http::router::Router;
    use crate::metrics::Metrics;

    routes!(crate::http::router, crate::http::router::Router, crate::http::router::Resource);

    pub fn router(metrics: &Metrics, vertex: &VertexRoutes, model: &str) -> Router {
        let resource_of = |pattern: &str, path: &str, methods| {
            Resource::new(path, metrics.route(pattern, vertex), methods)
        };
        let resource = |path: &str, methods| resource_of(path, path, methods);
        let mut router = Router::new();
        register_vertex(&mut router, vertex, resource);
        // The model's own paths count as the patterns that they are cases of, but need not be matched.
        let own = |pattern: &str| resource_of(pattern, &pattern.replace("{model}", model), POST);
        router
            .service(own("/v2/models/{model}/infer").route(web::post().to(oip::infer)))
            .service(own("/v1/models/{model}:predict").route(web::post().to(instances::predict)));
        register(&mut router, resource, Resource::none);
        router
    }
}

pub mod described {
    routes!(
        paperclip::actix::web,
        paperclip::actix::web::ServiceConfig,
        paperclip::actix::web::Resource
    );

    pub fn describe(config: &mut Config, vertex: &VertexRoutes) {
        register_vertex(config, vertex, |path, _| web::resource(path));
        register(config, |path, _| web::resource(path), web::resource);
    }
}
