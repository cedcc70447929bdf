//! Tests with invalid values and malformed bodies. The server responds with a 4xx that states the position of the error,
//! what was expected and what was found.

use crate::case;
use crate::server::{Response, Server};
use serde_json::Value;
use std::time::Duration;

const HEADER: &str = "age,new_user,total_pages_visited\n";

/// Asserts that a response is a problem document with this status. Returns the document, and its errors in the form
/// "line 2, row 1, column 3, feature: detail".
pub fn problem(response: &Response, status: u16) -> (Value, Vec<String>) {
    assert_eq!(response.status, status, "{}", response.body);
    assert_eq!(response.header("content-type"), "application/problem+json");
    let problem = response.json();
    assert_eq!(problem["status"], status);
    assert!(problem["title"].is_string());
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    let errors = errors
        .iter()
        .map(|error| {
            let mut position = vec![];
            for key in ["line", "row", "column"] {
                if let Some(number) = error[key].as_u64() {
                    position.push(format!("{key} {number}"));
                }
            }
            position.extend(error["feature"].as_str().map(str::to_owned));
            format!("{}: {}", position.join(", "), error["detail"].as_str().unwrap())
        })
        .collect();
    (problem, errors)
}

fn assert_errors(response: &Response, status: u16, expected: &[&str]) {
    assert_eq!(problem(response, status).1, expected);
}

#[test]
fn reports_errors_in_a_query() {
    let server = Server::start(&[]);
    assert_errors(
        &server.get("/predict?age=abc&new_usr=1&total_pages_visited=2.5"),
        422,
        &[
            "row 1, age: expected an integer, found `abc`",
            "row 1, new_usr: unknown feature `new_usr` (did you mean `new_user`?)",
            "row 1, total_pages_visited: expected an integer, found `2.5`",
            "row 1, new_user: missing feature `new_user`",
        ],
    );
    assert_errors(
        &server.get("/predict?age=1&age=2&new_user=&total_pages_visited=1"),
        422,
        &[
            "row 1, age: duplicate feature `age`",
            "row 1, new_user: expected an integer, found nothing",
        ],
    );
    assert_eq!(problem(&server.get("/predict"), 422).1.len(), 3);
    let unknown = server.get("/predict?age=1&new_user=1&total_pages_visited=1&zzz=1");
    assert_errors(
        &unknown,
        422,
        &[
            "row 1, zzz: unknown feature `zzz` (the model takes `age`, `new_user`, `total_pages_visited`)",
        ],
    );
}

#[test]
fn reports_errors_in_rows() {
    let server = Server::start(&[]);
    let body = r#"[{"age":"x","new_user":true,"total_pages_visited":[1]},
        {"age":{},"new_user":1,"total_pages_visited":1e300},
        7, {"age":1,"new_user":1,"total_pages_visited":9007199254740993}, null]"#;
    assert_errors(
        &server.post_json(body),
        422,
        &[
            "row 1, age: expected an integer, found \"x\"",
            "row 1, new_user: expected an integer, found true",
            "row 1, total_pages_visited: expected an integer, found an array",
            "row 2, age: expected an integer, found an object",
            "row 2, total_pages_visited: expected an integer, found 1e300",
            "row 3: expected an object of features, found 7",
            "row 4, total_pages_visited: expected an integer, found 9007199254740993",
            "row 5: expected an object of features, found nothing",
        ],
    );
    assert_errors(&server.post_json("[]"), 422, &[": expected at least one row, found none"]);
    assert_eq!(problem(&server.post_json("{}"), 422).1.len(), 3);
}

