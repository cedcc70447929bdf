//! The routes of the Swagger page and of the OpenAPI document. The binary contains all files of the page.

use crate::http::negotiate::{ContentCoding, prefers_html};
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
    description: "This documentation.",
    protocol: None,
    errors: ErrorFormat::Problem,
    prefixes: &[],
    schemas: |_| vec![],
};

/// Get the OpenAPI document
#[api_v2_operation(operation_id = "openapi")]
pub(crate) async fn document(state: web::Data<State>) -> HttpResponse {
    // The first request builds the document. The model then computes the examples, which may be too slow for an I/O
    // thread.
    match web::block(move || openapi_document(&state)).await {
        Ok(document) => HttpResponse::Ok().content_type("application/json").body(document),
        Err(error) => HttpResponse::ServiceUnavailable().body(error.to_string()),
    }
}

/// Get the Swagger page
#[api_v2_operation(operation_id = "apidocs")]
pub(crate) async fn page(state: web::Data<State>) -> HttpResponse {
    html(include_str!("docs/page.html"), &state)
}

/// Get a page that leads to the documentation
///
/// Browsers get a page that opens the Swagger page. Other clients get `{"status": "alive"}`, as KServe's v1
/// protocol requires. The page is not a redirect because load balancers probe `/` and expect a 200.
#[api_v2_operation(operation_id = "index")]
pub(crate) async fn index(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    let mut response = if prefers_html(request.headers()) {
        html(include_str!("docs/index.html"), &state)
    } else {
        HttpResponse::Ok().json(serde_json::json!({ "status": "alive" }))
    };
    let vary = header::HeaderValue::from_static("accept");
    response.headers_mut().insert(header::VARY, vary);
    response
}

/// Returns a file of the Swagger page.
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
            return with_security_headers(HttpResponse::Ok())
                .content_type("text/javascript")
                .body(script);
        }
        "" => {
            return HttpResponse::PermanentRedirect()
                .insert_header((header::LOCATION, "../apidocs"))
                .finish();
        }
        _ => return problem::not_found(&request, API.errors),
    };
    let mut response = with_security_headers(HttpResponse::Ok());
    response.content_type(content_type).insert_header((header::VARY, "accept-encoding"));
    if ContentCoding::for_response(request.headers()) == ContentCoding::Gzip {
        return response.insert_header((header::CONTENT_ENCODING, "gzip")).body(gzip);
    }
    let mut decompressed = vec![];
    match GzDecoder::new(gzip).read_to_end(&mut decompressed) {
        Ok(_) => response.body(decompressed),
        Err(error) => {
            log::error!("cannot decompress an embedded asset: {error}");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// Returns a page. `template` is the HTML of the page, in which `{title}` is replaced by the model's name.
fn html(template: &str, state: &State) -> HttpResponse {
    let page = template.replace("{title}", &escape_html(&state.model.signature().name));
    with_security_headers(HttpResponse::Ok()).content_type("text/html; charset=utf-8").body(page)
}

/// Adds security headers. The page may load only files of this server, and data URLs for images. Inline styles are
/// allowed, because Swagger UI sets inline styles on its elements.
fn with_security_headers(mut response: HttpResponseBuilder) -> HttpResponseBuilder {
    /// The Content-Security-Policy of the pages.
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

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

/// Descriptions of the handlers for the OpenAPI document.
pub(crate) mod openapi {
    use crate::http::openapi::operation::{Operation, ServedModel};
    use crate::http::openapi::responses;
    use serde_json::json;

    pub(crate) fn document(_: &ServedModel<'_>) -> Operation {
        let document = json!({ responses::JSON: { "schema": { "type": "object" } } });
        Operation::new(responses::content("The OpenAPI document.", document))
    }

    pub(crate) fn page(_: &ServedModel<'_>) -> Operation {
        Operation::new(responses::content("An HTML page.", responses::page()))
    }

    pub(crate) fn index(_: &ServedModel<'_>) -> Operation {
        let mut body = responses::page();
        body[responses::JSON] = json!({
            "schema": { "type": "object" }, "example": { "status": "alive" },
        });
        Operation::new(responses::content("An HTML page, or the server's status.", body))
    }
}
