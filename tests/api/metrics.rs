//! Tests of the metrics.

use crate::case;
use crate::server::Server;
use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// Parses the metrics. Returns a map from each sample (name and labels) to its value. Asserts that each family begins
/// with its help text and its type.
fn samples(text: &str) -> HashMap<String, f64> {
    let mut samples = HashMap::new();
    let (mut family, mut kind) = ("", "");
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().unwrap();
        } else if let Some(found) = line.strip_prefix("# TYPE ") {
            kind = found.strip_prefix(family).unwrap().trim();
            assert_eq!(kind == "counter", family.ends_with("_total"), "{line}");
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line}"));
            match kind {
                "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}"),
                _ => assert_eq!(suffix, "", "{line}"),
            }
            assert!(samples.insert(sample.to_owned(), value.parse().unwrap()).is_none(), "{line}");
        }
    }
    assert!(text.ends_with('\n'));
    samples
}

#[test]
fn the_start_is_measured_in_phases() {
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let server =
        Server::start(&["--model", case::path("diabetes", "model.onnx").to_str().unwrap()]);
    let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let response = server.get("/metrics");
    assert_eq!(response.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let samples = samples(&response.body);
    let began = samples["process_start_time_seconds"];
    assert!(before - 0.001 < began && began < after, "{before} {began} {after}");

    // "ready in 2.31 ms: process 0.41, read 1.20, plan 0.10, warm-up 0.30, bind 0.30"
    let ready = server.announcement.iter().find_map(|line| line.split_once("ready in ")).unwrap().1;
    let (total, parts) = ready.trim().split_once(" ms: ").unwrap();
    let total: f64 = total.parse().unwrap();
    let mut sum = 0.0;
    let mut names = vec![];
    for part in parts.split(", ") {
        let (name, logged) = part.split_once(' ').unwrap();
        let measured = samples[&format!("ml_app_start_seconds{{phase=\"{name}\"}}")] * 1e3;
        assert!(
            (measured - logged.parse::<f64>().unwrap()).abs() < 0.01,
            "{ready} {}",
            response.body
        );
        assert!(measured > 0.0, "{ready}");
        names.push(name);
        sum += measured;
    }
    assert!((total - sum).abs() < 0.1, "{ready}");
    assert!(total / 1e3 < after - before, "{ready}");
    assert_eq!((names.first(), names.last()), (Some(&"process"), Some(&"bind")));
    assert!(names.contains(&"warm-up"), "{ready}");
}

#[test]
fn inferences_are_counted_and_timed() {
    let server = case::serve("online-sales");
    let row = r#"{"age":21,"new_user":1,"total_pages_visited":14}"#;
    assert_eq!(server.post_json(format!("[{row},{row}]")).status, 200);
    assert_eq!(server.post_json(row).status, 200);
    assert_eq!(server.post_json("{}").status, 422);
    let samples = samples(&server.get("/metrics").body);
    assert_eq!(samples["ml_app_inferences_in_flight"], 0.0);
    assert_eq!(samples["ml_app_inferences_total{result=\"success\"}"], 2.0);
    assert_eq!(samples["ml_app_inferences_total{result=\"failure\"}"], 1.0);
    assert_eq!(samples["ml_app_inference_rows_total"], 3.0);
    for part in ["decode", "infer", "encode"] {
        let sample = |suffix: &str| {
            let name = format!("ml_app_inference_duration_seconds{suffix}{{part=\"{part}\"");
            samples[&format!("{name}{}}}", if suffix == "_bucket" { ",le=\"+Inf\"" } else { "" })]
        };
        assert!(sample("_sum") > 0.0 && sample("_sum") < 1.0, "{part}");
        assert_eq!((sample("_count"), sample("_bucket")), (2.0, 2.0), "{part}");
    }
}

#[test]
fn the_build_info_identifies_program_and_model() {
    let info = |server: &Server| {
        let samples = samples(&server.get("/metrics").body);
        let info = samples.into_iter().find(|(name, _)| name.starts_with("ml_app_build_info"));
        let (info, value) = info.unwrap();
        assert_eq!(value, 1.0);
        info
    };
    let embedded = info(&case::serve("online-sales"));
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "ml_app_build_info{{version=\"{version}\",model=\"online-sales\",model_version=\"1\",model_sha256=\""
    );
    let sha256 = embedded.strip_prefix(&expected).unwrap_or_else(|| panic!("{embedded}"));
    let sha256 = sha256.strip_suffix("\"}").unwrap();
    assert!(sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let other = info(&case::serve("diabetes"));
    assert!(!other.contains(sha256), "{other}");
}

#[test]
fn requests_are_counted_by_route_protocol_and_status() {
    let server = case::serve("online-sales");
    assert_eq!(server.post_json("{}").status, 422);
    assert_eq!(server.get("/predict?age=21&new_user=1&total_pages_visited=14").status, 200);
    assert_eq!(server.get("/v2/models/online-sales").status, 200);
    // Paths with the name of the served model are counted under the pattern for any model.
    let tensor = r#"{"name":"X","shape":[1,3],"datatype":"FP32","data":[21,1,14]}"#;
    let infer = format!(r#"{{"inputs":[{tensor}]}}"#);
    let instances = r#"{"instances":[[21,1,14]]}"#;
    for (path, body, status) in [
        ("/v2/models/online-sales/infer", &*infer, 200),
        ("/v2/models/online%2Dsales/infer", &infer, 200),
        ("/v2/models/other/infer", &infer, 404),
        ("/v1/models/online-sales:predict", instances, 200),
        ("/v1/models/other:predict", instances, 404),
    ] {
        let response = server.send("POST", path, &[], body.as_bytes());
        assert_eq!(response.status, status, "{path}: {}", response.body);
    }
    assert_eq!(server.get("/no/such/route").status, 404);
    let samples = samples(&server.get("/metrics").body);
    for (route, protocol, status) in [
        ("/predict", "features", 200),
        ("/predict", "features", 422),
        ("/v2/models/{model}", "oip", 200),
        ("/v2/models/{model}/infer", "oip", 404),
        ("/v1/models/{model}:predict", "instances", 200),
        ("/v1/models/{model}:predict", "instances", 404),
        ("", "", 404),
    ] {
        let labels = format!("route=\"{route}\",protocol=\"{protocol}\",status=\"{status}\"");
        assert_eq!(samples[&format!("ml_app_http_requests_total{{{labels}}}")], 1.0, "{labels}");
    }
    let labels = "route=\"/v2/models/{model}/infer\",protocol=\"oip\",status=\"200\"";
    assert_eq!(samples[&format!("ml_app_http_requests_total{{{labels}}}")], 2.0);
    let timed = "ml_app_http_request_duration_seconds_count{route=\"/predict\"}";
    assert_eq!(samples[timed], 2.0);
}

#[test]
fn drift_of_features_and_predictions_is_counted() {
    let server = case::serve("online-sales");
    let row = |age: &str| format!(r#"{{"age":{age},"new_user":1,"total_pages_visited":14}}"#);
    // The range seen in training is 17 to 123.
    let ages = ["17", "123", "16", "124", "125", "null"];
    let rows: Vec<String> = ages.iter().map(|age| row(age)).collect();
    let response = server.post_json(format!("[{}]", rows.join(",")));
    assert_eq!(response.status, 200, "{}", response.body);
    let classes: Vec<_> =
        response.json().as_array().unwrap().iter().map(|row| row["prediction"].clone()).collect();
    let found = samples(&server.get("/metrics").body);
    let sample = |family: &str, labels: &str| found[&format!("ml_app_{family}{{{labels}}}")];
    let beyond =
        |bound| sample("feature_out_of_range_total", &format!("feature=\"age\",bound=\"{bound}\""));
    assert_eq!((beyond("minimum"), beyond("maximum")), (1.0, 2.0));
    assert_eq!(sample("feature_missing_total", "feature=\"age\""), 1.0);
    assert_eq!(sample("feature_missing_total", "feature=\"new_user\""), 0.0);
    for class in [0, 1] {
        let rows = classes.iter().filter(|found| **found == class).count() as f64;
        assert_eq!(sample("predictions_total", &format!("class=\"{class}\"")), rows);
    }

    let server = case::serve("diabetes");
    let document = server.get("/openapi.json").json();
    let row: serde_json::Map<_, _> = document["components"]["schemas"]["Row"]["properties"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, schema)| (name.clone(), schema["example"].clone()))
        .collect();
    let response = server.post_json(serde_json::Value::from(row).to_string());
    assert_eq!(response.status, 200, "{}", response.body);
    let response = response.json();
    let predicted = &response["prediction"];
    let found = samples(&server.get("/metrics").body);
    assert_eq!(found["ml_app_predictions_total"], 1.0);
    let (sum, predicted) = (found["ml_app_prediction_sum"], predicted.as_f64().unwrap());
    assert!((sum - predicted).abs() < 1e-3 * predicted.abs(), "{sum} {predicted}");
}

#[test]
fn returns_open_metrics_format_if_the_client_prefers_it() {
    let server = case::serve("online-sales");
    let accept = [("accept", "application/openmetrics-text; version=1.0.0, text/plain;q=0.5")];
    let response = server.send("GET", "/metrics", &accept, b"");
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(response.header("content-type"), content_type);
    assert!(response.body.ends_with("# EOF\n"));
    assert!(response.body.contains("# TYPE ml_app_inferences counter\nml_app_inferences_total{"));
}
