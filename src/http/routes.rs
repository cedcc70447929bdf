//! The routes.

const GET: &str = "GET, HEAD";
const POST: &str = "POST";

/// The routes, for what is served and for what describes it: paperclip describes each route when it is
/// registered, which a start need not wait for.
macro_rules! routes {
    ($web:path, $resource:path) => {
        use super::super::{docs, health, instances, monitoring, oip, predict, problem};
        use super::{GET, POST};
        use crate::http::State;
        use $web as web;

        /// At `path`, which is counted with all that match `pattern`; `methods` are those it will have
        /// routes for.
        fn resource_of(
            state: &State,
            pattern: &str,
            path: &str,
            methods: &'static str,
        ) -> $resource {
            web::resource(path)
                .app_data(state.metrics.route(pattern, &state.vertex))
                .default_service(problem::method_not_allowed(methods))
        }

        fn resource(state: &State, path: &str, methods: &'static str) -> $resource {
            resource_of(state, path, path, methods)
        }

        /// They come first: what they name is Vertex AI's, even if it is another route's too.
        pub fn register_vertex(config: &mut web::ServiceConfig, state: &State) {
            let resource = |path: &str, methods| resource(state, path, methods);
            if let Some(path) = &state.vertex.predict {
                config.service(resource(path, POST).route(web::post().to(instances::vertex)));
            }
            if let Some(path) = &state.vertex.health {
                config.service(resource(path, GET).route(web::get().to(health::live)));
            }
        }

        pub fn register(config: &mut web::ServiceConfig, state: &State) {
            let resource = |path: &str, methods| resource(state, path, methods);
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
                    .service(
                        web::resource(&format!("{model}:{{verb}}"))
                            .default_service(actix_web::web::to(problem::not_found)),
                    )
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
    routes!(actix_web::web, actix_web::Resource);

    /// The model's own paths, before the patterns that they are cases of: actix-web tries one after the
    /// other, each by a regular expression, which takes more than the prediction itself.
    pub fn register_model(config: &mut web::ServiceConfig, state: &State) {
        let name = &state.model.signature().name;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if !name.bytes().all(is_plain) {
            return;
        }
        let resource =
            |pattern: &str| resource_of(state, pattern, &pattern.replace("{model}", name), POST);
        config
            .service(resource("/v2/models/{model}/infer").route(web::post().to(oip::infer)))
            .service(
                resource("/v1/models/{model}:predict").route(web::post().to(instances::predict)),
            );
    }
}

pub mod described {
    routes!(paperclip::actix::web, paperclip::actix::web::Resource);
}
