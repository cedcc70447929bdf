//! Tests of properties that all protocols share, and tests with bodies too large for the recorded requests.

use crate::case::{self, columns};
use crate::server::Server;
use flate2::Compression;
use flate2::read::{GzEncoder, ZlibEncoder};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const INFER: &str = "/v2/models/online-sales/infer";
const LENGTH: &str = "inference-header-content-length";

/// Returns the rows of the embedded model's golden file.
fn rows() -> Vec<[f32; 3]> {
    let golden = columns(&case::text("online-sales", "golden.csv"));
    let number = |feature: usize, row: usize| golden[feature].1[row].parse().unwrap();
    (0..golden[0].1.len()).map(|row| std::array::from_fn(|feature| number(feature, row))).collect()
}

fn le_bytes(rows: &[[f32; 3]]) -> Vec<u8> {
    rows.as_flattened().iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Returns the JSON of a request whose input follows the JSON as bytes. The request also asks for both outputs as bytes.
fn binary_json(rows: usize) -> Vec<u8> {
    let input = json!({
        "name": "X", "shape": [rows, 3], "datatype": "FP32",
        "parameters": { "binary_data_size": rows * 12 },
    });
    json!({ "inputs": [input], "parameters": { "binary_data_output": true } }).to_string().into()
}

/// Sends an inference request. Returns the status, the headers in lower case, and the body, which may be binary.
fn send(server: &Server, headers: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
    let head = format!(
        "POST {INFER} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut response = vec![];
    stream.read_to_end(&mut response).unwrap();
    let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let body = response.split_off(end + 4);
    let head = String::from_utf8(response).unwrap().to_ascii_lowercase();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head, body)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Decodes the labels and probabilities of a binary response.
fn outputs(head: &str, body: &[u8]) -> (Vec<i64>, Vec<f32>) {
    let (json, tensors) = body.split_at(header(head, LENGTH).unwrap().parse().unwrap());
    let json: Value = serde_json::from_slice(json).unwrap();
    let rows = json["outputs"][0]["shape"][0].as_u64().unwrap() as usize;
    assert_eq!(json["outputs"][1]["shape"], json!([rows, 2]));
    let (labels, probabilities) = tensors.split_at(rows * 8);
    assert_eq!(probabilities.len(), rows * 8);
    let labels = labels.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes));
    let probabilities = probabilities.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    (labels.collect(), probabilities.collect())
}

#[test]
fn every_protocol_returns_the_same_numbers() {
    let rows = rows();
    let server = case::serve("online-sales");
    let headers = format!("{LENGTH}: {}\r\n", binary_json(rows.len()).len());
    let body = [binary_json(rows.len()), le_bytes(&rows)].concat();
    let (status, head, response) = send(&server, &headers, &body);
    assert_eq!(status, 200);
    let (labels, probabilities) = outputs(&head, &response);
    assert_eq!(labels.len(), rows.len());

    let assert_same = |name: &str, label: &Value, probability: &Value, row: usize, class: usize| {
        assert_eq!(label.as_i64(), Some(labels[row]), "{name}, row {row}");
        let found = probability.as_f64().unwrap() as f32;
        let expected = probabilities[row * 2 + class];
        assert_eq!(found.to_bits(), expected.to_bits(), "{name}, row {row}");
    };
    let data: Vec<f32> = rows.as_flattened().to_vec();
    let tensors = json!({
        "inputs": [{ "name": "X", "shape": [rows.len(), 3], "datatype": "FP32", "data": data }],
    });
    let named = |row: &[f32; 3]| json!({ "age": row[0], "new_user": row[1], "total_pages_visited": row[2] });
    let objects: Vec<Value> = rows.iter().map(named).collect();
    let post = |path: &str, body: Value| {
        let response = server.post(path, "application/json", body.to_string());
        assert_eq!(response.status, 200, "{path}: {}", response.body);
        response.json()
    };
    for path in [INFER, "/invocations"] {
        let response = post(path, tensors.clone());
        let [label, probability] = [0, 1].map(|output| &response["outputs"][output]["data"]);
        for row in 0..rows.len() {
            for class in [0, 1] {
                assert_same(path, &label[row], &probability[row * 2 + class], row, class);
            }
        }
    }
    let vertex = "/v1/endpoints/1/deployedModels/2:predict";
    for path in ["/v1/models/online-sales:predict", vertex, "/invocations"] {
        for instances in [json!(rows), json!(objects)] {
            let response = post(path, json!({ "instances": instances }));
            for row in 0..rows.len() {
                let prediction = &response["predictions"][row];
                let probability = &prediction["output_probability"];
                assert_same(path, &prediction["output_label"], &probability[0], row, 0);
                assert_same(path, &prediction["output_label"], &probability[1], row, 1);
            }
        }
    }
    for path in ["/predict", "/invocations"] {
        let response = post(path, json!(objects));
        for row in 0..rows.len() {
            let prediction = &response[row];
            assert_same(path, &prediction["prediction"], &prediction["probabilities"]["1"], row, 1);
        }
    }
}

