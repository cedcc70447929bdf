//! The documentation of [features](super): schemas of the model's features and predictions, and examples
//! that the model has computed.

use crate::error::{Busy, Error};
use crate::http::openapi::describe::{Describe, Operation, Schemas};
use crate::http::openapi::responses::{self, content};
use crate::http::openapi::schema::{self, reference};
use crate::http::problem::{self, Problem};
use crate::protocol::predictions::Predictions;
use crate::protocol::{WireFormat, csv, features};
use ml_app_model::{Task, TensorSpec};
use serde_json::{Map, Value, json};

/// The statuses of errors that the prediction of a body can end with.
const ERRORS: &[u16] = &[400, 406, 408, 413, 415, 422, 503];

pub(crate) fn predict_query(describe: &Describe<'_>) -> Operation {
    Operation {
        parameters: describe.signature.features.iter().map(schema::parameter).collect(),
        responses: responses(describe, &[(WireFormat::Json, "Prediction")], &[406, 422]),
        ..Operation::default()
    }
}

pub(crate) fn predict(describe: &Describe<'_>) -> Operation {
    let formats =
        [(WireFormat::Json, "Answer"), (WireFormat::Csv, "Table"), (WireFormat::Ndjson, "Lines")];
    Operation {
        request_body: Some(body(describe)),
        responses: responses(describe, &formats, ERRORS),
        ..Operation::default()
    }
}

pub(crate) fn predict_file(describe: &Describe<'_>) -> Operation {
    let formats = [
        (WireFormat::Json, "Predictions"),
        (WireFormat::Csv, "Table"),
        (WireFormat::Ndjson, "Lines"),
    ];
    Operation {
        request_body: Some(file_body()),
        responses: responses(describe, &formats, ERRORS),
        ..Operation::default()
    }
}

pub(crate) fn schemas(describe: &Describe<'_>) -> Schemas {
    let features = &describe.signature.features;
    let values: Map<String, Value> =
        features.iter().map(|feature| (feature.name.clone(), schema::value(feature))).collect();
    let lists: Map<String, Value> = features
        .iter()
        .map(|feature| {
            let list = json!({ "type": "array", "minItems": 1, "items": schema::value(feature) });
            (feature.name.clone(), list)
        })
        .collect();
    vec![
        ("Row", schema::features("The features of one row.", values, features)),
        (
            "Columns",
            schema::features("For each feature its values, all of one length.", lists, features),
        ),
        ("Prediction", prediction(describe, &|schema| schema)),
        (
            "Predictions",
            json!({
                "type": "array",
                "description": "A prediction for each row, in the order of the rows.",
                "items": reference("Prediction"),
            }),
        ),
        (
            "PredictionColumns",
            prediction(describe, &|schema| json!({ "type": "array", "items": schema })),
        ),
        (
            "Answer",
            json!({
                "description": "In the shape of the question.",
                "anyOf": [
                    reference("Prediction"),
                    reference("Predictions"),
                    reference("PredictionColumns"),
                ],
            }),
        ),
        (
            "Table",
            json!({
                "type": "string",
                "description": "The rows of the question with the prediction appended.",
            }),
        ),
        (
            "Lines",
            json!({
                "type": "string",
                "description": "A `Prediction` on each line, in the order of the rows.",
            }),
        ),
    ]
}

/// Returns the schema of a prediction; `wrap` turns the schema of one value into the schema of what
/// stands in its place.
fn prediction(describe: &Describe<'_>, wrap: &dyn Fn(Value) -> Value) -> Value {
    let outputs = &describe.signature.outputs;
    let mut properties = Map::new();
    match &describe.signature.task {
        Task::Classification { label: index, scores, classes, meaning } => {
            properties.insert("prediction".into(), wrap(label(describe, &outputs[*index])));
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

/// Returns the schema of a class label, with the meanings of the classes.
fn label(describe: &Describe<'_>, spec: &TensorSpec) -> Value {
    let mut schema = schema::element(spec.datatype);
    let meanings: Vec<String> = describe
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

fn body(describe: &Describe<'_>) -> Value {
    let row = describe.example_row();
    let columns: Map<String, Value> =
        row.iter().map(|(name, value)| (name.clone(), json!([value, value]))).collect();
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
                "example": describe.example_csv(),
            },
            "application/x-ndjson": {
                "schema": { "type": "string", "description": "A `Row` on each line." },
                "example": format!("{line}\n{line}\n"),
            },
        },
    })
}

