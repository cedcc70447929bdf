//! Compares the server's predictions with those of scikit-learn and ONNX Runtime, and compares the predictions in all
//! formats with each other.

use crate::case::{self, columns, csv_of, numbers};
use serde_json::{Value, json};

fn assert_near(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (found - expected).abs();
        assert!(difference <= tolerance, "row {row}: expected {expected}, found {found}");
    }
}

#[test]
fn probabilities_agree_with_scikit_learn() {
    let golden = columns(&case::text("online-sales", "golden.csv"));
    assert!(golden[0].1.len() >= 1000);
    let server = case::serve("online-sales");
    let response = server.post("/predict", "text/csv", csv_of(&golden, 3));
    assert_eq!(response.status, 200, "{}", response.body);
    let found = columns(&response.body);
    let names: Vec<&String> = found.iter().map(|(name, _)| name).collect();
    let expected: Vec<&String> = golden.iter().map(|(name, _)| name).collect();
    assert_eq!(names, expected);
    assert_eq!(found[3], golden[3], "labels");
    for name in ["probability_0", "probability_1"] {
        assert_near(&numbers(&found, name), &numbers(&golden, name), 1e-6);
    }
}

#[test]
fn every_format_returns_the_same_numbers() {
    let golden = columns(&case::text("online-sales", "golden.csv"));
    let server = case::serve("online-sales");
    let csv = csv_of(&golden, 3);
    let rows: Vec<Value> = (0..golden[0].1.len())
        .map(|row| {
            let cells = golden[..3].iter();
            cells.map(|(name, values)| (name.clone(), number(&values[row]))).collect()
        })
        .collect();

    let by_rows = server.post_json(Value::from(rows.clone()).to_string()).json();
    let expected = by_rows.as_array().unwrap();
    assert_eq!(expected.len(), rows.len());

    let by_file = server.post_file(&csv, "application/json").json();
    assert_eq!(by_file, by_rows);

    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let by_lines = server.post("/predict", "application/x-ndjson", &lines);
    assert_eq!(by_lines.header("content-type"), "application/x-ndjson; charset=utf-8");
    let by_lines: Vec<Value> =
        by_lines.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(&by_lines, expected);

    let columns_of_rows: Value = golden[..3]
        .iter()
        .map(|(name, values)| {
            (name.clone(), values.iter().map(|value| number(value)).collect::<Value>())
        })
        .collect();
    let by_columns = server.post_json(columns_of_rows.to_string()).json();
    for (row, expected) in expected.iter().enumerate() {
        assert_eq!(by_columns["prediction"][row], expected["prediction"]);
        for class in ["0", "1"] {
            let found = &by_columns["probabilities"][class][row];
            assert_eq!(found, &expected["probabilities"][class]);
        }
    }

    let by_csv = columns(&server.post("/predict", "text/csv", &csv).body);
    for (row, expected) in expected.iter().enumerate() {
        assert_eq!(number(&by_csv[4].1[row]), expected["probabilities"]["0"]);
        assert_eq!(number(&by_csv[5].1[row]), expected["probabilities"]["1"]);
    }

    for row in (0..rows.len()).step_by(97) {
        assert_eq!(server.post_json(rows[row].to_string()).json(), expected[row]);
        let query: Vec<String> =
            golden[..3].iter().map(|(name, values)| format!("{name}={}", values[row])).collect();
        let by_query = server.get(&format!("/predict?{}", query.join("&")));
        assert_eq!(by_query.json(), expected[row]);
    }
}

