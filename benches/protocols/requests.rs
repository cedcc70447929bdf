//! Requests for the embedded model, with the same rows in every protocol.

use ml_app::protocol::json::TensorView;
use ml_app::protocol::{features, oip};
use ml_app_model::{Feature, Signature, Tensors};
use serde_json::{Value, json};

pub const ROWS: [usize; 3] = [1, 100, 10_000];

/// The same rows in every protocol. If the model declares the range of a feature in the training data, the values of
/// the feature are within that range, and vary between rows.
pub struct Requests {
    pub rows: usize,
    pub tensors: Tensors,
    pub json: Vec<u8>,
    pub ndjson: Vec<u8>,
    pub csv: Vec<u8>,
    pub instances: Vec<u8>,
    pub oip: Vec<u8>,
    pub oip_binary: Vec<u8>,
    /// Size of the JSON at the start of `oip_binary`, in bytes.
    pub oip_json_size: usize,
}

impl Requests {
    pub fn new(signature: &Signature, rows: usize) -> Requests {
        let row = |row| -> Vec<Value> {
            signature.features.iter().map(|feature| value(feature, row)).collect()
        };
        let values: Vec<Vec<Value>> = (0..rows).map(row).collect();
        let names: Vec<&str> = signature.features.iter().map(|feature| &*feature.name).collect();
        let object = |values: &Vec<Value>| -> Value {
            names.iter().map(|name| (*name).to_owned()).zip(values.clone()).collect()
        };
        let objects: Vec<String> = values.iter().map(|row| object(row).to_string()).collect();
        let json = format!("[{}]", objects.join(",")).into_bytes();
        let cells = |row: &Vec<Value>| row.iter().map(cell).collect::<Vec<_>>().join(",");
        let table: Vec<String> =
            std::iter::once(names.join(",")).chain(values.iter().map(cells)).collect();
        let (tensors, _) = features::decode(&json, signature, usize::MAX).expect("valid rows");
        let (oip, _) = infer(signature, &tensors, false);
        let (mut oip_binary, bytes) = infer(signature, &tensors, true);
        let oip_json_size = oip_binary.len();
        oip_binary.extend(bytes);
        Requests {
            rows,
            tensors,
            json,
            ndjson: objects.join("\n").into_bytes(),
            csv: table.join("\n").into_bytes(),
            instances: json!({ "instances": values }).to_string().into_bytes(),
            oip,
            oip_binary,
            oip_json_size,
        }
    }

    pub fn requests(&self, model: &str) -> Vec<Request<'_>> {
        let infer = format!("/v2/models/{model}/infer");
        let predict = format!("/v1/models/{model}:predict");
        let request = |protocol, path: &str, content_type, body| Request {
            protocol,
            path: path.to_owned(),
            content_type,
            header_length: None,
            body,
        };
        let binary = request("oip_binary", &infer, "application/octet-stream", &self.oip_binary);
        vec![
            request("json", "/predict", "application/json", &self.json),
            request("ndjson", "/predict", "application/x-ndjson", &self.ndjson),
            request("csv", "/predict", "text/csv", &self.csv),
            request("instances", &predict, "application/json", &self.instances),
            request("oip", &infer, "application/json", &self.oip),
            Request { header_length: Some(self.oip_json_size), ..binary },
        ]
    }
}

/// A request as a client sends it.
pub struct Request<'a> {
    pub protocol: &'static str,
    pub path: String,
    pub content_type: &'static str,
    /// Value of the header [`JSON_SIZE_HEADER`](ml_app::protocol::oip::JSON_SIZE_HEADER).
    pub header_length: Option<usize>,
    pub body: &'a [u8],
}

/// Returns the value of a feature in a row.
fn value(feature: &Feature, row: usize) -> Value {
    let (Some(minimum), Some(maximum)) = (feature.minimum, feature.maximum) else {
        return feature.example();
    };
    // A pseudo-random fraction from 0.00 to 1.00 that differs between neighboring rows.
    let fraction = (row * 37 % 101) as f64 / 100.0;
    let number = minimum + fraction * (maximum - minimum);
    match feature.example() {
        Value::Number(example) if example.is_i64() => json!(number.round() as i64),
        Value::Number(_) => json!(number),
        example => example,
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => format!("\"{}\"", text.replace('"', "\"\"")),
        other => other.to_string(),
    }
}

/// Returns the JSON of an inference request, and the bytes after the JSON. If `binary` is true, the bytes contain the
/// tensors, except for strings. Otherwise, the JSON contains all tensors.
fn infer(signature: &Signature, tensors: &Tensors, binary: bool) -> (Vec<u8>, Vec<u8>) {
    let mut bytes = vec![];
    let inputs: Vec<Value> = signature
        .inputs
        .iter()
        .zip(tensors.tensors())
        .map(|(spec, tensor)| {
            let mut input = json!({
                "name": spec.name,
                "shape": tensor.shape(),
                "datatype": oip::datatype_name(tensor.datatype()),
            });
            match tensor.le_bytes().filter(|_| binary) {
                Some(data) => {
                    input["parameters"] = json!({ "binary_data_size": data.len() });
                    bytes.extend(data);
                }
                None => {
                    let mut data = vec![];
                    TensorView::new(tensor).whole(&mut data);
                    input["data"] = serde_json::from_slice(&data).expect("JSON");
                }
            }
            input
        })
        .collect();
    let parameters = json!({ "binary_data_output": binary });
    (json!({ "inputs": inputs, "parameters": parameters }).to_string().into_bytes(), bytes)
}