fn file_body() -> Value {
    json!({
        "required": true,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "A CSV whose first row names the columns.",
                        },
                    },
                    "required": ["file"],
                },
            },
        },
    })
}

/// Returns the 200 in these formats, each with the name of its schema, and the errors.
fn responses(describe: &Describe<'_>, formats: &[(WireFormat, &str)], errors: &[u16]) -> Value {
    let mut body = Map::new();
    for (format, schema) in formats {
        let mut media = json!({ "schema": reference(schema) });
        if let Some(example) = example(describe, *format, schema) {
            media["example"] = example;
        }
        body.insert(format.media_type().to_owned(), media);
    }
    let mut responses = content("Predictions.", Value::from(body));
    if formats.iter().any(|(format, _)| *format == WireFormat::Csv) {
        responses["200"]["headers"] = json!({
            "Ignored-Columns": {
                "description": "Columns of a CSV that are no feature, where there are any: quoted names, separated by commas.",
                "schema": { "type": "string" },
            },
        });
    }
    for status in errors {
        let description = match status {
            400 => "The body is not what it claims to be, or ended early.",
            406 => "None of the formats that `Accept` asks for can be given.",
            408 => "The body did not come in time.",
            413 => "The body is larger than this server takes.",
            415 => "The body is in a format that cannot be read.",
            503 => responses::BUSY,
            _ => {
                "Rows or features are missing, unknown or malformed, or have values that do not fit."
            }
        };
        responses[status.to_string()] = json!({
            "description": description,
            "content": {
                problem::CONTENT_TYPE: {
                    "schema": reference("Problem"),
                    "example": problem(describe, *status),
                },
            },
        });
    }
    responses::retry_after(&mut responses);
    responses
}

/// Returns an example of the problem with this status.
fn problem(describe: &Describe<'_>, status: u16) -> Option<Problem> {
    let Describe { signature, limits, .. } = describe;
    let error = match status {
        400 => features::decode(b"{", signature, usize::MAX).err()?,
        406 => Error::NotAcceptable {
            offered: WireFormat::Json.media_type().into(),
            wanted: "image/png".into(),
        },
        408 => Error::TooSlow { seconds: limits.request_timeout.as_secs() },
        413 => Error::TooLarge { limit: limits.max_body },
        503 => Error::Busy(Busy::InFlight { limit: limits.max_in_flight }),
        415 => Error::UnsupportedFormat {
            expected: WireFormat::Json.media_type().into(),
            found: "text/plain".into(),
        },
        _ => features::decode(b"{}", signature, usize::MAX).err()?,
    };
    Some(Problem::from(error))
}

/// Returns the model's prediction for the example row.
fn example(describe: &Describe<'_>, format: WireFormat, schema: &str) -> Option<Value> {
    let csv = describe.example_csv();
    let outputs = describe.outputs(&csv)?;
    let answer = Predictions::new(describe.signature, &outputs);
    let mut text = vec![];
    match format {
        WireFormat::Csv => text = csv::append(csv.as_bytes(), &answer).ok()?,
        WireFormat::Json | WireFormat::Ndjson => answer.object(&mut text, 0),
    }
    let text = String::from_utf8(text).ok()?;
    match (format, schema) {
        (WireFormat::Json, "Predictions") => {
            Some(json!([serde_json::from_str::<Value>(&text).ok()?]))
        }
        (WireFormat::Json, _) => serde_json::from_str(&text).ok(),
        (WireFormat::Csv, _) => Some(json!(text)),
        (WireFormat::Ndjson, _) => Some(json!(text + "\n")),
    }
}
