//! The OpenAPI document. paperclip reads the operations from the handlers; the route table adds to each what
//! it can't know: access, groups, and requests and responses that follow from the model's signature, with
//! examples that the model has computed.

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

/// Returns the document, which is made when it is first requested: a start need not wait for it.
pub(crate) fn document(state: &State) -> Bytes {
    let make = || {
        let routes = documented(state);
        let mut document = String::new();
        let app = App::new().wrap_api_with_spec(info(state.model.signature()));
        let app = app.configure(|config| register(config, &routes));
        drop(app.with_raw_json_spec_v3(|api, operations| {
            document = complete(operations, &routes, state).to_string();
            api
        }));
        document.into()
    };
    state.document.get_or_init(make).clone()
}

/// A route and its path in the document.
struct Documented {
    path: String,
    route: &'static Route,
    endpoint: &'static Endpoint,
    operation: fn(&ServedModel<'_>) -> Operation,
}

/// Returns the routes that the document has. A path that Vertex AI chose hides a later route's.
fn documented(state: &State) -> Vec<Documented> {
    let mut paths = HashSet::new();
    let resources = state.table.resources(&state.vertex).filter(|(path, _)| paths.insert(*path));
    let routes = resources.flat_map(|(path, routes)| routes.iter().map(move |route| (path, route)));
    let documented = |(path, route): (&str, &'static Route)| {
        let endpoint = route.endpoint.as_ref()?;
        Some(Documented { path: path.to_owned(), route, endpoint, operation: endpoint.operation? })
    };
    routes.filter_map(documented).collect()
}

fn register(config: &mut ServiceConfig, routes: &[Documented]) {
    for routes in routes.chunk_by(|one, other| one.path == other.path) {
        let of_path = resource(&routes[0].path);
        let described = routes.iter().map(|route| (route.endpoint.described)());
        config.service(described.fold(of_path, |resource, route| resource.route(route)));
    }
}

/// Returns title, version and description.
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

/// Completes the document that paperclip has made of the routes.
fn complete(mut document: Value, routes: &[Documented], state: &State) -> Value {
    let signature = state.model.signature();
    let served = ServedModel { model: &state.model, signature, limits: state.limits };
    let mut ids = HashSet::new();
    for (path, methods) in members(&mut document["paths"]) {
        for (method, operation) in members(methods) {
            let found = routes.iter().find(|documented| {
                documented.path == *path
                    && documented.endpoint.method.as_str().eq_ignore_ascii_case(method)
            });
            let Some(Documented { route, operation: describes, .. }) = found else { continue };
            add(operation, describes(&served), route, &state.access);
            let parameters = path_parameters(path, signature);
            if !parameters.is_empty() {
                operation["parameters"] = parameters.into();
            }
            // Some handlers have several paths.
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

/// Adds to an operation of paperclip's.
fn add(operation: &mut Value, description: Operation, route: &Route, access: &Access) {
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
        // paperclip keeps the line breaks of a doc comment.
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        operation["description"] = json!(lines.join(" "));
    }
}

fn components(served: &ServedModel<'_>, state: &State) -> Value {
    let mut schemas = Map::new();
    for api in state.table.apis {
        let named = (api.schemas)(served);
        schemas.extend(named.into_iter().map(|(name, schema)| (name.to_owned(), schema)));
    }
    schemas.insert("Problem".into(), responses::problem_schema());
    schemas.insert("Refusal".into(), responses::refusal_schema());
    let mut components = json!({ "schemas": schemas });
    if !state.access.keys.is_empty() {
        components["securitySchemes"] = json!({
            "bearer": { "type": "http", "scheme": "bearer" },
            "apiKey": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
        });
    }
    components
}

fn members(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flatten()
}

/// Returns the parameters that a path names.
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
    if signature.features.len() <= LISTED_FEATURES {
        parts.push(features_table(signature));
    }
    parts.join("\n\n")
}

/// Maximum number of features that the description lists: a longer table would push the routes out of sight.
const LISTED_FEATURES: usize = 30;

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
