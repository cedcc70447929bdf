//! The OpenAPI document. paperclip derives the operations from the handlers. The route table adds the parts that
//! paperclip cannot derive: groups, access, requests and responses. Requests and responses depend on the model's
//! signature, and the model computes the examples of responses.

pub(crate) mod operation;
pub(crate) mod responses;
pub(crate) mod schema;

use crate::access::Access;
use crate::http::route::{Endpoint, Route};
use crate::http::state::State;
use actix_web::App;
use actix_web::web::Bytes;
use ml_app_model::Signature;
use operation::{Operation, ServedModel};
use paperclip::actix::OpenApiExt;
use paperclip::actix::web::{ServiceConfig, resource};
use paperclip::v2::models::{DefaultApiRaw, Info};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// Returns the document. The first call builds the document, so that the server starts without waiting for it.
pub(crate) fn document(state: &State) -> Bytes {
    let build = || {
        let routes = documented_routes(state);
        let mut document = String::new();
        let app = App::new().wrap_api_with_spec(info(state.model.signature()));
        let app = app.configure(|config| register(config, &routes));
        drop(app.with_raw_json_spec_v3(|api, operations| {
            document = with_route_details(operations, &routes, state).to_string();
            api
        }));
        document.into()
    };
    state.document.get_or_init(build).clone()
}

