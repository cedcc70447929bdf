//! Checks that a response has the format that its `Content-Type` declares.

use ml_app::http::problem;
use ml_app::protocol::binary_json::{self, SAGEMAKER_MEDIA_TYPE, VERTEX_MEDIA_TYPE};
use ml_app::protocol::oip::{BINARY_MEDIA_TYPE, Infer, JSON_SIZE_HEADER};
use serde::de::IgnoredAny;
use serde_json::Value;

/// Checks the body of a response. `json_length` is the value of the header `Inference-Header-Content-Length`.
pub fn check(content_type: &str, json_length: Option<&str>, body: &[u8]) {
    match content_type.split(';').next().unwrap_or_default() {
        "application/json" | problem::CONTENT_TYPE => assert_json(body),
        "application/x-ndjson" => {
            body.trim_ascii_end().split(|byte| *byte == b'\n').for_each(assert_json)
        }
        "text/csv" => {
            let mut records = csv::Reader::from_reader(body).into_byte_records();
            assert!(records.all(|record| record.is_ok()), "{}", text(body));
        }
        BINARY_MEDIA_TYPE => assert_tensors(Infer::new(JSON_SIZE_HEADER, json_length).ok(), body),
        SAGEMAKER_MEDIA_TYPE => assert_tensors(
            binary_json::infer_form(content_type, SAGEMAKER_MEDIA_TYPE).ok().flatten(),
            body,
        ),
        VERTEX_MEDIA_TYPE => assert_tensors(
            binary_json::infer_form(content_type, VERTEX_MEDIA_TYPE).ok().flatten(),
            body,
        ),
        _ => assert!(std::str::from_utf8(body).is_ok(), "{content_type}"),
    }
}

fn assert_json(body: &[u8]) {
    let read = serde_json::from_slice::<IgnoredAny>(body);
    assert!(read.is_ok(), "{}", text(body));
}

/// Checks that a body consists of JSON and of tensors, and that the tensors have the total size that the JSON declares.
fn assert_tensors(infer: Option<Infer>, body: &[u8]) {
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
