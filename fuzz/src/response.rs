//! Checks that a response has the format that its `Content-Type` names.

use ml_app::http::problem;
use ml_app::protocol::binary_json::{self, SAGEMAKER, VERTEX};
use ml_app::protocol::oip::{BINARY, HEADER_LENGTH, Infer};
use serde::de::IgnoredAny;
use serde_json::Value;

/// Checks a body. `json_length` is the value of the header `Inference-Header-Content-Length`.
pub fn check(content_type: &str, json_length: Option<&str>, body: &[u8]) {
    match content_type.split(';').next().unwrap_or_default() {
        "application/json" | problem::CONTENT_TYPE => is_json(body),
        "application/x-ndjson" => {
            body.trim_ascii_end().split(|byte| *byte == b'\n').for_each(is_json)
        }
        "text/csv" => {
            let mut records = csv::Reader::from_reader(body).into_byte_records();
            assert!(records.all(|record| record.is_ok()), "{}", text(body));
        }
        BINARY => are_tensors(Infer::new(HEADER_LENGTH, json_length).ok(), body),
        SAGEMAKER => are_tensors(binary_json::infer(content_type, SAGEMAKER).ok().flatten(), body),
        VERTEX => are_tensors(binary_json::infer(content_type, VERTEX).ok().flatten(), body),
        _ => assert!(std::str::from_utf8(body).is_ok(), "{content_type}"),
    }
}

fn is_json(body: &[u8]) {
    let read = serde_json::from_slice::<IgnoredAny>(body);
    assert!(read.is_ok(), "{}", text(body));
}

/// Checks a body of JSON, followed by as many bytes as the JSON declares.
fn are_tensors(infer: Option<Infer>, body: &[u8]) {
    let Some(Infer::Mixed(length)) = infer else { panic!("{infer:?}") };
    let (json, tensors) = body.split_at(length);
    let json: Value = serde_json::from_slice(json).expect("JSON");
    let outputs = json["outputs"].as_array().expect("outputs").iter();
    let size = |output: &Value| output["parameters"]["binary_data_size"].as_u64().unwrap_or(0);
    assert_eq!(outputs.map(size).sum::<u64>(), tensors.len() as u64);
}

pub fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}
