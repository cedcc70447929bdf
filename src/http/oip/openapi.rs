//! Descriptions of the routes of the [Open Inference Protocol](super) for the OpenAPI document.

use crate::http::openapi::operation::{Operation, Schemas, ServedModel};
use crate::http::openapi::responses::{self, JSON};
use crate::protocol::oip::{BINARY_MEDIA_TYPE, Infer, datatype_name, describe};
use ml_app_model::TensorSpec;
use serde_json::{Value, json};

pub(crate) fn server(_: &ServedModel<'_>) -> Operation {
    Operation::new(responses::object(
        "Name, version and extensions of the server.",
        &describe::server(),
    ))
}

pub(crate) fn live(_: &ServedModel<'_>) -> Operation {
    Operation::new(responses::flag("live", "The server is running."))
}

pub(crate) fn ready(_: &ServedModel<'_>) -> Operation {
    let example = |ready: bool| json!({ "live": true, "ready": ready });
    let responses = responses::object("The server is ready.", &example(true));
    Operation::new(responses::or_shutting_down(responses, &example(false)))
}

pub(crate) fn model(served: &ServedModel<'_>) -> Operation {
    model_operation("The model's inputs and outputs.", &describe::model(served.signature))
}

pub(crate) fn model_ready(served: &ServedModel<'_>) -> Operation {
    let example = |ready: bool| json!({ "name": served.signature.name, "ready": ready });
    let Operation { responses, .. } = model_operation("The model is ready.", &example(true));
    Operation::new(responses::or_shutting_down(responses, &example(false)))
}

pub(crate) fn model_config(served: &ServedModel<'_>) -> Operation {
    model_operation("The model's configuration.", &describe::config(served.signature))
}

pub(crate) fn model_stats(_: &ServedModel<'_>) -> Operation {
    model_operation("Counts, and durations in nanoseconds.", &json!({}))
}

pub(crate) fn stats(_: &ServedModel<'_>) -> Operation {
    Operation::new(responses::object("Counts, and durations in nanoseconds.", &json!({})))
}

pub(crate) fn repository(served: &ServedModel<'_>) -> Operation {
    let object = json!({ "type": "object" });
    let list = json!({ "type": "array", "items": object });
    let responses = responses::json("All models.", &list, &describe::repository(served.signature));
    Operation {
        request_body: Some(json!({ "content": { JSON: { "schema": object } } })),
        responses: responses::or_errors(responses, &[400, 408, 413, 415, 503]),
        ..Operation::default()
    }
}

pub(crate) fn load(_: &ServedModel<'_>) -> Operation {
    let detail =
        "this server serves only the model that it started with; it cannot load or unload models";
    Operation::new(
        json!({ "400": responses::error("Always: the model cannot be loaded or unloaded.", detail) }),
    )
}

pub(crate) fn infer(served: &ServedModel<'_>) -> Operation {
    let schemas = ("InferRequest", "InferResponse");
    let example = infer_request(served);
    responses::prediction(served, Infer::Json, schemas, &example).or_binary(BINARY_MEDIA_TYPE)
}

/// Returns an operation whose path contains the name of the model. The operation returns a 404 for any other name.
fn model_operation(description: &str, example: &Value) -> Operation {
    let responses = responses::object(description, example);
    Operation::new(responses::or_errors(responses, &[404]))
}

/// Returns an inference request that contains the examples of the features.
fn infer_request(served: &ServedModel<'_>) -> Value {
    let signature = served.signature;
    let input = |(index, spec): (usize, &TensorSpec)| {
        let features = signature.features.iter().filter(|feature| feature.input == index);
        let mut data = vec![];
        // The protocol has no short form for many elements, so the example leaves them out.
        features
            .filter(|feature| !feature.has_long_example())
            .for_each(|feature| flatten(feature.example(), &mut data));
        let shape: Vec<usize> = spec.shape.iter().map(|len| len.unwrap_or(1)).collect();
        json!({ "name": spec.name, "shape": shape, "datatype": datatype_name(spec.datatype), "data": data })
    };
    json!({ "id": "1", "inputs": signature.inputs.iter().enumerate().map(input).collect::<Value>() })
}

/// Appends the elements of nested arrays to `out`, in row-major order.
fn flatten(value: Value, out: &mut Vec<Value>) {
    match value {
        Value::Array(values) => values.into_iter().for_each(|value| flatten(value, out)),
        value => out.push(value),
    }
}

pub(crate) fn schemas(served: &ServedModel<'_>) -> Schemas {
    let signature = served.signature;
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
                "description": "The outputs to return. If this list is absent, all outputs are returned.",
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

/// Returns the schema of a tensor that has the name and datatype of one of `specs`. `more` lists further datatypes that
/// the tensor may have.
fn tensor(specs: &[TensorSpec], more: &[&str]) -> Value {
    let mut datatypes: Vec<&str> = specs.iter().map(|spec| datatype_name(spec.datatype)).collect();
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
                "description": "The elements in row-major order, as nested lists or as one list.",
                "items": {},
            },
        },
    })
}

fn names(specs: &[TensorSpec]) -> Value {
    specs.iter().map(|spec| spec.name.as_str()).collect()
}
