//! The Swagger page and the document it shows. Every asset is in the binary.

use crate::http::negotiate::{Coding, wants_page};
use crate::http::openapi::document as openapi_document;
use crate::http::problem;
use crate::http::problem::ErrorFormat;
use crate::http::route::Api;
use crate::http::state::State;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use flate2::read::GzDecoder;
use paperclip::actix::api_v2_operation;
use std::io::Read;

pub(crate) static API: Api = Api {
    tag: "documentation",
    description: "What you are reading.",
    protocol: None,
    errors: ErrorFormat::Problem,
    prefixes: &[],
    schemas: |_| vec![],
};

/// The OpenAPI document
#[api_v2_operation(operation_id = "openapi")]
pub(crate) async fn document(state: web::Data<State>) -> HttpResponse {
    // The first time the model answers the examples.
    match web::block(move || openapi_document(&state)).await {
        Ok(document) => HttpResponse::Ok().content_type("application/json").body(document),
        Err(error) => HttpResponse::ServiceUnavailable().body(error.to_string()),
    }
}

/// The Swagger page
#[api_v2_operation(operation_id = "apidocs")]
pub(crate) async fn page(state: web::Data<State>) -> HttpResponse {
    html(include_str!("docs/page.html"), &state)
}

/// The way to the Swagger page, or a sign of life
///
/// The page for browsers, `{"status": "alive"}` for others, as KServe's v1 has it. Not a redirect: load
/// balancers ask for `/` and want a 200.
#[api_v2_operation(operation_id = "index")]
pub(crate) async fn index(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    let mut response = match wants_page(request.headers()) {
        true => html(include_str!("docs/index.html"), &state),
        false => HttpResponse::Ok().json(serde_json::json!({ "status": "alive" })),
    };
    let vary = header::HeaderValue::from_static("accept");
    response.headers_mut().insert(header::VARY, vary);
    response
}

/// A file of the Swagger page.
#[api_v2_operation(skip)]
pub(crate) async fn asset(request: HttpRequest) -> HttpResponse {
    let (content_type, gzip): (_, &'static [u8]) = match request.match_info().query("asset") {
        "swagger-ui.css" => {
            ("text/css", include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css.gz")))
        }
        "swagger-ui-bundle.js" => (
            "text/javascript",
            include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js.gz")),
        ),
        "page.js" => {
            let script = include_str!("docs/page.js");
            return secured(HttpResponse::Ok()).content_type("text/javascript").body(script);
        }
        "" => {
            return HttpResponse::PermanentRedirect()
                .insert_header((header::LOCATION, "../apidocs"))
                .finish();
        }
        _ => return problem::not_found(&request, API.errors),
    };
    let mut response = secured(HttpResponse::Ok());
    response.content_type(content_type).insert_header((header::VARY, "accept-encoding"));
    if Coding::of_answer(request.headers()) == Coding::Gzip {
        return response.insert_header((header::CONTENT_ENCODING, "gzip")).body(gzip);
    }
    let mut plain = vec![];
    match GzDecoder::new(gzip).read_to_end(&mut plain) {
        Ok(_) => response.body(plain),
        Err(error) => {
            log::error!("an embedded asset cannot be inflated: {error}");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// `template` with the model's name for its title.
fn html(template: &str, state: &State) -> HttpResponse {
    let page = template.replace("{title}", &escaped(&state.model.signature().name));
    secured(HttpResponse::Ok()).content_type("text/html; charset=utf-8").body(page)
}

/// With headers that keep a browser from doing more than the page needs: its own files, and styles that
/// Swagger UI writes into its elements.
fn secured(mut response: HttpResponseBuilder) -> HttpResponseBuilder {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                          img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
                          form-action 'none'; frame-ancestors 'none'";
    response
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::X_FRAME_OPTIONS, "DENY"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header(("cross-origin-opener-policy", "same-origin"))
        .insert_header(("cross-origin-resource-policy", "same-origin"));
    response
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

/// The OpenAPI document of the handlers.
pub(crate) mod openapi {
    use crate::http::openapi::describe::{Describe, Operation};
    use crate::http::openapi::responses;
    use serde_json::json;

    pub(crate) fn document(_: &Describe<'_>) -> Operation {
        let document = json!({ responses::JSON: { "schema": { "type": "object" } } });
        Operation::new(responses::content("This document.", document))
    }

    pub(crate) fn page(_: &Describe<'_>) -> Operation {
        Operation::new(responses::content("A page.", responses::page()))
    }

    pub(crate) fn index(_: &Describe<'_>) -> Operation {
        let mut body = responses::page();
        body[responses::JSON] = json!({
            "schema": { "type": "object" }, "example": { "status": "alive" },
        });
        Operation::new(responses::content("A page, or that the server is alive.", body))
    }
}
