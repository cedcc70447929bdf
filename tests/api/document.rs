//! Compares the OpenAPI documents of some cases with golden documents. To update a golden document, replace it with
//! the output of `ml-app openapi --model MODEL`.

use crate::case;
use serde_json::Value;
use std::process::Command;

fn document(case: &str) -> Value {
    let args = case::model(case);
    let output =
        Command::new(env!("CARGO_BIN_EXE_ml-app")).arg("openapi").args(args).output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn documents_equal_the_golden_documents() {
    for name in ["online-sales", "diabetes", "mixed"] {
        let golden: Value = serde_json::from_str(&case::text(name, "openapi.json")).unwrap();
        let found = document(name);
        assert!(
            found == golden,
            "tests/cases/{name}/openapi.json is not what `ml-app openapi` prints: {found:#}"
        );
        assert_eq!(case::serve(name).get("/openapi.json").json(), golden);
    }
}

#[test]
fn describes_every_operation() {
    let document = document("online-sales");
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 7, "{:?}", paths.keys());
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            for key in ["operationId", "summary", "tags"] {
                assert!(!operation[key].is_null(), "{method} {path} has no {key}");
            }
            let responses = operation["responses"].as_object().unwrap();
            for (status, response) in responses {
                assert!(response["description"].is_string(), "{method} {path} {status}");
                let has_content = path != "/ping";
                assert_eq!(
                    response["content"].is_object(),
                    has_content,
                    "{method} {path} {status}"
                );
            }
            assert!(!responses.is_empty(), "{method} {path} has no responses");
        }
    }
}
