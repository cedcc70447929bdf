//! Descriptions of the [routes for named features](super) for the OpenAPI document, with schemas of the model's
//! features and predictions. The model computes the examples of predictions.

use crate::error::{Busy, Error};
use crate::http::openapi::operation::{Operation, Schemas, ServedModel};
use crate::http::openapi::responses::{self, content};
use crate::http::openapi::schema::{self, reference};
use crate::http::problem::{self, Problem};
use crate::protocol::predictions::Predictions;
use crate::protocol::{WireFormat, csv, features};
use ml_app_model::{Task, TensorSpec};
use serde_json::{Map, Value, json};

/// The statuses of the errors that the routes with a request body can return.
const BODY_ERRORS: &[u16] = &[400, 406, 408, 413, 415, 422, 503];

pub(crate) fn predict_query(served: &ServedModel<'_>) -> Operation {
    Operation {
        parameters: served.signature.features.iter().map(schema::query_parameter).collect(),
        responses: responses(served, &[(WireFormat::Json, "Prediction")], &[406, 422]),
        ..Operation::default()
    }
}

pub(crate) fn predict(served: &ServedModel<'_>) -> Operation {
    let formats = [
        (WireFormat::Json, "PredictResponse"),
        (WireFormat::Csv, "Table"),
        (WireFormat::Ndjson, "Lines"),
    ];
    Operation {
        request_body: Some(body(served)),
        responses: responses(served, &formats, BODY_ERRORS),
        ..Operation::default()
    }
}

pub(crate) fn predict_file(served: &ServedModel<'_>) -> Operation {
    let formats = [
        (WireFormat::Json, "Predictions"),
        (WireFormat::Csv, "Table"),
        (WireFormat::Ndjson, "Lines"),
    ];
    Operation {
        request_body: Some(file_body()),
        responses: responses(served, &formats, BODY_ERRORS),
        ..Operation::default()
    }
}

pub(crate) fn schemas(served: &ServedModel<'_>) -> Schemas {
    let features = &served.signature.features;
    let values: Map<String, Value> = features
        .iter()
        .map(|feature| (feature.name.clone(), schema::value_schema(feature)))
        .collect();
    let lists: Map<String, Value> = features
        .iter()
        .map(|feature| {
            let list =
                json!({ "type": "array", "minItems": 1, "items": schema::value_schema(feature) });
            (feature.name.clone(), list)
        })
        .collect();
    vec![
        ("Row", schema::features_schema("The features of one row.", values, features)),
        (
            "Columns",
            schema::features_schema(
                "The values of each feature. All lists have the same length.",
                lists,
                features,
            ),
        ),
        ("Prediction", prediction(served, &|schema| schema)),
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
            prediction(served, &|schema| json!({ "type": "array", "items": schema })),
        ),
        (
            "PredictResponse",
            json!({
                "description": "Predictions in the layout of the request.",
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
                "description": "The rows of the request, with the prediction appended to each row.",
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

/// Returns the schema of a prediction. `wrap` converts the schema of each value. For predictions as columns, it returns
/// the schema of an array of such values.
fn prediction(served: &ServedModel<'_>, wrap: &dyn Fn(Value) -> Value) -> Value {
    let outputs = &served.signature.outputs;
    let mut properties = Map::new();
    match &served.signature.task {
        Task::Classification { label: index, scores, classes, meaning } => {
            properties.insert("prediction".into(), wrap(label(served, &outputs[*index])));
            let score = schema::element_schema(outputs[*scores].datatype);
            let scores: Map<String, Value> =
                classes.iter().map(|class| (class.clone(), wrap(score.clone()))).collect();
            let scores = json!({
                "type": "object",
                "description": "A number for each class.",
                "properties": scores,
                "required": classes,
                "additionalProperties": false,
            });
            properties.insert(meaning.plural().into(), scores);
        }
        Task::Other if outputs.len() == 1 => {
            properties.insert("prediction".into(), wrap(schema::output_schema(&outputs[0])));
        }
        Task::Other => {
            let names: Vec<&str> = outputs.iter().map(|output| output.name.as_str()).collect();
            let values: Map<String, Value> = outputs
                .iter()
                .map(|spec| (spec.name.clone(), wrap(schema::output_schema(spec))))
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
fn label(served: &ServedModel<'_>, spec: &TensorSpec) -> Value {
    let mut schema = schema::element_schema(spec.datatype);
    let meanings: Vec<String> = served
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

fn body(served: &ServedModel<'_>) -> Value {
    let row = served.example_row();
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
                    "rows": { "summary": "A list of rows", "value": [row, row] },
                    "columns": { "summary": "Columns: the values of each feature", "value": columns },
                },
            },
            "text/csv": {
                "schema": { "type": "string", "description": "A header with the names of the columns, in any order, then the rows." },
                "example": served.example_csv(),
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
                            "description": "A CSV file whose first row contains the names of the columns.",
                        },
                    },
                    "required": ["file"],
                },
            },
        },
    })
}

/// Returns a 200 and the errors with the statuses in `errors`. `formats` contains the formats of the 200, each with the
/// name of its schema.
fn responses(served: &ServedModel<'_>, formats: &[(WireFormat, &str)], errors: &[u16]) -> Value {
    let mut body = Map::new();
    for (format, schema) in formats {
        let mut media = json!({ "schema": reference(schema) });
        if let Some(example) = example(served, *format, schema) {
            media["example"] = example;
        }
        body.insert(format.media_type().to_owned(), media);
    }
    let mut responses = content("Predictions.", Value::from(body));
    if formats.iter().any(|(format, _)| *format == WireFormat::Csv) {
        responses["200"]["headers"] = json!({
            "Ignored-Columns": {
                "description": "Names of the CSV's columns that are not features, quoted and separated by commas. Absent if all columns are features.",
                "schema": { "type": "string" },
            },
        });
    }
    for status in errors {
        let description = match status {
            400 => "The body is not in the format that `Content-Type` declares, or it ended early.",
            406 => "The response cannot have any of the formats that `Accept` allows.",
            408 => "The body did not arrive in time.",
            413 => "The body is larger than this server allows.",
            415 => "The format or compression of the body is not supported.",
            503 => responses::BUSY,
            _ => "Rows or features are missing, unknown or invalid.",
        };
        responses[status.to_string()] = json!({
            "description": description,
            "content": {
                problem::CONTENT_TYPE: {
                    "schema": reference("Problem"),
                    "example": problem(served, *status),
                },
            },
        });
    }
    responses::with_retry_after(&mut responses);
    responses
}

/// Returns an example of the error with this status.
fn problem(served: &ServedModel<'_>, status: u16) -> Option<Problem> {
    let ServedModel { signature, limits, .. } = served;
    let error = match status {
        400 => features::decode(b"{", signature, usize::MAX).err()?,
        406 => Error::NotAcceptable {
            offered: WireFormat::Json.media_type().into(),
            found: "image/png".into(),
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

/// Returns the model's prediction for the example row, in a format. `schema` is the name of the schema for this format.
fn example(served: &ServedModel<'_>, format: WireFormat, schema: &str) -> Option<Value> {
    let csv = served.example_csv();
    let outputs = served.outputs(&csv)?;
    let predictions = Predictions::new(served.signature, &outputs);
    let mut text = vec![];
    match format {
        WireFormat::Csv => text = csv::append(csv.as_bytes(), &predictions).ok()?,
        WireFormat::Json | WireFormat::Ndjson => predictions.object(&mut text, 0),
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
