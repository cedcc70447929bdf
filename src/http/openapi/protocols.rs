//! The operations of the inference protocols.

use super::{Describe, Members, example_csv, example_row, schema};
use crate::protocol::any::Any;
use crate::protocol::framed;
use crate::protocol::instances::Predict;
use crate::protocol::oip::{BINARY, HEADER_LENGTH, Infer, describe, name};
use crate::protocol::{Body, Protocol};
use ml_app_model::{Feature, Signature, TensorSpec};
use schema::{content, reference};
use serde_json::{Map, Value, json};

pub const OIP: &str = "Open Inference Protocol v2";
pub const V1: &str = "KServe v1, TensorFlow Serving";
pub const VERTEX: &str = "Vertex AI";
pub const SAGEMAKER: &str = "SageMaker";

/// Those that a path names.
pub fn path_parameters(path: &str, signature: &Signature) -> Vec<Value> {
    let names = path.split(['{', '}']).skip(1).step_by(2).filter(|name| !name.contains(':'));
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

/// What paperclip cannot know of an operation.
pub fn operation(id: &str, model: &Describe<'_>) -> Members {
    let signature = model.signature;
    let object = json!({ "type": "object" });
    match id {
        "v2_server" => told("Name, version, extensions.", &object, &describe::server(), false),
        "v2_live" => vec![("responses", schema::flag("live", "The server answers."))],
        "v2_ready" => {
            let example = |ready: bool| json!({ "live": true, "ready": ready });
            until_drained(
                told("The model has answered.", &object, &example(true), false),
                &example(false),
            )
        }
        "v2_model" => told("Inputs and outputs.", &object, &describe::model(signature), true),
        "v2_model_ready" => {
            let example = |ready: bool| json!({ "name": signature.name, "ready": ready });
            until_drained(
                told("The model has answered.", &object, &example(true), true),
                &example(false),
            )
        }
        "v2_model_config" => told("As Triton has it.", &object, &describe::config(signature), true),
        "v2_model_stats" => told("Counts and nanoseconds.", &object, &json!({}), true),
        "v2_stats" => told("Counts and nanoseconds.", &object, &json!({}), false),
        "v2_repository" => {
            let list = json!({ "type": "array", "items": object });
            vec![
                ("requestBody", json!({ "content": { JSON: { "schema": object } } })),
                responses(
                    "The models.",
                    &list,
                    &describe::repository(signature),
                    &[400, 408, 413, 415, 503],
                ),
            ]
        }
        "v2_load" => {
            let detail = "the model is compiled in: it can be neither loaded nor unloaded";
            vec![("responses", json!({ "400": refusal("Always.", detail) }))]
        }
        "v2_infer" => {
            let question = infer_request(model);
            let mut members = asked(model, Infer::Json, "InferRequest", &question, "InferResponse");
            let header = json!({
                "name": HEADER_LENGTH,
                "in": "header",
                "description": "Bytes of JSON before the tensors; 0 where there is none.",
                "schema": { "type": "integer", "minimum": 0 },
            });
            let parameters = path_parameters("/{model}", signature).into_iter().chain([header]);
            members.push(("parameters", parameters.collect()));
            add_bytes(&mut members, BINARY);
            members
        }
        "v1_models" => {
            let example = json!({ "models": [signature.name] });
            told("The models.", &object, &example, false)
        }
        "v1_model" => {
            told("It is ready.", &object, &json!({ "name": signature.name, "ready": true }), true)
        }
        "v1_predict" => {
            let question = json!({ "instances": [instance(model)] });
            asked(model, Predict, "Instances", &question, "InstancePredictions")
        }
        "vertex_predict" => {
            let question = json!({ "instances": [example_row(signature)], "parameters": {} });
            let mut members = asked(model, Any, "Instances", &question, "InstancePredictions");
            add_bytes(&mut members, framed::VERTEX);
            members
        }
        "sagemaker_ping" => vec![("responses", json!({ "200": { "description": "It is." } }))],
        "sagemaker_invocations" => {
            let question = Value::from(example_row(signature));
            let mut members = asked(model, Any, "Row", &question, "Prediction");
            let csv = json!({ "schema": { "type": "string" }, "example": example_csv(signature) });
            members[0].1["content"]["text/csv"] = csv;
            members[0].1["content"][JSON]["schema"] =
                json!({ "anyOf": any_of(&["Row", "Instances", "InferRequest"]) });
            members[1].1["200"]["content"][JSON]["schema"] = json!({
                "anyOf": any_of(&["Answer", "InstancePredictions", "InferResponse"]),
            });
            members[1].1["200"]["content"]["text/csv"] = json!({ "schema": reference("Table") });
            add_bytes(&mut members, framed::SAGEMAKER);
            members
        }
        _ => vec![],
    }
}

/// To a question and its answer.
fn add_bytes(members: &mut Members, media_type: &str) {
    let bytes = json!({ "schema": { "type": "string", "format": "binary" } });
    members[0].1["content"][media_type] = bytes.clone();
    members[1].1["200"]["content"][media_type] = bytes;
}

fn any_of(schemas: &[&str]) -> Value {
    schemas.iter().map(|schema| reference(schema)).collect()
}

const JSON: &str = "application/json";

fn until_drained(members: Members, example: &Value) -> Members {
    let drained = |(name, responses)| (name, schema::until_drained(responses, example));
    members.into_iter().map(drained).collect()
}

fn told(description: &str, schema: &Value, example: &Value, named: bool) -> Members {
    let refusals: &[u16] = if named { &[404] } else { &[] };
    vec![responses(description, schema, example, refusals)]
}

fn responses(
    description: &str,
    schema: &Value,
    example: &Value,
    refusals: &[u16],
) -> (&'static str, Value) {
    let body = json!({ JSON: { "schema": schema, "example": example } });
    let mut responses = content(description, body);
    for status in refusals {
        let (description, detail) = match status {
            400 => {
                ("The body is malformed, or is not what the model takes.", "missing key `inputs`")
            }
            404 => {
                ("There is no such model or version.", "unknown model `b` (this server has `a`)")
            }
            408 => ("The body did not come in time.", "expected the whole body within 60 s"),
            413 => (
                "The body is larger than this server takes.",
                "expected a body of at most 1024 bytes, found more",
            ),
            503 => (
                schema::BUSY,
                "the server is at capacity: 256 predictions are already waiting or running; try again in a second",
            ),
            _ => (
                "The body is in a format that cannot be read.",
                "content type: expected application/json, found text/plain",
            ),
        };
        responses[status.to_string()] = refusal(description, detail);
    }
    schema::retry_after(&mut responses);
    ("responses", responses)
}

fn refusal(description: &str, detail: &str) -> Value {
    json!({
        "description": description,
        "content": { JSON: { "schema": reference("Refusal"), "example": { "error": detail } } },
    })
}

/// A question in JSON, with what the model answers.
fn asked<P: Protocol>(
    model: &Describe<'_>,
    protocol: P,
    question: &str,
    example: &Value,
    answer: &str,
) -> Members {
    let body = json!({ JSON: { "schema": reference(question), "example": example } });
    let answered = answered(model, protocol, example).unwrap_or(json!({}));
    vec![
        ("requestBody", json!({ "required": true, "content": body })),
        responses("Predictions.", &reference(answer), &answered, &[400, 404, 408, 413, 415, 503]),
    ]
}

fn answered<P: Protocol>(model: &Describe<'_>, protocol: P, question: &Value) -> Option<Value> {
    let body = question.to_string();
    let (inputs, wish) = protocol.decode(body.as_bytes(), model.signature, usize::MAX).ok()?;
    let outputs = model.model.run(inputs).ok()?;
    match protocol.encode(wish, body.as_bytes(), model.signature, outputs).ok()?.body {
        Body::Whole(answer) => serde_json::from_slice(&answer).ok(),
        Body::Lines(_) => None,
    }
}

/// The features' examples in their order.
fn instance(model: &Describe<'_>) -> Value {
    let features = &model.signature.features;
    match features.as_slice() {
        [feature] => feature.example(),
        features => features.iter().map(Feature::example).collect(),
    }
}

fn infer_request(model: &Describe<'_>) -> Value {
    let signature = model.signature;
    let input = |(index, spec): (usize, &TensorSpec)| {
        let of_input = signature.features.iter().filter(|feature| feature.input == index);
        let mut data = vec![];
        of_input.for_each(|feature| flatten(feature.example(), &mut data));
        let shape: Vec<usize> = spec.shape.iter().map(|len| len.unwrap_or(1)).collect();
        json!({ "name": spec.name, "shape": shape, "datatype": name(spec.datatype), "data": data })
    };
    json!({ "id": "1", "inputs": signature.inputs.iter().enumerate().map(input).collect::<Value>() })
}

fn flatten(value: Value, out: &mut Vec<Value>) {
    match value {
        Value::Array(values) => values.into_iter().for_each(|value| flatten(value, out)),
        value => out.push(value),
    }
}

/// Those of the components.
pub fn schemas(signature: &Signature) -> Vec<(&'static str, Value)> {
    let names =
        |specs: &[TensorSpec]| -> Value { specs.iter().map(|spec| spec.name.as_str()).collect() };
    let parameters = json!({ "type": "object", "nullable": true });
    let tensor = |specs: &[TensorSpec], more: &[&str]| {
        let mut datatypes: Vec<&str> = specs.iter().map(|spec| name(spec.datatype)).collect();
        datatypes.extend(more);
        datatypes.sort_unstable();
        datatypes.dedup();
        json!({
            "type": "object",
            "required": ["name", "shape", "datatype"],
            "properties": {
                "name": { "type": "string", "enum": names(specs) },
                "shape": { "type": "array", "items": { "type": "integer", "minimum": 0 } },
                "datatype": { "type": "string", "enum": datatypes },
                "parameters": parameters,
                "data": {
                    "type": "array",
                    "description": "In row-major order, nested or flat.",
                    "items": {},
                },
            },
        })
    };
    let text = json!({ "type": "string" });
    let mut outputs = Map::new();
    outputs.insert("predictions".into(), json!({ "type": "array", "items": {} }));
    outputs.insert("outputs".into(), json!({}));
    vec![
        (
            "InferRequest",
            json!({
                "type": "object",
                "required": ["inputs"],
                "properties": {
                    "id": { "type": "string", "nullable": true },
                    "parameters": parameters,
                    "inputs": {
                        "type": "array",
                        "minItems": signature.inputs.len(),
                        "maxItems": signature.inputs.len(),
                        "items": tensor(&signature.inputs, &[]),
                    },
                    "outputs": {
                        "type": "array",
                        "nullable": true,
                        "description": "Which to answer; all without it.",
                        "items": {
                            "type": "object",
                            "required": ["name"],
                            "properties": {
                                "name": { "type": "string", "enum": names(&signature.outputs) },
                                "parameters": parameters,
                            },
                        },
                    },
                },
            }),
        ),
        (
            "InferResponse",
            json!({
                "type": "object",
                "required": ["model_name", "outputs"],
                "properties": {
                    "model_name": text,
                    "model_version": text,
                    "id": text,
                    "outputs": { "type": "array", "items": tensor(&signature.outputs, &["BYTES"]) },
                },
            }),
        ),
        (
            "Instances",
            json!({
                "type": "object",
                "properties": {
                    "instances": {
                        "type": "array",
                        "minItems": 1,
                        "description": "Each a list of the features in their order, or an object by name.",
                        "items": {},
                    },
                    "inputs": { "description": "Columns by name, or the one input." },
                },
            }),
        ),
        ("InstancePredictions", json!({ "type": "object", "properties": outputs })),
        (
            "Refusal",
            json!({
                "type": "object",
                "required": ["error"],
                "properties": { "error": text },
                "additionalProperties": false,
            }),
        ),
    ]
}
