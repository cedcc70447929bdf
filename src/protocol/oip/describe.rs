//! The metadata of the server, and the metadata and configuration of the model.

use super::datatype::datatype_name;
use ml_app_model::{Datatype, Signature, TensorSpec};
use serde_json::{Value, json};

/// Extensions of the protocol that this server supports.
pub const EXTENSIONS: [&str; 5] = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "statistics",
];

/// Returns the server's metadata.
pub fn server() -> Value {
    json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": EXTENSIONS,
    })
}

/// Returns the model's metadata.
pub fn model(signature: &Signature) -> Value {
    json!({
        "name": signature.name,
        "versions": [signature.version],
        "platform": "onnx_onnxv1",
        "inputs": signature.inputs.iter().map(tensor).collect::<Value>(),
        "outputs": signature.outputs.iter().map(tensor).collect::<Value>(),
    })
}

fn tensor(spec: &TensorSpec) -> Value {
    json!({ "name": spec.name, "datatype": datatype_name(spec.datatype), "shape": dims(spec) })
}

/// Returns the lengths of a tensor's axes, with -1 for a dynamic axis.
fn dims(spec: &TensorSpec) -> Vec<i64> {
    let len = |len: &Option<usize>| len.map_or(-1, |len| i64::try_from(len).unwrap_or(i64::MAX));
    spec.shape.iter().map(len).collect()
}

/// Returns the model's configuration in Triton's format. `max_batch_size` is 0, which means that `dims` are whole
/// shapes, including the axis of the rows.
pub fn config(signature: &Signature) -> Value {
    let tensor = |spec: &TensorSpec| {
        let data_type = match spec.datatype {
            Datatype::String => "TYPE_STRING".to_owned(),
            datatype => format!("TYPE_{}", datatype_name(datatype)),
        };
        json!({ "name": spec.name, "data_type": data_type, "dims": dims(spec) })
    };
    json!({
        "name": signature.name,
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "max_batch_size": 0,
        "version_policy": { "latest": { "num_versions": 1 } },
        "input": signature.inputs.iter().map(tensor).collect::<Value>(),
        "output": signature.outputs.iter().map(tensor).collect::<Value>(),
    })
}

/// Returns the index of the model repository: one model, which is ready.
pub fn repository(signature: &Signature) -> Value {
    json!([{
        "name": signature.name, "version": signature.version, "state": "READY", "reason": "",
    }])
}