fn number(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn serves_a_regression_model() {
    let golden = columns(&case::text("diabetes", "golden.csv"));
    let server = case::serve("diabetes");
    let response = server.post("/predict", "text/csv", csv_of(&golden, 4));
    assert_eq!(response.status, 200, "{}", response.body);
    // The model computes in single precision, and its predictions reach 500.
    let found = numbers(&columns(&response.body), "prediction");
    assert_near(&found, &numbers(&golden, "prediction"), 1e-3);

    let one = server.get("/predict?age=44&sex=2&bmi=28.6&bp=175.6").json();
    assert_near(&[one["prediction"].as_f64().unwrap()], &[281.1223333869417], 1e-3);
}

#[test]
fn serves_a_pipeline_over_numbers_and_strings() {
    let golden = columns(&case::text("pipeline", "golden.csv"));
    let server = case::serve("pipeline");
    let response = server.post("/predict", "text/csv", csv_of(&golden, 3));
    assert_eq!(response.status, 200, "{}", response.body);
    let found = columns(&response.body);
    assert_eq!(found[3], golden[3], "labels");
    for name in ["probability_iris", "probability_rose", "probability_tulip"] {
        assert_near(&numbers(&found, name), &numbers(&golden, name), 1e-6);
    }
    let one = server.post_json(r#"{"length": null, "width": 2.5, "colour": "red"}"#).json();
    assert_eq!(one["prediction"], "rose");
    assert!(one["probabilities"]["rose"].as_f64().unwrap() > 0.5);

    // If a line of NDJSON contains numbers and a string, the fast path stops in the middle of the line, and serde parses
    // the line again from its start. The line must still be only one row.
    let rows = 0..golden[0].1.len();
    let line = |row: usize| {
        let [length, width, colour] = [0, 1, 2].map(|column: usize| &golden[column].1[row]);
        let [length, width] = [length, width].map(|text| text.parse::<f64>().unwrap_or(f64::NAN));
        format!("{}\n", json!({ "length": length, "width": width, "colour": colour }))
    };
    let lines = server.post("/predict", "application/x-ndjson", rows.map(line).collect::<String>());
    let label = |line: &str| serde_json::from_str::<Value>(line).unwrap()["prediction"].clone();
    let labels: Vec<Value> = lines.body.lines().map(label).collect();
    assert_eq!(labels, golden[3].1);
}

#[test]
fn a_dictionary_may_leave_out_features_that_are_zero() {
    let golden: Vec<Value> =
        serde_json::from_str(&case::text("dictionary", "golden.json")).unwrap();
    let server = case::serve("dictionary");
    let rows: Value = golden.iter().map(|case| case["input"].clone()).collect();
    let lines: String = golden.iter().map(|case| format!("{}\n", case["input"])).collect();
    let by_lines = server.post("/predict", "application/x-ndjson", &lines).body;
    let by_rows = server.post_json(rows.to_string()).json();
    for ((row, case), line) in golden.iter().enumerate().zip(by_lines.lines()) {
        let response = &by_rows[row];
        assert_eq!(response["prediction"], case["output"]["prediction"]);
        let warm = |response: &Value| response["probabilities"]["warm"].as_f64().unwrap();
        assert_near(&[warm(response)], &[warm(&case["output"])], 1e-6);
        assert_eq!(&server.post_json(case["input"].to_string()).json(), response);
        assert_eq!(&serde_json::from_str::<Value>(line).unwrap(), response);
    }

    let paris = server.get("/predict?city%3DParis=1&temp=20").json();
    let query = json!({ "temp": 20, "city=Paris": 1, "city=Oslo": 0 });
    assert_eq!(server.post_json(query.to_string()).json(), paris);
    let csv = columns(&server.post("/predict", "text/csv", "temp,city=Paris\n20,1\n").body);
    assert_eq!(
        numbers(&csv, "probability_warm"),
        [paris["probabilities"]["warm"].as_f64().unwrap()]
    );
    let by_columns = server.post_json(r#"{"city=Paris": [1, 1], "temp": [20, 20]}"#).json();
    assert_eq!(by_columns["probabilities"]["warm"][1], paris["probabilities"]["warm"]);

    let unknown = server.post_json(r#"{"city=Pariss": 1}"#);
    assert_eq!(unknown.status, 422);
    assert!(unknown.body.contains("did you mean `city=Paris`?"), "{}", unknown.body);

    let document = server.get("/openapi.json").json();
    let row = &document["components"]["schemas"]["Row"];
    assert_eq!(row["required"], Value::Null);
    assert_eq!(row["properties"]["temp"]["default"], 0);
}

#[test]
fn serves_all_element_types() {
    let golden: Vec<Value> = serde_json::from_str(&case::text("mixed", "golden.json")).unwrap();
    let server = case::serve("mixed");
    let rows: Vec<&Value> = golden.iter().map(|case| &case["input"]).collect();
    let responses = server.post_json(json!(rows).to_string()).json();
    let columns: Value = rows[0]
        .as_object()
        .unwrap()
        .keys()
        .map(|name| (name.clone(), rows.iter().map(|row| row[name].clone()).collect::<Value>()))
        .collect();
    let by_columns = server.post_json(columns.to_string()).json();
    for (row, case) in golden.iter().enumerate() {
        let prediction = &responses[row]["prediction"];
        assert_eq!(prediction["echo"], case["output"]["echo"]);
        let score = prediction["score"].as_f64().unwrap();
        assert_near(&[score], &[case["output"]["score"].as_f64().unwrap()], 1e-4);
        assert_eq!(by_columns["prediction"]["score"][row], prediction["score"]);
        assert_eq!(by_columns["prediction"]["echo"][row], prediction["echo"]);
    }

    let query = "/predict?x0=1&x1=2&count=4&flag=true&city=S%C3%A3o%20Paulo&image=[[1,2],[3,4]]";
    let prediction = &server.get(query).json()["prediction"];
    assert_eq!(prediction, &json!({ "score": 2.5, "echo": "São Paulo" }));
    let csv =
        "city,image,flag,count,x1,x0\n\"a \"\"quoted\"\", city\",\"[[1,2],[3,4]]\",True,4,2,1\n";
    let response = server.post("/predict", "text/csv", csv).body;
    let expected = "city,image,flag,count,x1,x0,prediction_score,prediction_echo\n\
        \"a \"\"quoted\"\", city\",\"[[1,2],[3,4]]\",True,4,2,1,2.5,\"a \"\"quoted\"\", city\"\n";
    assert_eq!(response, expected);
}

#[test]
fn serves_a_text_classifier() {
    let golden = columns(&case::text("text", "golden.csv"));
    let server = case::serve("text");
    let response = server.post("/predict", "text/csv", csv_of(&golden, 1));
    assert_eq!(response.status, 200, "{}", response.body);
    let found = columns(&response.body);
    assert_eq!(found[1], golden[1], "labels");
    for name in ["probability_markets", "probability_pets"] {
        assert_near(&numbers(&found, name), &numbers(&golden, name), 1e-5);
    }
    let one = server.post_json(r#"{"text": "my DOG likes the cat"}"#).json();
    assert_eq!(one["prediction"], "pets");
}

#[test]
fn documents_known_categories_and_rejects_others() {
    let golden: Value = serde_json::from_str(&case::text("categories", "golden.json")).unwrap();
    let server = case::serve("categories");
    let responses = server.post_json(golden["instances"].to_string()).json();
    let rows = golden["instances"].as_array().unwrap().len();
    assert_eq!(responses.as_array().unwrap().len(), rows);
    let numbers = |value: &Value| -> Vec<f64> {
        let labels = value.as_array().unwrap().iter().flat_map(|label| label.as_array().unwrap());
        labels.map(|number| number.as_f64().unwrap()).collect()
    };
    // The model predicts two labels, and for each label the probabilities of two classes. In the graph, the first axis of
    // the probabilities is the axis of the labels.
    for (row, response) in responses.as_array().unwrap().iter().enumerate() {
        let (prediction, expected) = (&response["prediction"], &golden["predictions"]);
        assert_eq!(prediction["label"], expected["label"][row]);
        let (found, expected) = (&prediction["probabilities"], &expected["probabilities"][row]);
        assert_near(&numbers(found), &numbers(expected), 1e-6);
    }

    let document = server.get("/openapi.json").json();
    let properties = &document["components"]["schemas"]["Row"]["properties"];
    assert_eq!(properties["city"]["example"], "Lisbon");
    assert_eq!(properties["rooms"]["example"], 2);

    let assert_rejected = |response: crate::server::Response, status: u16, error: &str| {
        assert_eq!(response.status, status, "{}", response.body);
        assert!(response.body.contains(error), "{}", response.body);
    };
    let unknown = r#"[{"city":"Porto","rooms":2},{"city":"Rome","rooms":2}]"#;
    let error = "row 2: expected one of `Lisbon`, `Porto`, `東京`, found `Rome`";
    assert_rejected(server.post_json(unknown), 422, error);
    let csv = "rooms,city\n2,Porto\n7,Porto\n";
    let error = "row 2: expected one of `2`, `3`, `4`, found `7`";
    assert_rejected(server.post("/predict", "text/csv", csv), 422, error);
    let inputs = r#"{"inputs":[
        {"name":"city","datatype":"BYTES","shape":[1,1],"data":["Porto"]},
        {"name":"rooms","datatype":"INT64","shape":[1,1],"data":[5]}]}"#;
    let error = "row 1: expected one of `2`, `3`, `4`, found `5`";
    assert_rejected(
        server.post("/v2/models/categories/infer", "application/json", inputs),
        400,
        error,
    );
}