#[test]
fn limits_the_decompressed_size_of_bodies() {
    let server = Server::start(&["--max-body", "1MiB"]);
    let before = server.peak_memory();
    let bomb = vec![b' '; 1 << 30];
    let gzip = |body: &[u8]| {
        let mut compressed = vec![];
        GzEncoder::new(body, Compression::best()).read_to_end(&mut compressed).unwrap();
        compressed
    };
    let mut zlib = vec![];
    ZlibEncoder::new(&bomb[..], Compression::best()).read_to_end(&mut zlib).unwrap();
    let bombs = [("gzip", gzip(&bomb)), ("deflate", zlib)];
    for (coding, bomb) in &bombs {
        // Even the first 1 MiB of the compressed body, which is within the limit, decompresses to far more.
        let bomb = &bomb[..bomb.len().min(1 << 20)];
        let (status, _, body) = send(&server, &format!("Content-Encoding: {coding}\r\n"), bomb);
        assert_eq!(status, 413, "{}", String::from_utf8_lossy(&body));
        let headers = [("content-encoding", *coding), ("content-type", "application/json")];
        assert_eq!(server.send("POST", "/predict", &headers, bomb).status, 413);
    }
    let grown = server.peak_memory() - before;
    // The growth includes pages of code that are loaded meanwhile.
    assert!(grown < 32 << 20, "{grown}");
    let body = json!({ "inputs": [{ "name": "X", "shape": [1, 3], "datatype": "FP32", "data": [21, 1, 14] }] });
    // A gzip body may consist of several compressed parts.
    let twice = [gzip(b" "), gzip(body.to_string().as_bytes())].concat();
    assert_eq!(send(&server, "Content-Encoding: gzip\r\n", &twice).0, 200);
}

#[test]
fn compresses_responses_on_request() {
    let server = case::serve("online-sales");
    let rows = rows();
    let data: Vec<f32> = rows.as_flattened().to_vec();
    let body = json!({
        "inputs": [{ "name": "X", "shape": [rows.len(), 3], "datatype": "FP32", "data": data }],
    });
    let body = body.to_string();
    let (_, head, uncompressed) = send(&server, "", body.as_bytes());
    assert_eq!(header(&head, "content-encoding"), None);
    for coding in ["gzip", "deflate"] {
        let (status, head, response) =
            send(&server, &format!("Accept-Encoding: {coding}\r\n"), body.as_bytes());
        assert_eq!((status, header(&head, "content-encoding")), (200, Some(coding)));
        let mut inflated = vec![];
        match coding {
            "gzip" => flate2::read::GzDecoder::new(&response[..]).read_to_end(&mut inflated),
            _ => flate2::read::ZlibDecoder::new(&response[..]).read_to_end(&mut inflated),
        }
        .unwrap();
        assert!(inflated == uncompressed, "{coding}");
    }
    for coding in ["identity", "br", "gzip;q=0"] {
        let (_, head, _) =
            send(&server, &format!("Accept-Encoding: {coding}\r\n"), body.as_bytes());
        assert_eq!(header(&head, "content-encoding"), None, "{coding}");
    }
}

