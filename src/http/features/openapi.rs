//! Descriptions of the [routes for named features](super) for the OpenAPI document, with schemas of the model's
//! features and predictions. The model computes the examples of predictions.

use crate::error::{Busy, Error};
use crate::http::openapi::operation::{MAX_RESPONSE_EXAMPLE, Operation, Schemas, ServedModel};
use crate::http::openapi::responses::{self, content};
use crate::http::openapi::schema::{self, reference};
use crate::http::problem::{self, Problem};
use crate::protocol::predictions::Predictions;
use crate::protocol::{WireFormat, csv, features};
use ml_app_model::{
    ClassScores, Prediction, PredictionShape, REQUEST_OUTPUTS, RowOutputs, TensorSpec,
};
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
            let value = schema::value_schema(feature);
            let list = match feature.parameter {
                true => value,
                false => json!({ "type": "array", "minItems": 1, "items": value }),
            };
            (feature.name.clone(), list)
        })
        .collect();
    let mut schemas = vec![
        ("Row", schema::features_schema("The features of one row.", values, features)),
        (
            "Columns",
            schema::features_schema(
                "The values of each feature. All lists have the same length.",
                lists,
                features,
            ),
        ),
        ("Prediction", prediction(served, &|schema| schema, true)),
        ("Predictions", predictions(served)),
        (
            "PredictionColumns",
            prediction(served, &|schema| json!({ "type": "array", "items": schema }), true),
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
    ];
    if !PredictionShape::new(served.signature).request_outputs.is_empty() {
        schemas.push(("RowPrediction", prediction(served, &|schema| schema, false)));
    }
    schemas
}

/// Returns the schema of a prediction. `wrap` is applied to the schema of each value. For columns, `wrap` returns the
/// schema of an array of values. If `with_request` is true, the schema includes the outputs of the whole request.
fn prediction(
    served: &ServedModel<'_>,
    wrap: &dyn Fn(Value) -> Value,
    with_request: bool,
) -> Value {
    let ServedModel { signature, .. } = served;
    let outputs = &signature.outputs;
    let shape = PredictionShape::new(signature);
    let no_wrap = |schema: Value| schema;
    let wrap = if shape.is_single { &no_wrap } else { wrap };
    let mut properties = Map::new();
    match &shape.prediction {
        Prediction::Output(index) => {
            let spec = &outputs[*index];
            let schema = match shape.scores {
                Some(_) => label(served, spec),
                None => schema::output_schema(spec),
            };
            properties.insert("prediction".into(), wrap(schema));
        }
        Prediction::Outputs(indices) => {
            properties.insert("prediction".into(), object_of_outputs(outputs, indices, wrap));
        }
    }
    if let Some(ClassScores { meaning, output, classes }) = shape.scores {
        let score = schema::element_schema(outputs[output].datatype);
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
    if with_request && !shape.request_outputs.is_empty() {
        let values = object_of_outputs(outputs, &shape.request_outputs, &no_wrap);
        properties.insert(REQUEST_OUTPUTS.into(), values);
    }
    let required: Vec<&String> = properties.keys().collect();
    json!({
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": false,
    })
}

/// Returns the schema of an object with the values of some outputs.
fn object_of_outputs(
    outputs: &[TensorSpec],
    indices: &[usize],
    wrap: &dyn Fn(Value) -> Value,
) -> Value {
    let outputs = || indices.iter().map(|index| &outputs[*index]);
    let names: Vec<&str> = outputs().map(|output| output.name.as_str()).collect();
    let values: Map<String, Value> =
        outputs().map(|spec| (spec.name.clone(), wrap(schema::output_schema(spec)))).collect();
    json!({
        "type": "object",
        "properties": values,
        "required": names,
        "additionalProperties": false,
    })
}

/// Returns the schema of the predictions of several rows: an array. If the model has outputs of the whole request, the
/// array is a member of an object, or there is only one prediction.
fn predictions(served: &ServedModel<'_>) -> Value {
    let ServedModel { signature, .. } = served;
    let shape = PredictionShape::new(signature);
    if shape.is_single {
        return reference("Prediction");
    }
    let row = match shape.request_outputs.as_slice() {
        [] => reference("Prediction"),
        _ => reference("RowPrediction"),
    };
    let array = json!({
        "type": "array",
        "description": "A prediction for each row, in the order of the rows.",
        "items": row,
    });
    if shape.request_outputs.is_empty() {
        return array;
    }
    let outputs = object_of_outputs(&signature.outputs, &shape.request_outputs, &|schema| schema);
    json!({
        "type": "object",
        "required": ["predictions", REQUEST_OUTPUTS],
        "properties": { "predictions": array, REQUEST_OUTPUTS: outputs },
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
    let line = Value::from(row.clone()).to_string() + "\n";
    let mut lines = line.clone();
    let mut examples = json!({ "row": { "summary": "One row", "value": row } });
    if !served.has_long_example() {
        lines.push_str(&line);
        examples["rows"] = json!({ "summary": "A list of rows", "value": [row, row] });
        let columns = served.signature.features.iter().map(|feature| {
            let value = feature.example();
            let column = if feature.parameter { value } else { json!([value, value]) };
            (feature.name.clone(), column)
        });
        let summary = "Columns: the values of each feature";
        examples["columns"] = json!({ "summary": summary, "value": columns.collect::<Value>() });
    }
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
                "examples": examples,
            },
            "text/csv": {
                "schema": { "type": "string", "description": "A header with the names of the columns, in any order, then the rows." },
                "example": served.example_csv(),
            },
            "application/x-ndjson": {
                "schema": { "type": "string", "description": "A `Row` on each line." },
                "example": lines,
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
    let outputs = RowOutputs::new(served.signature, served.outputs(&csv)?);
    let predictions = Predictions::new(served.signature, &outputs);
    let mut text = vec![];
    match (format, schema) {
        (WireFormat::Csv, _) => text = csv::append(csv.as_bytes(), &predictions).ok()?,
        (WireFormat::Json, "Predictions") => predictions.array(&mut text),
        (WireFormat::Json, _) => predictions.row(&mut text),
        (WireFormat::Ndjson, _) => predictions.line(&mut text, 0),
    }
    if text.len() > MAX_RESPONSE_EXAMPLE {
        return None;
    }
    let text = String::from_utf8(text).ok()?;
    match (format, schema) {
        (WireFormat::Json, _) => serde_json::from_str(&text).ok(),
        (WireFormat::Csv, _) => Some(json!(text)),
        (WireFormat::Ndjson, _) => Some(json!(text + "\n")),
    }
}
