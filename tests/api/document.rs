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

#[test]
fn documents_stay_small() {
    for name in ["image", "mixed", "text", "wide"] {
        let document = document(name);
        let features = document["components"]["schemas"]["Row"]["properties"].as_object().unwrap();
        let size = document.to_string().len();
        assert!(size <= 100_000 + 1_000 * features.len(), "{name}: {size} bytes");
    }
}

#[test]
fn the_examples_of_an_image_can_be_sent() {
    let document = document("image");
    let server = case::serve("image");
    let json = |path: &str| {
        document["paths"][path]["post"]["requestBody"]["content"]["application/json"].clone()
    };
    for (_, example) in json("/predict")["examples"].as_object().unwrap() {
        let response = server.post("/predict", "application/json", example["value"].to_string());
        assert_eq!(response.status, 200, "{}", response.body);
    }
    let instances = json("/v1/models/{model}:predict")["example"].to_string();
    let response = server.post("/v1/models/image:predict", "application/json", &instances);
    assert_eq!(response.status, 200, "{}", response.body);
}