/// A body may omit values: it may contain rows `{}`, or only one of several columns. Then the body is short, but the
/// tensors also contain the omitted values.
#[test]
fn limits_the_number_of_values_that_are_left_out() {
    let limit = ["--max-body", "64KiB"];
    let args = case::model("dictionary");
    let args: Vec<&str> = args.iter().map(String::as_str).chain(limit).collect();
    let dictionary = Server::start(&args);
    let online_sales = Server::start(&limit);
    let list = |entry: &str, count: usize| format!("[{}]", vec![entry; count].join(","));
    let column = |name: &str, rows| format!("{{\"{name}\":{}}}", list("0", rows));
    // A row has four values in the model `dictionary`, and three in the model `online-sales`.
    let (max_dictionary_rows, max_online_sales_rows) = ((64 << 10) / 4, (64 << 10) / 3);
    let (json, csv) = ("application/json", "text/csv");
    let within_limit = [
        (&dictionary, "/predict", json, list("{}", max_dictionary_rows)),
        (&dictionary, "/predict", csv, format!("temp\n{}", "1\n".repeat(max_dictionary_rows))),
        (
            &dictionary,
            "/v1/models/dictionary:predict",
            json,
            format!("{{\"instances\":{}}}", list("{}", max_dictionary_rows)),
        ),
        (&dictionary, "/predict", json, column("temp", max_dictionary_rows)),
    ];
    for (server, path, content_type, body) in within_limit {
        assert_eq!(server.post(path, content_type, &body).status, 200, "{path} {content_type}");
    }
    let too_large = [
        (&dictionary, "/predict", json, list("{}", max_dictionary_rows + 1)),
        (&dictionary, "/predict", "application/x-ndjson", "{}\n".repeat(max_dictionary_rows + 1)),
        (&dictionary, "/predict", csv, format!("temp\n{}", "1\n".repeat(max_dictionary_rows + 1))),
        (
            &dictionary,
            "/v1/models/dictionary:predict",
            json,
            format!("{{\"instances\":{}}}", list("{}", max_dictionary_rows + 1)),
        ),
        (&online_sales, "/predict", json, column("age", max_online_sales_rows + 1)),
        (
            &online_sales,
            "/v1/models/online-sales:predict",
            json,
            format!("{{\"inputs\":{}}}", column("age", max_online_sales_rows + 1)),
        ),
    ];
    for (server, path, content_type, body) in too_large {
        let response = server.post(path, content_type, &body);
        assert_eq!(response.status, 413, "{path} {content_type}: {}", response.body);
        let expected = "expected rows of at most 65536 values in total, found more";
        assert!(response.body.contains(expected), "{}", response.body);
    }
}

#[test]
fn predicts_a_million_rows() {
    let server = case::serve("online-sales");
    let rows = vec![[21.0, 1.0, 14.0]; 1_000_000];
    let (status, head, response) = send(&server, &format!("{LENGTH}: 0\r\n"), &le_bytes(&rows));
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&response[..response.len().min(200)]));
    let (labels, probabilities) = outputs(&head, &response);
    assert!(labels.len() == rows.len() && labels.iter().all(|label| *label == 1));
    assert!(probabilities.chunks(2).all(|pair| pair == &probabilities[..2]));
}

#[test]
fn accepts_a_body_in_very_many_chunks() {
    let server = case::serve("online-sales");
    let body = json!({ "instances": [[21, 1, 14]] }).to_string();
    let mut request = b"POST /v1/models/online-sales:predict HTTP/1.1\r\nHost: localhost\r\n\
        Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        .to_vec();
    for byte in [" ".repeat(100_000), body].concat().bytes() {
        request.extend_from_slice(&[b'1', b'\r', b'\n', byte, b'\r', b'\n']);
    }
    request.extend_from_slice(b"0\r\n\r\n");
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(&request).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
}

