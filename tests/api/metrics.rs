//! What the server tells of itself.

use crate::case;
use crate::server::Server;
use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// Samples by name with labels. Each family has its help and its type before it.
fn samples(text: &str) -> HashMap<String, f64> {
    let mut samples = HashMap::new();
    let (mut family, mut kind) = ("", "");
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().unwrap();
        } else if let Some(told) = line.strip_prefix("# TYPE ") {
            kind = told.strip_prefix(family).unwrap().trim();
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
    let answer = server.get("/metrics");
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let samples = samples(&answer.body);
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
        let told = samples[&format!("ml_app_start_seconds{{phase=\"{name}\"}}")] * 1e3;
        assert!((told - logged.parse::<f64>().unwrap()).abs() < 0.01, "{ready} {}", answer.body);
        assert!(told > 0.0, "{ready}");
        names.push(name);
        sum += told;
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
fn metrics_tell_which_program_and_model_answer() {
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