/// A route in the document, and the path of the route.
struct DocumentedRoute {
    path: String,
    route: &'static Route,
    endpoint: &'static Endpoint,
    /// Returns the parts of the operation that paperclip cannot derive.
    describe: fn(&ServedModel<'_>) -> Operation,
}

/// Returns the documented routes. If Vertex AI chose a path that a later route also has, the later route is left out.
fn documented_routes(state: &State) -> Vec<DocumentedRoute> {
    let mut paths = HashSet::new();
    let resources = state.table.resources(&state.vertex).filter(|(path, _)| paths.insert(*path));
    let routes = resources.flat_map(|(path, routes)| routes.iter().map(move |route| (path, route)));
    let documented = |(path, route): (&str, &'static Route)| {
        let endpoint = route.endpoint.as_ref()?;
        let describe = endpoint.operation?;
        Some(DocumentedRoute { path: path.to_owned(), route, endpoint, describe })
    };
    routes.filter_map(documented).collect()
}

/// Registers the routes with paperclip, as one resource for each path.
fn register(config: &mut ServiceConfig, routes: &[DocumentedRoute]) {
    for routes in routes.chunk_by(|left, right| left.path == right.path) {
        let empty = resource(&routes[0].path);
        let routes = routes.iter().map(|route| (route.endpoint.paperclip_route)());
        config.service(routes.fold(empty, |resource, route| resource.route(route)));
    }
}

/// Returns the title, the version and the description of the document.
fn info(signature: &Signature) -> DefaultApiRaw {
    DefaultApiRaw {
        info: Info {
            title: signature.name.clone(),
            version: signature.version.clone(),
            description: Some(description(signature)),
            ..Info::default()
        },
        ..DefaultApiRaw::default()
    }
}

/// Adds the details from the route table to the document that paperclip has generated.
fn with_route_details(mut document: Value, routes: &[DocumentedRoute], state: &State) -> Value {
    let signature = state.model.signature();
    let served = ServedModel { model: &state.model, signature, limits: state.limits };
    let mut ids = HashSet::new();
    for (path, methods) in members(&mut document["paths"]) {
        for (method, operation) in members(methods) {
            let found = routes.iter().find(|documented| {
                documented.path == *path
                    && documented.endpoint.method.as_str().eq_ignore_ascii_case(method)
            });
            let Some(DocumentedRoute { route, describe, .. }) = found else { continue };
            complete_operation(operation, describe(&served), route, &state.access);
            let parameters = path_parameters(path, signature);
            if !parameters.is_empty() {
                operation["parameters"] = parameters.into();
            }
            // An operation ID must be unique, but some handlers have several paths. Change the ID for the later paths.
            let mut id = operation["operationId"].as_str().unwrap_or_default().to_owned();
            while !ids.insert(id.clone()) {
                id.push_str("_again");
            }
            operation["operationId"] = id.into();
        }
    }
    document["components"] = components(&served, state);
    let tags = state.table.apis.iter();
    document["tags"] =
        tags.map(|api| json!({ "name": api.tag, "description": api.description })).collect();
    document
}

/// Adds the tag, parameters, request body, responses and security to an operation that paperclip has generated.
fn complete_operation(
    operation: &mut Value,
    description: Operation,
    route: &Route,
    access: &Access,
) {
    if let Some(operation) = operation.as_object_mut() {
        operation.shift_insert(0, "tags".into(), json!([route.api.tag]));
    }
    if !description.parameters.is_empty() {
        operation["parameters"] = description.parameters.into();
    }
    if let Some(body) = description.request_body {
        operation["requestBody"] = body;
    }
    operation["responses"] = description.responses;
    if !access.keys.is_empty() && route.access.needs_key(access.scope) {
        operation["security"] = json!([{ "bearer": [] }, { "apiKey": [] }]);
        operation["responses"]["401"] = responses::unauthorized(route.api.errors);
    }
    if let Some(text) = operation["description"].as_str() {
        // paperclip copies the line breaks of a doc comment. Replace them with spaces.
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        operation["description"] = json!(lines.join(" "));
    }
}

/// Returns the components that the operations refer to.
fn components(served: &ServedModel<'_>, state: &State) -> Value {
    let mut schemas = Map::new();
    for api in state.table.apis {
        let schemas_of_api = (api.schemas)(served);
        schemas.extend(schemas_of_api.into_iter().map(|(name, schema)| (name.to_owned(), schema)));
    }
    schemas.insert("Problem".into(), responses::problem_schema());
    schemas.insert("Error".into(), responses::error_schema());
    let mut components = json!({ "schemas": schemas });
    if !state.access.keys.is_empty() {
        components["securitySchemes"] = json!({
            "bearer": { "type": "http", "scheme": "bearer" },
            "apiKey": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
        });
    }
    components
}

/// Returns the members of an object, or no members for any other value.
fn members(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flatten()
}

/// Returns the OpenAPI parameters for the `{parameters}` of a path.
fn path_parameters(path: &str, signature: &Signature) -> Vec<Value> {
    let names = path.split(['{', '}']).skip(1).step_by(2);
    let parameter = |name: &str| {
        let schema = match name {
            "model" => json!({ "type": "string", "enum": [signature.name] }),
            "version" => json!({ "type": "string", "enum": [signature.version] }),
            _ => json!({ "type": "string", "minLength": 1 }),
        };
        let example = match name {
            "model" => &signature.name,
            "version" => &signature.version,
            _ => "1",
        };
        json!({ "name": name, "in": "path", "required": true, "schema": schema, "example": example })
    };
    names.map(parameter).collect()
}

/// Returns the description of the document: the model's description, its classes, metrics and features.
fn description(signature: &Signature) -> String {
    let mut parts: Vec<String> = signature.description.iter().cloned().collect();
    if !signature.class_meanings.is_empty() {
        let classes: Vec<String> = signature
            .class_meanings
            .iter()
            .map(|(class, meaning)| format!("`{class}`: {meaning}"))
            .collect();
        parts.push(format!("Classes: {}.", classes.join(", ")));
    }
    if !signature.metrics.is_empty() {
        let metrics: Vec<String> =
            signature.metrics.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
        parts.push(format!("Measured on held-out data: {}.", metrics.join(", ")));
    }
    if signature.features.len() <= MAX_LISTED_FEATURES {
        parts.push(features_table(signature));
    }
    parts.join("\n\n")
}

/// Maximum number of features in the description. A longer table would push the routes far down the page.
const MAX_LISTED_FEATURES: usize = 30;

/// Returns the features as a Markdown table.
fn features_table(signature: &Signature) -> String {
    let mut table = "| Feature | Type | |\n|---|---|---|".to_owned();
    for feature in &signature.features {
        let (declared, summary) = (feature.kind_and_shape(), feature.summary().unwrap_or_default());
        let row = [format!("`{}`", feature.name), declared, summary]
            .map(|cell| cell.replace('|', "\\|").replace('\n', " "));
        table.push_str(&format!("\n| {} |", row.join(" | ")));
    }
    table
}
