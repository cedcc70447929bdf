//! Tests of the project's own routes, with requests as clients send them.

use crate::case;
use crate::server::Server;
use serde_json::json;
use std::io::Read;

#[test]
fn predicts_the_row_of_a_query() {
    let server = Server::start(&[]);
    let response = server.get("/predict?age=21&new_user=1&total_pages_visited=14");
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), "application/json");
    let json = response.json();
    assert_eq!(json["prediction"], 1);
    assert!((json["probabilities"]["1"].as_f64().unwrap() - 0.966707).abs() < 1e-6);
    let sum: f64 = ["0", "1"].iter().map(|c| json["probabilities"][c].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-6);
}

#[test]
fn announces_the_model_and_the_address() {
    let server = Server::start(&[]);
    let announcement = server.announcement.concat();
    assert!(announcement.contains("model online-sales version 1"), "{announcement}");
    assert!(announcement.contains("age integer, new_user integer, total_pages_visited integer"));
    assert!(
        announcement.contains(&format!("http://{}/apidocs", server.address())),
        "{announcement}"
    );
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn the_response_has_the_layout_of_the_request() {
    let server = Server::start(&[]);
    let row = json!({ "age": 45, "new_user": 0, "total_pages_visited": 5 });
    let one = server.post_json(row.to_string()).json();
    assert_eq!(one["prediction"], 0);
    assert!((one["probabilities"]["1"].as_f64().unwrap() - 0.0358331).abs() < 1e-6);
    assert_eq!(server.post_json(json!([row]).to_string()).json(), json!([one]));
    let columns = json!({ "total_pages_visited": [5], "age": [45], "new_user": [0] });
    let response = server.post_json(columns.to_string()).json();
    assert_eq!(response["prediction"], json!([0]));
    assert_eq!(response["probabilities"]["1"], json!([one["probabilities"]["1"]]));
}

#[test]
fn predicts_with_missing_and_infinite_values() {
    let server =
        Server::start(&["--model", case::path("diabetes", "model.onnx").to_str().unwrap()]);
    let body = r#"[{"age":null,"sex":1,"bmi":1,"bp":1},{"age":"NaN","sex":1,"bmi":1,"bp":1},
                   {"age":"Infinity","sex":1,"bmi":1,"bp":1},{"age":1,"sex":1,"bmi":1,"bp":1}]"#;
    let response = server.post_json(body);
    let response = response.json();
    for row in 0..3 {
        assert_eq!(response[row], json!({ "prediction": null }));
    }
    assert!(response[3]["prediction"].is_f64());
    let csv = server.post("/predict", "text/csv", "age,sex,bmi,bp\n,1,1,1\ninf,1,1,1\n").body;
    let cells: Vec<&str> =
        csv.lines().skip(1).map(|line| line.rsplit_once(',').unwrap().1).collect();
    assert_eq!(cells[0], "NaN");
    assert!(cells[1].trim_start_matches('-') == "inf", "{csv}");
}

#[test]
fn an_integer_feature_of_a_float_input_may_be_missing_or_infinite() {
    let server = Server::start(&[]);
    for age in ["null", "\"NaN\"", "\"Infinity\"", "\"-Infinity\"", "21.0"] {
        let row = format!("{{\"age\":{age},\"new_user\":1,\"total_pages_visited\":1}}");
        assert_eq!(server.post_json(row).status, 200, "{age}");
    }
    let with_bom = "\u{feff}{\"age\":1,\"new_user\":1,\"total_pages_visited\":1}";
    assert_eq!(server.post_json(with_bom).status, 200);
}

#[test]
fn predicts_with_values_outside_the_range_of_training() {
    let server = Server::start(&[]);
    assert_eq!(server.get("/predict?age=-5&new_user=7&total_pages_visited=100000").status, 200);
}

