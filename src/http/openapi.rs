//! The OpenAPI document: paperclip tells which operations the routes have, the model's signature
//! tells what goes in and out, and the model itself answers the examples.

mod protocols;
mod schema;

use crate::config::Limits;
use crate::error::{Busy, Error};
use crate::http::State;
use crate::http::guard;
use crate::http::negotiate::Format;
use crate::http::problem::{self, Problem};
use crate::protocol::answer::Answer;
use crate::protocol::features;
use ml_app_model::{Model, Signature, Task, TensorSpec, Tensors};
use paperclip::v2::models::{DefaultApiRaw, Info};
use schema::{content, reference};
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// Title, version and description, before any route is known.
pub fn info(signature: &Signature) -> DefaultApiRaw {
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

/// Completes the document paperclip made of the routes.
pub fn document(mut operations: Value, state: &State) -> String {
    let signature = state.model.signature();
    let describe = Describe { model: &state.model, signature, limits: state.limits };
    if let Some(paths) = operations["paths"].as_object_mut() {
        // The same as without the slash.
        paths.shift_remove("/v2/");
    }
    let mut ids = HashSet::new();
    for (path, methods) in members(&mut operations["paths"]) {
        for (_, operation) in members(methods) {
            let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
            for (key, value) in describe.operation(&id) {
                operation[key] = value;
            }
            let parameters = protocols::path_parameters(path, signature);
            if !parameters.is_empty() {
                operation["parameters"] = parameters.into();
            }
            // Some operations have several paths.
            let mut unique = id.clone();
            while !ids.insert(unique.clone()) {
                unique.push_str("_again");
            }
            operation["operationId"] = unique.into();
            if !state.access.keys.is_empty() && !guard::is_public(path, state) {
                operation["security"] = json!([{ "bearer": [] }, { "apiKey": [] }]);
                operation["responses"]["401"] =
                    schema::unauthorized(problem::is_plain(path, state));
            }
            if let Some(text) = operation["description"].as_str() {
                // The lines of a doc comment.
                let lines: Vec<&str> = text.lines().map(str::trim).collect();
                operation["description"] = json!(lines.join(" "));
            }
        }
    }
    operations["components"] = json!({ "schemas": describe.schemas() });
    if !state.access.keys.is_empty() {
        operations["components"]["securitySchemes"] = json!({
            "bearer": { "type": "http", "scheme": "bearer" },
            "apiKey": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
        });
    }
    operations["tags"] = json!([
        { "name": "prediction", "description": "Rows of named features in, predictions out." },
        { "name": protocols::OIP, "description": "Triton's, KServe's and MLServer's clients." },
        { "name": protocols::V1, "description": "`instances` in, `predictions` out." },
        { "name": protocols::VERTEX, "description": "The contract of its custom containers." },
        { "name": protocols::SAGEMAKER, "description": "The contract of its containers." },
        { "name": "health", "description": "For the probes of Kubernetes and load balancers." },
        { "name": "monitoring", "description": "For Prometheus and what reads its format." },
        { "name": "documentation", "description": "What you are reading." },
    ]);
    operations.to_string()
}

fn members(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flatten()
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

/// More would push the routes out of sight.
const LISTED_FEATURES: usize = 30;

/// The features as Markdown.
fn features_table(signature: &Signature) -> String {
    let mut table = "| Feature | Type | |\n|---|---|---|".to_owned();
    for feature in &signature.features {
        let (declared, summary) = (feature.declared(), feature.summary().unwrap_or_default());
        let row = [format!("`{}`", feature.name), declared, summary]
            .map(|cell| cell.replace('|', "\\|").replace('\n', " "));
        table.push_str(&format!("\n| {} |", row.join(" | ")));
    }
    table
}

struct Describe<'a> {
    model: &'a Model,
    signature: &'a Signature,
    limits: Limits,
}

type Members = Vec<(&'static str, Value)>;

impl Describe<'_> {
    /// What paperclip cannot know of an operation.
    fn operation(&self, id: &str) -> Members {
        match id {
            "predict_query" => vec![
                ("parameters", self.signature.features.iter().map(schema::parameter).collect()),
                ("responses", self.responses(&[(Format::Json, "Prediction")], &[406, 422])),
            ],
            "predict" => vec![
                ("requestBody", self.predict_body()),
                (
                    "responses",
                    self.responses(
                        &[
                            (Format::Json, "Answer"),
                            (Format::Csv, "Table"),
                            (Format::Ndjson, "Lines"),
                        ],
                        &[400, 406, 408, 413, 415, 422, 503],
                    ),
                ),
            ],
            "predict_file" => vec![
                ("requestBody", schema::file_body()),
                (
                    "responses",
                    self.responses(
                        &[
                            (Format::Json, "Predictions"),
                            (Format::Csv, "Table"),
                            (Format::Ndjson, "Lines"),
                        ],
                        &[400, 406, 408, 413, 415, 422, 503],
                    ),
                ),
            ],
            "live" => vec![("responses", schema::flag("live", "The process answers."))],
            "ready" => {
                let ready = schema::flag("ready", "The model is loaded and has answered.");
                let ready = schema::until_drained(ready, &json!({ "ready": false }));
                vec![("responses", ready)]
            }
            "metrics" => vec![(
                "responses",
                content(
                    "One sample a line.",
                    json!({ "text/plain": { "schema": { "type": "string" } } }),
                ),
            )],
            "openapi" => vec![(
                "responses",
                content(
                    "This document.",
                    json!({ "application/json": { "schema": { "type": "object" } } }),
                ),
            )],
            "apidocs" => vec![("responses", content("A page.", page()))],
            "index" => {
                let mut body = page();
                body["application/json"] = json!({
                    "schema": { "type": "object" }, "example": { "status": "alive" },
                });
                vec![("responses", content("A page, or that the server is alive.", body))]
            }
            id => protocols::operation(id, self),
        }
    }

    fn schemas(&self) -> Value {
        let mut schemas = self.named_schemas();
        for (name, schema) in protocols::schemas(self.signature) {
            schemas[name] = schema;
        }
        schemas
    }

    fn named_schemas(&self) -> Value {
        let features = &self.signature.features;
        let values: Map<String, Value> =
            features.iter().map(|feature| (feature.name.clone(), schema::value(feature))).collect();
        let lists: Map<String, Value> = features
            .iter()
            .map(|feature| {
                let list =
                    json!({ "type": "array", "minItems": 1, "items": schema::value(feature) });
                (feature.name.clone(), list)
            })
            .collect();
        json!({
            "Row": schema::features("The features of one row.", values, features),
            "Columns": schema::features(
                "For each feature its values, all of one length.",
                lists,
                features,
            ),
            "Prediction": self.prediction(&|schema| schema),
            "Predictions": {
                "type": "array",
                "description": "A prediction for each row, in the order of the rows.",
                "items": reference("Prediction"),
            },
            "PredictionColumns": self.prediction(&|schema| json!({ "type": "array", "items": schema })),
            "Answer": {
                "description": "In the shape of the question.",
                "anyOf": [reference("Prediction"), reference("Predictions"), reference("PredictionColumns")],
            },
            "Table": {
                "type": "string",
                "description": "The rows of the question with the prediction appended.",
            },
            "Lines": {
                "type": "string",
                "description": "A `Prediction` on each line, in the order of the rows.",
            },
            "Problem": schema::problem_schema(),
        })
    }

    /// `wrap` makes the schema of a value that of what stands in its place.
    fn prediction(&self, wrap: &dyn Fn(Value) -> Value) -> Value {
        let outputs = &self.signature.outputs;
        let mut properties = Map::new();
        match &self.signature.task {
            Task::Classification { label, scores, classes, meaning } => {
                properties.insert("prediction".into(), wrap(self.label(&outputs[*label])));
                let score = schema::element(outputs[*scores].datatype);
                let scores: Map<String, Value> =
                    classes.iter().map(|class| (class.clone(), wrap(score.clone()))).collect();
                let scores = json!({
                    "type": "object",
                    "description": "By class.",
                    "properties": scores,
                    "required": classes,
                    "additionalProperties": false,
                });
                properties.insert(meaning.plural().into(), scores);
            }
            Task::Other if outputs.len() == 1 => {
                properties.insert("prediction".into(), wrap(schema::output(&outputs[0])));
            }
            Task::Other => {
                let names: Vec<&str> = outputs.iter().map(|output| output.name.as_str()).collect();
                let values: Map<String, Value> = outputs
                    .iter()
                    .map(|spec| (spec.name.clone(), wrap(schema::output(spec))))
                    .collect();
                let values = json!({
                    "type": "object",
                    "properties": values,
                    "required": names,
                    "additionalProperties": false,
                });
                properties.insert("prediction".into(), values);
            }
        }
        let required: Vec<&String> = properties.keys().collect();
        json!({
            "type": "object",
            "required": required,
            "properties": properties,
            "additionalProperties": false,
        })
    }

    fn label(&self, spec: &TensorSpec) -> Value {
        let mut schema = schema::element(spec.datatype);
        let meanings: Vec<String> = self
            .signature
            .class_meanings
            .iter()
            .map(|(class, meaning)| format!("{class}: {meaning}"))
            .collect();
        if !meanings.is_empty() {
            schema["description"] = json!(meanings.join(", "));
        }
        schema
    }

    fn predict_body(&self) -> Value {
        let row = example_row(self.signature);
        let columns: Map<String, Value> =
            row.iter().map(|(name, value)| (name.clone(), json!([value, value]))).collect();
        let csv = example_csv(self.signature);
        let line = Value::from(row.clone()).to_string();
        json!({
            "required": true,
            "content": {
                "application/json": {
                    "schema": {
                        "anyOf": [
                            reference("Row"),
                            { "type": "array", "minItems": 1, "items": reference("Row") },
                            reference("Columns"),
                        ],
                    },
                    "examples": {
                        "row": { "summary": "One row", "value": row },
                        "rows": { "summary": "Rows", "value": [row, row] },
                        "columns": { "summary": "Columns", "value": columns },
                    },
                },
                "text/csv": {
                    "schema": { "type": "string", "description": "A header row that names the columns, then the rows." },
                    "example": csv,
                },
                "application/x-ndjson": {
                    "schema": { "type": "string", "description": "A `Row` on each line." },
                    "example": format!("{line}\n{line}\n"),
                },
            },
        })
    }

    /// 200 in some formats, and problems.
    fn responses(&self, formats: &[(Format, &str)], problems: &[u16]) -> Value {
        let mut body = Map::new();
        for (format, schema) in formats {
            let mut media = json!({ "schema": reference(schema) });
            if let Some(example) = self.answer(*format, schema) {
                media["example"] = example;
            }
            body.insert(format.media_type().to_owned(), media);
        }
        let tables = formats.iter().any(|(format, _)| *format == Format::Csv);
        let mut responses = content("Predictions.", Value::from(body));
        if tables {
            responses["200"]["headers"] = schema::ignored_columns();
        }
        for status in problems {
            let problem = self.problem(*status);
            let description = match status {
                400 => "The body is not what it claims to be, or ended early.",
                406 => "None of the formats that `Accept` asks for can be given.",
                408 => "The body did not come in time.",
                413 => "The body is larger than this server takes.",
                415 => "The body is in a format that cannot be read.",
                503 => schema::BUSY,
                _ => {
                    "Rows or features are missing, unknown or malformed, or have values that do not fit."
                }
            };
            responses[status.to_string()] = json!({
                "description": description,
                "content": {
                    problem::CONTENT_TYPE: { "schema": reference("Problem"), "example": problem },
                },
            });
        }
        schema::retry_after(&mut responses);
        responses
    }

    /// An example of the problem with this status.
    fn problem(&self, status: u16) -> Option<Problem> {
        let error = match status {
            400 => features::decode(b"{", self.signature, usize::MAX).err()?,
            406 => Error::NotAcceptable {
                offered: Format::Json.media_type().into(),
                wanted: "image/png".into(),
            },
            408 => Error::TooSlow { seconds: self.limits.request_timeout.as_secs() },
            413 => Error::TooLarge { limit: self.limits.max_body },
            503 => Error::Busy(Busy::InFlight { limit: self.limits.max_in_flight }),
            415 => Error::UnsupportedFormat {
                expected: Format::Json.media_type().into(),
                found: "text/plain".into(),
            },
            _ => features::decode(b"{}", self.signature, usize::MAX).err()?,
        };
        Some(Problem::from(error))
    }

    /// What the model answers to the example.
    fn answer(&self, format: Format, schema: &str) -> Option<Value> {
        let csv = example_csv(self.signature);
        let (outputs, csv) = self.run(&csv).zip(Some(csv))?;
        let answer = Answer::new(self.signature, &outputs);
        let mut text = vec![];
        match format {
            Format::Csv => text = crate::protocol::csv::append(csv.as_bytes(), &answer).ok()?,
            Format::Json | Format::Ndjson => answer.object(&mut text, 0),
        }
        let text = String::from_utf8(text).ok()?;
        match (format, schema) {
            (Format::Json, "Predictions") => {
                Some(json!([serde_json::from_str::<Value>(&text).ok()?]))
            }
            (Format::Json, _) => serde_json::from_str(&text).ok(),
            (Format::Csv, _) => Some(json!(text)),
            (Format::Ndjson, _) => Some(json!(text + "\n")),
        }
    }

    fn run(&self, csv: &str) -> Option<Tensors> {
        let (inputs, _) =
            crate::protocol::csv::decode(csv.as_bytes(), self.signature, usize::MAX).ok()?;
        self.model.run(inputs).ok()
    }
}

fn page() -> Value {
    json!({ "text/html": { "schema": { "type": "string" } } })
}

fn example_row(signature: &Signature) -> Map<String, Value> {
    let features = signature.features.iter();
    features.map(|feature| (feature.name.clone(), feature.example())).collect()
}

fn example_csv(signature: &Signature) -> String {
    let quoted = |text: String| match text.contains([',', '"', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    };
    let names = signature.features.iter().map(|feature| quoted(feature.name.clone()));
    let cells = signature.features.iter().map(|feature| match &feature.example() {
        Value::String(text) => quoted(text.clone()),
        Value::Null => String::new(),
        other => quoted(other.to_string()),
    });
    format!("{}\n{}\n", names.collect::<Vec<_>>().join(","), cells.collect::<Vec<_>>().join(","))
}
