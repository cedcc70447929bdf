//! Tests of golden rows. If a model has golden rows in its metadata, the server serves the model only if
//! the model reproduces them.

use crate::case;
use crate::server::Server;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// Adds golden rows to the metadata of a case's model, writes the model to a file, and returns its path.
fn with_golden(case: &str, name: &str, golden: &Value) -> PathBuf {
    let mut onnx = fs::read(case::path(case, "model.onnx")).unwrap();
    onnx.extend(metadata("ml_app.golden", &golden.to_string()));
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("{}-{case}-{name}.onnx", std::process::id()));
    fs::write(&path, onnx).unwrap();
    path
}

/// Encodes an entry of `metadata_props`, which is field 14 of ONNX's `ModelProto`. Appending the bytes to a model
/// adds the entry, because bytes after a protobuf message are further fields of the message.
fn metadata(key: &str, value: &str) -> Vec<u8> {
    let entry = [field(1, key.as_bytes()), field(2, value.as_bytes())].concat();
    field(14, &entry)
}

/// Encodes a length-delimited field of a protobuf message.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut len = content.len();
    while len >= 0x80 {
        bytes.push((len & 0x7f) as u8 | 0x80);
        len >>= 7;
    }
    bytes.push(len as u8);
    bytes.extend_from_slice(content);
    bytes
}

fn ml_app(args: &[&str], model: &std::path::Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ml-app")).args(args).arg(model).output().unwrap()
}

/// Runs `ml-app check`, asserts its exit code, and returns what it prints.
fn check(model: &std::path::Path, code: i32) -> String {
    let output = ml_app(&["check"], model);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

/// Converts the golden predictions of a case to golden rows.
fn rows_of(case: &str, output: impl Fn(&Value) -> Value) -> Vec<Value> {
    let rows: Vec<Value> = serde_json::from_str(&case::text(case, "golden.json")).unwrap();
    rows.iter()
        .map(|row| json!({ "inputs": row["input"], "outputs": output(&row["output"]) }))
        .collect()
}

#[test]
fn serves_a_model_that_reproduces_its_golden_rows() {
    let mixed = rows_of("mixed", |output| json!({ "prediction": output }));
    let dictionary = rows_of("dictionary", Value::clone);
    assert!(mixed.len() > 2 && dictionary.len() > 2);
    for (case, rows) in [("mixed", mixed), ("dictionary", dictionary)] {
        let model = with_golden(case, "right", &json!(rows));
        let text = check(&model, 0);
        let expected = format!("can be served, and reproduces its {} golden rows", rows.len());
        assert!(text.contains(&expected), "{text}");
        let server = Server::start(&["--model", model.to_str().unwrap()]);
        let ready = server.announcement.iter().find(|line| line.contains("ready in ")).unwrap();
        assert!(ready.contains(", golden "), "{ready}");
        assert!(server.get("/metrics").body.contains("ml_app_start_seconds{phase=\"golden\"} "));
    }
}

/// Returns a golden row with these outputs. For its inputs, the model predicts `iris` with probability 0.925.
fn flower(outputs: &Value) -> Value {
    let inputs = json!({ "length": 6.8, "width": 2.348719, "colour": "blue" });
    json!({ "inputs": inputs, "outputs": outputs })
}

#[test]
fn reports_the_row_and_the_output_that_differ() {
    let iris = flower(&json!({ "prediction": "iris" }));
    for (name, outputs, message) in [
        (
            "label",
            json!({ "prediction": "rose" }),
            "golden row 2, output `prediction`: expected \"rose\", found \"iris\"",
        ),
        (
            "score",
            json!({ "prediction": "iris", "probabilities": { "iris": 0.9252, "rose": 0 } }),
            "golden row 2, output `probabilities.iris`: expected 0.9252, found 0.925",
        ),
        (
            "class",
            json!({ "probabilities": { "daisy": 0.1 } }),
            "golden row 2: unknown output `probabilities.daisy`",
        ),
        ("output", json!({ "scores": { "iris": 0.925 } }), "golden row 2: unknown output `scores`"),
        (
            "kind",
            json!({ "prediction": 1 }),
            "golden row 2, output `prediction`: expected 1, found \"iris\"",
        ),
    ] {
        let model = with_golden("pipeline", name, &json!([iris, flower(&outputs)]));
        let text = check(&model, 1);
        assert!(text.contains("cannot be served") && text.contains(message), "{message}: {text}");
        let served = ml_app(&["serve", "--port", "0", "--model"], &model);
        assert_eq!(served.status.code(), Some(1));
        let text = String::from_utf8(served.stderr).unwrap();
        assert!(text.contains(message) && !text.contains("listening"), "{text}");
    }
    let close = flower(&json!({ "probabilities": { "iris": 0.92505, "tulip": 0.07496 } }));
    check(&with_golden("pipeline", "close", &json!([close])), 0);
}

#[test]
fn compares_floats_above_one_by_relative_difference() {
    let row = |prediction: Value| {
        let inputs = json!({ "age": 44, "sex": 2, "bmi": 28.6, "bp": 175.6 });
        json!([{ "inputs": inputs, "outputs": { "prediction": prediction } }])
    };
    check(&with_golden("diabetes", "near", &row(json!(281.14))), 0);
    for (name, expected, message) in
        [("far", json!(281.2), "expected 281.2, found 281.1"), ("none", json!(null), "null")]
    {
        let text = check(&with_golden("diabetes", name, &row(expected)), 1);
        assert!(text.contains("golden row 1, output `prediction`: "), "{text}");
        assert!(text.contains(message), "{text}");
    }
}

#[test]
fn checks_the_shapes_of_golden_inputs() {
    let mut rows = rows_of("mixed", |output| json!({ "prediction": output }));
    rows[1]["inputs"]["image"] = json!([[0.09, 0.63], [0.22]]);
    let text = check(&with_golden("mixed", "ragged", &json!(rows)), 1);
    assert!(text.contains("metadata `ml_app.golden`: row 2, `image`: expected"), "{text}");
}

#[test]
fn reports_golden_rows_that_do_not_fit_the_model() {
    let outputs = json!({ "prediction": "iris" });
    for (name, golden, message) in [
        ("object", json!({}), "metadata `ml_app.golden`: invalid type: map"),
        ("members", json!([{ "input": {}, "outputs": {} }]), "unknown field `input`"),
        (
            "feature",
            json!([{ "inputs": { "size": 1 }, "outputs": outputs }]),
            "row 1: unknown feature `size`",
        ),
        (
            "missing",
            json!([{ "inputs": { "length": 1, "width": 2 }, "outputs": outputs }]),
            "row 1: missing feature `colour`",
        ),
        (
            "value",
            json!([{ "inputs": { "length": 1, "width": [2], "colour": "red" }, "outputs": outputs }]),
            "row 1, `width`: expected a number, found [2]",
        ),
        (
            "null",
            json!([{ "inputs": { "length": 1, "width": 2, "colour": null }, "outputs": outputs }]),
            "row 1, `colour`: expected a string, found nothing",
        ),
        ("nothing", json!([flower(&json!({}))]), "row 1, `outputs`: expected at least one"),
    ] {
        let text = check(&with_golden("pipeline", name, &golden), 1);
        assert!(text.contains("cannot be served") && text.contains(message), "{message}: {text}");
    }
}