#[test]
fn scores_a_file_in_three_formats() {
    let server = Server::start(&[]);
    // The file has a byte order mark, CR LF and quotes, as files from spreadsheets do. The order of its columns
    // differs from the model's order, and two columns are not features.
    let csv = "\u{feff}visitor,total_pages_visited,\"new_user\",age,note\r\n7,14,1,21,\"a, b\"\r\n8,5,0,45,\r\n";
    let response = server.post_file(csv, "*/*");
    assert_eq!(response.status, 200, "{}", response.body);
    assert_eq!(response.header("ignored-columns"), r#""visitor", "note""#);
    let json = response.json();
    assert_eq!((&json[0]["prediction"], &json[1]["prediction"]), (&json!(1), &json!(0)));

    let table = server.post_file(csv, "text/csv");
    assert_eq!(table.header("content-type"), "text/csv; charset=utf-8");
    let probabilities = &json[0]["probabilities"];
    let lines: Vec<&str> = table.body.lines().collect();
    assert_eq!(
        lines[0],
        "visitor,total_pages_visited,new_user,age,note,prediction,probability_0,probability_1"
    );
    let expected = format!("7,14,1,21,\"a, b\",1,{},{}", probabilities["0"], probabilities["1"]);
    assert_eq!(lines[1], expected);
    assert_eq!(lines.len(), 3);

    let lines = server.post_file(csv, "application/x-ndjson");
    assert_eq!(lines.header("transfer-encoding"), "chunked");
    let lines: Vec<serde_json::Value> =
        lines.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(json!(lines), json);
}

#[test]
fn scores_every_row_of_a_long_file() {
    let server = Server::start(&[]);
    let rows = 100_000;
    let mut csv = String::from("age,new_user,total_pages_visited\n");
    for row in 0..rows {
        csv.push_str(&format!("{},{},{}\n", row % 100, row % 2, row % 31));
    }
    let response = server.post_file(&csv, "application/x-ndjson");
    assert_eq!(response.status, 200);
    assert_eq!(response.body.lines().count(), rows);
    assert_eq!(server.post("/predict", "text/csv", &csv).body.lines().count(), rows + 1);
}

#[test]
fn accepts_two_thousand_features_in_any_order() {
    let server = case::serve("wide");
    let member = |index: usize| format!("\"x{index}\":{}", u8::from(index == 7 || index == 1234));
    let members: Vec<String> = (0..2000).rev().map(member).collect();
    let response = server.post_json(format!("{{{}}}", members.join(",")));
    assert_eq!(response.json(), json!({ "prediction": 1241.0 }));
}

#[test]
fn serves_probes_and_pages() {
    let server = Server::start(&[]);
    assert_eq!(server.get("/healthz").json(), json!({ "live": true }));
    assert_eq!(server.get("/readyz").json(), json!({ "ready": true }));
    assert_eq!(server.get("/").json(), json!({ "status": "alive" }));
    let index = server.send("GET", "/", &[("Accept", "text/html,*/*;q=0.8")], b"");
    assert_eq!((index.status, index.header("vary")), (200, "accept"));
    assert!(index.body.contains("url=apidocs"));
    let page = server.get("/apidocs");
    assert!(page.body.contains("<title>online-sales</title>"));
    for asset in ["swagger-ui.css", "swagger-ui-bundle.js"] {
        let path = format!("/apidocs/{asset}");
        assert!(page.body.contains(&path[1..]));
        let uncompressed = server.send("GET", &path, &[("accept-encoding", "identity")], b"");
        assert_eq!((uncompressed.status, uncompressed.header("content-encoding")), (200, ""));
        assert!(uncompressed.body.len() > 100_000);
        let (head, body) = server.send_raw(&format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\naccept-encoding: gzip\r\nconnection: close\r\n\r\n"
        ));
        assert!(head.contains("content-encoding: gzip"), "{head}");
        let mut inflated = String::new();
        flate2::read::GzDecoder::new(body.as_slice()).read_to_string(&mut inflated).unwrap();
        assert_eq!(inflated, uncompressed.body);
    }
    assert_eq!(server.get("/apidocs/nope.js").status, 404);
    let (head, _) =
        server.send_raw("GET /apidocs/?url=x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(head.starts_with("http/1.1 308"), "{head}");
    assert!(head.contains("location: ../apidocs\r\n"), "{head}");
}

#[test]
fn ignores_a_slash_at_the_end_of_a_path() {
    let server = Server::start(&[]);
    for path in [
        "/predict",
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/v2",
        "/v2/models/stats",
        "/v2/models/online-sales",
        "/v1/models",
        "/v1/models/online-sales",
        "/ping",
    ] {
        let query = "?age=21&new_user=1&total_pages_visited=14";
        let [with, without] = [format!("{path}/{query}"), format!("{path}{query}")];
        let (with, without) = (server.get(&with), server.get(&without));
        assert_eq!((with.status, without.status), (200, 200), "{path}");
        assert_eq!(with.header("content-type"), without.header("content-type"), "{path}");
    }
    let row = "[{\"age\": 21, \"new_user\": 1, \"total_pages_visited\": 14}]";
    let instances = "{\"instances\": [[21, 1, 14]]}";
    for (path, body) in [
        ("/predict/", row),
        ("/invocations/", instances),
        ("/v1/models/online-sales:predict/", instances),
        ("/v1/models/online-sales/versions/1:predict/", instances),
    ] {
        let response = server.post(path, "application/json", body);
        assert_eq!(response.status, 200, "{path}: {}", response.body);
    }
    for path in ["/predict//", "//", "/v1/models//", "/v2/models/online-sales//"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
}

#[test]
fn responds_to_options_with_the_methods_of_a_path() {
    let server = Server::start(&[]);
    for (path, allow) in [
        ("/predict", "GET, HEAD, POST, OPTIONS"),
        ("/predict/", "GET, HEAD, POST, OPTIONS"),
        ("/v2/models/online-sales/infer", "POST, OPTIONS"),
        ("/healthz", "GET, HEAD, OPTIONS"),
    ] {
        let response = server.send("OPTIONS", path, &[], b"");
        assert_eq!((response.status, response.header("allow")), (204, allow), "{path}");
        assert_eq!(response.body, "");
    }
    assert_eq!(server.send("OPTIONS", "/nope", &[], b"").status, 404);
}

#[test]
fn responds_to_head_like_get_without_a_body() {
    let server = Server::start(&[]);
    for path in ["/", "/apidocs", "/healthz", "/metrics", "/openapi.json"] {
        let (head, body) = server
            .send_raw(&format!("HEAD {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(!head.contains("content-length: 0"), "{head}");
        assert_eq!(body, b"");
    }
}