#[test]
fn survives_clients_that_disconnect_at_any_time() {
    let server = case::serve("online-sales");
    let head = format!("POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n");
    for sent in
        [&head.as_bytes()[..20], head.as_bytes(), &[head.as_bytes(), b"{\"inputs\":["].concat()]
    {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(sent).unwrap();
    }
    // This client sends a request and disconnects without reading the response.
    let rows = vec![[21.0, 1.0, 14.0]; 100_000];
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let body = le_bytes(&rows);
    let head = format!(
        "POST {INFER} HTTP/1.1\r\nHost: localhost\r\n{LENGTH}: 0\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
    drop(stream);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(server.get("/v2/health/ready").status, 200);
}

#[test]
fn statistics_count_inferences() {
    let server = case::serve("online-sales");
    server.post(
        "/v1/models/online-sales:predict",
        "application/json",
        r#"{"instances":[[1,0,2],[3,1,4]]}"#,
    );
    server.get("/predict?age=21&new_user=1&total_pages_visited=14");
    server.post(INFER, "application/json", "{");
    let stats = server.get("/v2/models/online-sales/stats").json();
    let stats = &stats["model_stats"][0];
    assert_eq!((&stats["inference_count"], &stats["execution_count"]), (&json!(3), &json!(2)));
    let sums = &stats["inference_stats"];
    assert_eq!((&sums["success"]["count"], &sums["fail"]["count"]), (&json!(2), &json!(1)));
    let ns = |name: &str| sums[name]["ns"].as_u64().unwrap();
    let parts = ["queue", "compute_input", "compute_infer", "compute_output"].map(ns);
    assert_eq!(parts.iter().sum::<u64>(), ns("success"));
    assert!(parts[1..].iter().all(|part| *part > 0), "{parts:?}");
    assert_eq!(server.get("/v2/models/stats").json()["model_stats"][0], *stats);
}

#[test]
fn serves_the_routes_that_vertex_ai_sets() {
    let routes = [
        ("AIP_HTTP_PORT", "0"),
        ("AIP_PREDICT_ROUTE", "/predict"),
        ("AIP_HEALTH_ROUTE", "/health/check"),
    ];
    let server = Server::start_in(&routes, &[]);
    assert_eq!(server.get("/health/check").status, 200);
    let response = server.post_json(r#"{"instances":[[21,1,14]]}"#).json();
    assert_eq!(response["predictions"][0]["output_label"], 1);
    // This route also accepts named features.
    let response = server.post_json(r#"{"age":21,"new_user":1,"total_pages_visited":14}"#).json();
    assert_eq!(response["prediction"], 1);
}

#[test]
fn responses_repeat_request_ids_and_trace_ids() {
    let server = case::serve("online-sales");
    let send = |headers: &[(&str, &str)]| {
        let response = server.send("GET", "/v2/health/live", headers, b"");
        ["x-request-id", "traceparent"].map(|name| response.header(name).to_owned())
    };
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let parent = format!("00-{trace}-b7ad6b7169203331-01");
    let [id, found] = send(&[("x-request-id", "abc-1"), ("traceparent", &parent)]);
    assert_eq!(id, "abc-1");
    assert!(found.starts_with(&format!("00-{trace}-")) && found.ends_with("-01"), "{found}");
    assert_ne!(found, parent);
    let made: Vec<_> = (0..3).map(|_| send(&[])).collect();
    for (index, [id, parent]) in made.iter().enumerate() {
        assert_eq!((id.len(), parent.len()), (32, 55), "{id} {parent}");
        assert!(
            made[..index].iter().all(|[earlier_id, earlier]| earlier_id != id && earlier != parent)
        );
    }
    let long = "x".repeat(200);
    for bad in ["", "a b", &long] {
        assert_eq!(send(&[("x-request-id", bad)])[0].len(), 32, "{bad}");
    }
}