#[test]
fn reports_errors_in_columns() {
    let server = Server::start(&[]);
    assert_errors(
        &server
            .post_json(r#"{"age":[1,2],"new_user":[1],"other":[1],"total_pages_visited":["x",2]}"#),
        422,
        &[
            "new_user: expected 2 values, as in `age`, found 1",
            "other: unknown feature `other` (the model takes `age`, `new_user`, `total_pages_visited`)",
            "row 1, total_pages_visited: expected an integer, found \"x\"",
        ],
    );
    assert_errors(
        &server.post_json(r#"{"age":[1],"new_user":1}"#),
        422,
        &[
            "new_user: expected an array of values, found 1",
            "total_pages_visited: missing feature `total_pages_visited`",
        ],
    );
    let empty = r#"{"age":[],"new_user":[],"total_pages_visited":[]}"#;
    assert_errors(&server.post_json(empty), 422, &[": expected at least one row, found none"]);
}

#[test]
fn reports_malformed_json_with_its_position() {
    let server = Server::start(&[]);
    let cases = [
        ("", ": expected at least one row, found an empty body"),
        ("{\"age\": 1,\n \"new_user\": }", "line 2, column 14: invalid JSON: expected value"),
        (
            "[{\"age\":1,\"new_user\":1,\"total_pages_visited\":1}",
            "line 1, column 47: invalid JSON: EOF while parsing a list",
        ),
        ("[] []", "line 1, column 4: invalid JSON: trailing characters"),
        (
            "\"age\"",
            "line 1, column 5: expected an object, an array of objects, or an object of arrays, \
             found string \"age\"",
        ),
        ("[{\"age\": 1e400}]", "line 1, column 14: invalid JSON: number out of range"),
    ];
    for (body, error) in cases {
        assert_errors(&server.post_json(body), 400, &[error]);
    }
    let response = server.post_json(b"[\n{\"age\": \"\xff\"}]");
    assert_errors(&response, 400, &["line 2: expected UTF-8, found other bytes"]);
    // An error in the JSON of a value is listed together with the other errors.
    let response =
        server.post_json("{\"age\": 1e400, \"new_user\": \"x\", \"total_pages_visited\": 1}");
    assert_errors(
        &response,
        400,
        &[
            "row 1, age: invalid JSON: number out of range",
            "row 1, new_user: expected an integer, found \"x\"",
        ],
    );
    // The error message contains only the start of the client's value.
    let response = server.post_json(format!("\"{}\"", "x".repeat(1 << 20)));
    problem(&response, 400);
    assert!(response.body.len() < 1000, "{}", response.body.len());
    // Deep nesting must exhaust neither the stack nor the memory.
    for (open, close) in [("[", "]"), ("{\"age\":", "}")] {
        let body = format!("{}1{}", open.repeat(200_000), close.repeat(200_000));
        let response = server.post_json(body);
        assert!((400..500).contains(&response.status), "{}", response.body);
    }
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn reports_errors_in_csv() {
    let server = Server::start(&[]);
    let csv = |body: &str| server.post("/predict", "text/csv", body);
    assert_errors(
        &csv(&format!("{HEADER}1,2\n1,x,3\n1,2,3,4\n\"a\nb\",1,1\n")),
        422,
        &[
            "line 2, row 1: expected 3 columns, as in the header, found 2",
            "line 3, row 2, new_user: expected an integer, found `x`",
            "line 4, row 3: expected 3 columns, as in the header, found 4",
            "line 5, row 4, age: expected an integer, found `a\\nb`",
        ],
    );
    assert_errors(
        &csv("aeg,new_user,new_user\n1,2,3\n"),
        422,
        &[
            "line 1, new_user: duplicate column `new_user`",
            "line 1, age: missing column `age` (found `aeg`, which is similar)",
            "line 1, total_pages_visited: missing column `total_pages_visited`",
        ],
    );
    assert_errors(&csv(HEADER), 422, &[": expected at least one row, found none"]);
    assert_errors(
        &csv(""),
        400,
        &[": expected a header row that names the columns, found an empty body"],
    );
    let response = server.post("/predict", "text/csv", [HEADER.as_bytes(), b"\xff,1,1\n"].concat());
    assert_errors(&response, 422, &["line 2, row 1, age: expected UTF-8, found `\u{fffd}`"]);
}

#[test]
fn counts_csv_lines_as_an_editor_shows_them() {
    let server = Server::start(&[]);
    let csv = "age,new_user,total_pages_visited,note\r\n1,1,1,\r\n\r\nx,1,1,\"two\r\nlines\"\r\n1,y,1,\r\n";
    assert_errors(
        &server.post("/predict", "text/csv", csv),
        422,
        &[
            "line 4, row 2, age: expected an integer, found `x`",
            "line 6, row 3, new_user: expected an integer, found `y`",
        ],
    );
}

#[test]
fn rejects_misplaced_quotes_in_csv() {
    let server = Server::start(&[]);
    let header = "age,new_user,total_pages_visited,note\n";
    let csv = format!("{header}1,1,1,\"abc\n2,2,2,x\n3,3,3,y\n");
    let error = "line 2, column 7: expected a closing quote for the quote opened here, found the end of the file";
    assert_errors(&server.post("/predict", "text/csv", csv), 400, &[error]);
    let csv = format!("{header}1,1,1,\"a\"b\n");
    let error = "line 2, column 10: expected a comma or the end of the line after a closing quote, found other text";
    assert_errors(&server.post_file(csv, "*/*"), 400, &[error]);
}

/// Each body would take much time or memory if the server did not stop early.
#[test]
fn rejects_expensive_bodies_fast_and_in_little_memory() {
    let server = Server::start(&[]);
    let long = "k".repeat(250);
    let names: Vec<String> = (0..100_000).map(|i| format!("\"{long}{i}\":1")).collect();
    let commas = ",".repeat(30 << 20);
    let bodies = [
        ("text/csv", commas.clone(), 400),
        ("text/csv", format!("\n{commas}"), 400),
        ("text/csv", format!("\"\n\"{commas}"), 400),
        ("text/csv", format!("{HEADER}1,1,1\n{commas}"), 400),
        ("text/csv", "abcd,".repeat(60_000), 422),
        ("application/json", format!("[{}0]", "0,".repeat(15 << 20)), 422),
        ("application/json", format!("[{}{{}}]", "{},".repeat(10 << 20)), 422),
        ("application/json", format!("{{{}}}", names.join(",")), 422),
        ("application/x-ndjson", "{}\n".repeat(10 << 20), 422),
    ];
    for (content_type, body, status) in bodies {
        let before = server.processor_time();
        let (problem, _) = problem(&server.post("/predict", content_type, body), status);
        let took = server.processor_time() - before;
        assert!(took < Duration::from_secs(20), "{content_type} {took:?}");
        assert!(problem.to_string().len() < 100_000);
    }
    let peak = server.peak_memory();
    assert!(peak < 700 << 20, "{} MiB", peak >> 20);
}

/// The server parses short bodies on the I/O threads. Slow parsing would delay the probes, which the same threads
/// serve.
#[test]
fn reports_unknown_names_of_a_wide_model_fast() {
    let server = case::serve("wide");
    let similar = |i: usize| format!("x{i}y");
    let different = |i: usize| format!("{}{i}", "k".repeat(240));
    let names = |name: &dyn Fn(usize) -> String| (0..99).map(name).collect::<Vec<_>>();
    for names in [names(&similar), names(&different)] {
        let members: Vec<String> = names.iter().map(|name| format!("\"{name}\":1")).collect();
        let bodies = [
            ("text/csv", names.join(",")),
            ("application/json", format!("[{{{}}}]", members.join(","))),
        ];
        for (content_type, body) in bodies {
            let before = server.processor_time();
            problem(&server.post("/predict", content_type, body), 422);
            let took = server.processor_time() - before;
            assert!(took < Duration::from_secs(2), "{took:?}");
        }
    }
}

#[test]
fn accepts_lines_that_end_with_carriage_returns() {
    let csv = format!("{HEADER}{}", "21,1,14\n".repeat(40_000)).replace('\n', "\r");
    let response = Server::start(&[]).post("/predict", "text/csv", csv);
    assert_eq!((response.status, response.body.lines().count()), (200, 40_001));
}

#[test]
fn reports_one_invalid_cell_in_a_hundred_thousand_rows() {
    let server = Server::start(&[]);
    let mut csv = HEADER.to_owned();
    for row in 0..100_000 {
        csv.push_str(if row == 77_776 { "1,one,1\n" } else { "1,1,1\n" });
    }
    let response = server.post_file(&csv, "text/csv");
    let error = "line 77778, row 77777, new_user: expected an integer, found `one`";
    assert_errors(&response, 422, &[error]);
}

#[test]
fn lists_at_most_a_hundred_errors_and_counts_the_rest() {
    let server = Server::start(&[]);
    let csv = format!("{HEADER}{}", "x,1,1\n".repeat(5000));
    let (problem, errors) = problem(&server.post("/predict", "text/csv", csv), 422);
    assert_eq!(errors.len(), 100);
    assert_eq!(problem["errors_omitted"], 4900);
    assert!(problem["detail"].as_str().unwrap().ends_with("(and 4999 more errors)"));
}

#[test]
fn reports_errors_in_ndjson() {
    let server = Server::start(&[]);
    let body = "{\"age\":1,\"new_user\":1,\"total_pages_visited\":1}\n\n{\"age\":\n{\"age\":1,\"new_user\":1}\n[]\n";
    assert_errors(
        &server.post("/predict", "application/x-ndjson", body),
        400,
        &[
            "line 3, row 2, column 7: invalid JSON: EOF while parsing a value",
            "line 4, row 3, total_pages_visited: missing feature `total_pages_visited`",
            "line 5, row 4: expected an object of features, found an array",
        ],
    );
}

#[test]
fn reports_values_that_do_not_fit_the_type_of_their_feature() {
    let server = case::serve("mixed");
    let row =
        r#"{"x0":1e39,"x1":1,"count":9223372036854775808,"flag":1,"city":3,"image":[[1,2],[3]]}"#;
    assert_errors(
        &server.post_json(row),
        422,
        &[
            "row 1, x0: expected a value in the range of float, found 1e39",
            "row 1, count: expected a value in the range of int64, found 9223372036854775808",
            "row 1, flag: expected a boolean, found 1",
            "row 1, city: expected a string, found 3",
            "row 1, image: invalid array of 2 × 2 numbers: expected 2 entries, found 1",
        ],
    );
    for image in ["1", "[1,2]", "[[[1]]]", "[[1,2],[3,\"x\"]]", "{}", "[]"] {
        let row = format!(r#"{{"x0":1,"x1":1,"count":1,"flag":true,"city":"","image":{image}}}"#);
        let (_, errors) = problem(&server.post_json(row), 422);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with("row 1, image: "), "{errors:?}");
    }
    let query = "/predict?x0=1&x1=2&count=4&flag=true&city=a&image=[[1,2";
    let error = "row 1, image: expected a JSON array, found `[[1,2`";
    assert_errors(&server.get(query), 422, &[error]);
}

#[test]
fn reports_rows_for_which_the_model_has_outputs_of_different_shapes() {
    let model = case::path("odd", "ragged.onnx");
    let server = Server::start(&["--model", model.to_str().unwrap()]);
    let few = r#"{"x0":1,"x1":0,"x2":0,"x3":0}"#;
    let many = r#"{"x0":1,"x1":1,"x2":1,"x3":0}"#;
    assert_eq!(server.post_json(format!("[{many},{many}]")).status, 200);
    for rows in [format!("[{few},{many}]"), format!("[{many},{few}]")] {
        let (found, _) = problem(&server.post_json(rows), 422);
        assert_eq!(found["detail"], "the model cannot compute a result for these values");
    }
}
