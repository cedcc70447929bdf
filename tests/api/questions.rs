//! Every route, asked as people ask.

use crate::case;
use crate::server::Server;
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;

#[test]
fn the_first_question() {
    let server = Server::start(&[]);
    let answer = server.get("/predict?age=21&new_user=1&total_pages_visited=14");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    let json = answer.json();
    assert_eq!(json["prediction"], 1);
    assert!((json["probabilities"]["1"].as_f64().unwrap() - 0.966707).abs() < 1e-6);
    let sum: f64 = ["0", "1"].iter().map(|c| json["probabilities"][c].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-6);
}

#[test]
fn it_says_what_it_serves_and_where() {
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
fn the_answer_has_the_shape_of_the_question() {
    let server = Server::start(&[]);
    let row = json!({ "age": 45, "new_user": 0, "total_pages_visited": 5 });
    let one = server.post_json(row.to_string()).json();
    assert_eq!(one["prediction"], 0);
    assert!((one["probabilities"]["1"].as_f64().unwrap() - 0.0358331).abs() < 1e-6);
    assert_eq!(server.post_json(json!([row]).to_string()).json(), json!([one]));
    let columns = json!({ "total_pages_visited": [5], "age": [45], "new_user": [0] });
    let answer = server.post_json(columns.to_string()).json();
    assert_eq!(answer["prediction"], json!([0]));
    assert_eq!(answer["probabilities"]["1"], json!([one["probabilities"]["1"]]));
}

#[test]
fn missing_and_infinite_values_are_served() {
    let server =
        Server::start(&["--model", case::path("diabetes", "model.onnx").to_str().unwrap()]);
    let body = r#"[{"age":null,"sex":1,"bmi":1,"bp":1},{"age":"NaN","sex":1,"bmi":1,"bp":1},
                   {"age":"Infinity","sex":1,"bmi":1,"bp":1},{"age":1,"sex":1,"bmi":1,"bp":1}]"#;
    let answer = server.post_json(body);
    let answer = answer.json();
    for row in 0..3 {
        assert_eq!(answer[row], json!({ "prediction": null }));
    }
    assert!(answer[3]["prediction"].is_f64());
    let csv = server.post("/predict", "text/csv", "age,sex,bmi,bp\n,1,1,1\ninf,1,1,1\n").body;
    let cells: Vec<&str> =
        csv.lines().skip(1).map(|line| line.rsplit_once(',').unwrap().1).collect();
    assert_eq!(cells[0], "NaN");
    assert!(cells[1].trim_start_matches('-') == "inf", "{csv}");
}

#[test]
fn an_integer_may_be_missing_or_infinite_where_the_input_is_a_float() {
    let server = Server::start(&[]);
    for age in ["null", "\"NaN\"", "\"Infinity\"", "\"-Infinity\"", "21.0"] {
        let row = format!("{{\"age\":{age},\"new_user\":1,\"total_pages_visited\":1}}");
        assert_eq!(server.post_json(row).status, 200, "{age}");
    }
    let mark = "\u{feff}{\"age\":1,\"new_user\":1,\"total_pages_visited\":1}";
    assert_eq!(server.post_json(mark).status, 200);
}

#[test]
fn values_beyond_those_of_training_are_served() {
    let server = Server::start(&[]);
    assert_eq!(server.get("/predict?age=-5&new_user=7&total_pages_visited=100000").status, 200);
}

#[test]
fn a_file_is_scored_in_three_formats() {
    let server = Server::start(&[]);
    // As spreadsheets write it: a byte order mark, CRLF, quotes; any order; more columns.
    let csv = "\u{feff}visitor,total_pages_visited,\"new_user\",age,note\r\n7,14,1,21,\"a, b\"\r\n8,5,0,45,\r\n";
    let answer = server.post_file(csv, "*/*");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("ignored-columns"), r#""visitor", "note""#);
    let json = answer.json();
    assert_eq!((&json[0]["prediction"], &json[1]["prediction"]), (&json!(1), &json!(0)));

    let table = server.post_file(csv, "text/csv");
    assert_eq!(table.header("content-type"), "text/csv");
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
fn a_long_file_is_scored_whole() {
    let server = Server::start(&[]);
    let rows = 100_000;
    let mut csv = String::from("age,new_user,total_pages_visited\n");
    for row in 0..rows {
        csv.push_str(&format!("{},{},{}\n", row % 100, row % 2, row % 31));
    }
    let answer = server.post_file(&csv, "application/x-ndjson");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body.lines().count(), rows);
    assert_eq!(server.post("/predict", "text/csv", &csv).body.lines().count(), rows + 1);
}

#[test]
fn very_many_features_may_come_in_any_order() {
    let server = case::serve("wide");
    let member = |place: usize| format!("\"x{place}\":{}", u8::from(place == 7 || place == 1234));
    let members: Vec<String> = (0..2000).rev().map(member).collect();
    let answer = server.post_json(format!("{{{}}}", members.join(",")));
    assert_eq!(answer.json(), json!({ "prediction": 1241.0 }));
}

#[test]
fn probes_and_pages() {
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
        let plain = server.send("GET", &path, &[("accept-encoding", "identity")], b"");
        assert_eq!((plain.status, plain.header("content-encoding")), (200, ""));
        assert!(plain.body.len() > 100_000);
        let (head, body) = raw(
            &server,
            &format!(
                "GET {path} HTTP/1.1\r\nhost: x\r\naccept-encoding: gzip\r\nconnection: close\r\n\r\n"
            ),
        );
        assert!(head.contains("content-encoding: gzip"), "{head}");
        let mut inflated = String::new();
        flate2::read::GzDecoder::new(body.as_slice()).read_to_string(&mut inflated).unwrap();
        assert_eq!(inflated, plain.body);
    }
    assert_eq!(server.get("/apidocs/nope.js").status, 404);
    let (head, _) =
        raw(&server, "GET /apidocs/?url=x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(head.starts_with("http/1.1 308"), "{head}");
    assert!(head.contains("location: ../apidocs\r\n"), "{head}");
}

#[test]
fn head_is_answered_as_get_without_a_body() {
    let server = Server::start(&[]);
    for path in ["/", "/apidocs", "/healthz", "/metrics", "/openapi.json"] {
        let (head, body) =
            raw(&server, &format!("HEAD {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(!head.contains("content-length: 0"), "{head}");
        assert_eq!(body, b"");
    }
}

/// The head, in lower case, and the body of the answer to bytes sent as they are.
pub fn raw(server: &Server, request: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = vec![];
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let body = answer.split_off(end + 4);
    (String::from_utf8(answer).unwrap().to_lowercase(), body)
}
