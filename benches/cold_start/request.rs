//! A request for a prediction, and its expected response. Both are examples from the OpenAPI document of the program.

use anyhow::{Context, bail};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Maximum length of a query, in bytes. A longer example, such as an image, is sent as a body.
const MAX_QUERY: usize = 8 << 10;

/// A request, and the response that it must get.
pub struct Request {
    pub bytes: Vec<u8>,
    /// Description for people.
    pub text: String,
    /// Body of the response in the OpenAPI document; `None` if the query comes from the command line.
    expected: Option<Value>,
}

impl Request {
    /// Returns a request with `query`, or with the example in the OpenAPI document if there is no `query`.
    pub fn new(
        binary: &Path,
        model: Option<&Path>,
        query: Option<&str>,
    ) -> anyhow::Result<Request> {
        if let Some(query) = query {
            return Ok(Request::get(query, None));
        }
        let document = document(binary, model)?;
        let predict = &document["paths"]["/predict"];
        let expected =
            predict["get"]["responses"]["200"]["content"]["application/json"]["example"].clone();
        if expected.is_null() {
            bail!("the OpenAPI document has no example of a response");
        }
        let parameters = predict["get"]["parameters"]
            .as_array()
            .context("the OpenAPI document has no parameters for GET /predict")?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        for parameter in parameters {
            let name = parameter["name"].as_str().context("a parameter has no name")?;
            let example = parameter
                .get("example")
                .unwrap_or(&parameter["content"]["application/json"]["example"]);
            match example {
                Value::Null => bail!("`{name}` has no example; use --query"),
                Value::String(text) => query.append_pair(name, text),
                other => query.append_pair(name, &other.to_string()),
            };
        }
        let query = query.finish();
        if query.len() <= MAX_QUERY {
            return Ok(Request::get(&query, Some(expected)));
        }
        let body = &predict["post"]["requestBody"]["content"]["application/json"];
        Ok(Request::post(&body["examples"]["row"]["value"].to_string(), expected))
    }

    /// Returns a request for programs that send the same response to all requests.
    pub fn empty() -> Request {
        Request::get("", None)
    }

    fn get(query: &str, expected: Option<Value>) -> Request {
        let text = format!("GET /predict?{query}");
        let bytes = format!("{text} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes();
        Request { bytes, text, expected }
    }

    fn post(body: &str, expected: Value) -> Request {
        let length = body.len();
        let bytes = format!(
            "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        let text = format!("POST /predict with {length} bytes of JSON");
        Request { bytes: bytes.into_bytes(), text, expected: Some(expected) }
    }

    /// Checks the body of a response.
    ///
    /// # Errors
    ///
    /// Returns an error if the body is not JSON, or differs from the expected response.
    pub fn check(&self, body: &[u8]) -> anyhow::Result<()> {
        let found: Value = serde_json::from_slice(body).context("the response is not JSON")?;
        match &self.expected {
            Some(expected) if *expected != found => {
                bail!("{}: expected {expected}, found {found}", self.text)
            }
            _ => Ok(()),
        }
    }
}

/// Returns the OpenAPI document that `binary openapi` prints.
fn document(binary: &Path, model: Option<&Path>) -> anyhow::Result<Value> {
    let mut command = Command::new(binary);
    command.arg("openapi");
    if let Some(model) = model {
        command.arg("--model").arg(model);
    }
    let path = binary.display();
    let output = command.output().with_context(|| format!("cannot run {path}"))?;
    if !output.status.success() {
        bail!("{path} openapi fails: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("{path} openapi prints no JSON"))
}
