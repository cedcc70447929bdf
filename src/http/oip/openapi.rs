//! The documentation of the [Open Inference Protocol](super)'s routes.

use crate::http::openapi::describe::{Describe, Operation, Schemas};
use crate::http::openapi::responses::{self, JSON};
use crate::protocol::oip::{BINARY, Infer, describe, name};
use ml_app_model::TensorSpec;
use serde_json::{Value, json};

pub(crate) fn server(_: &Describe<'_>) -> Operation {
    Operation::new(responses::object("Name, version, extensions.", &describe::server()))
}

pub(crate) fn live(_: &Describe<'_>) -> Operation {
    Operation::new(responses::flag("live", "The server answers."))
}

pub(crate) fn ready(_: &Describe<'_>) -> Operation {
    let example = |ready: bool| json!({ "live": true, "ready": ready });
    let responses = responses::object("The model has answered.", &example(true));
    Operation::new(responses::until_drained(responses, &example(false)))
}

pub(crate) fn model(describe: &Describe<'_>) -> Operation {
    of_model("Inputs and outputs.", &describe::model(describe.signature))
}

pub(crate) fn model_ready(describe: &Describe<'_>) -> Operation {
    let example = |ready: bool| json!({ "name": describe.signature.name, "ready": ready });
    let Operation { responses, .. } = of_model("The model has answered.", &example(true));
    Operation::new(responses::until_drained(responses, &example(false)))
}

pub(crate) fn model_config(describe: &Describe<'_>) -> Operation {
    of_model("As Triton has it.", &describe::config(describe.signature))
}

pub(crate) fn model_stats(_: &Describe<'_>) -> Operation {
    of_model("Counts and nanoseconds.", &json!({}))
}

pub(crate) fn stats(_: &Describe<'_>) -> Operation {
    Operation::new(responses::object("Counts and nanoseconds.", &json!({})))
}

pub(crate) fn repository(describe: &Describe<'_>) -> Operation {
    let object = json!({ "type": "object" });
    let list = json!({ "type": "array", "items": object });
    let responses =
        responses::json("The models.", &list, &describe::repository(describe.signature));
    Operation {
        request_body: Some(json!({ "content": { JSON: { "schema": object } } })),
        responses: responses::or_refusals(responses, &[400, 408, 413, 415, 503]),
        ..Operation::default()
    }
}

pub(crate) fn load(_: &Describe<'_>) -> Operation {
    let detail = "the model is compiled in: it can be neither loaded nor unloaded";
    Operation::new(json!({ "400": responses::refusal("Always.", detail) }))
}

pub(crate) fn infer(describe: &Describe<'_>) -> Operation {
    let schemas = ("InferRequest", "InferResponse");
    let example = infer_request(describe);
    responses::prediction(describe, Infer::Json, schemas, &example).or_bytes(BINARY)
}

/// Returns the operation of a path that names the model.
fn of_model(description: &str, example: &Value) -> Operation {
    let responses = responses::object(description, example);
    Operation::new(responses::or_refusals(responses, &[404]))
}

/// Returns the features' examples as tensors.
fn infer_request(describe: &Describe<'_>) -> Value {
    let signature = describe.signature;
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

pub(crate) fn schemas(describe: &Describe<'_>) -> Schemas {
    let signature = describe.signature;
    let parameters = json!({ "type": "object", "nullable": true });
    let text = json!({ "type": "string" });
    let request = json!({
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
    });
    let response = json!({
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {
            "model_name": text,
            "model_version": text,
            "id": text,
            "outputs": { "type": "array", "items": tensor(&signature.outputs, &["BYTES"]) },
        },
    });
    vec![("InferRequest", request), ("InferResponse", response)]
}

/// Returns the schema of one of the tensors `specs`; `more` are datatypes it may also have.
fn tensor(specs: &[TensorSpec], more: &[&str]) -> Value {
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
            "parameters": { "type": "object", "nullable": true },
            "data": {
                "type": "array",
                "description": "In row-major order, nested or flat.",
                "items": {},
            },
        },
    })
}

fn names(specs: &[TensorSpec]) -> Value {
    specs.iter().map(|spec| spec.name.as_str()).collect()
}
