//! What is asked: the example in the program's own OpenAPI document, which has the answer too.

use anyhow::{Context, bail};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Bytes of a query that every server takes; an image as one is longer.
const LONGEST: usize = 8 << 10;

pub struct Question {
    /// Whole, as it is sent.
    pub request: Vec<u8>,
    /// For people.
    pub text: String,
    /// As the document tells it; unknown for a query that was given.
    answer: Option<Value>,
}

impl Question {
    pub fn of(
        binary: &Path,
        model: Option<&Path>,
        query: Option<&str>,
    ) -> anyhow::Result<Question> {
        if let Some(query) = query {
            return Ok(Question::get(query, None));
        }
        let document = document(binary, model)?;
        let predict = &document["paths"]["/predict"];
        let answer =
            predict["get"]["responses"]["200"]["content"]["application/json"]["example"].clone();
        if answer.is_null() {
            bail!("the OpenAPI document has no example of an answer");
        }
        let parameters = predict["get"]["parameters"].as_array().context("no parameters")?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        for parameter in parameters {
            let name = parameter["name"].as_str().context("a parameter without a name")?;
            let example = parameter
                .get("example")
                .unwrap_or(&parameter["content"]["application/json"]["example"]);
            match example {
                Value::Null => bail!("no example of `{name}`; --query tells what to ask"),
                Value::String(text) => query.append_pair(name, text),
                other => query.append_pair(name, &other.to_string()),
            };
        }
        let query = query.finish();
        if query.len() <= LONGEST {
            return Ok(Question::get(&query, Some(answer)));
        }
        let body = &predict["post"]["requestBody"]["content"]["application/json"];
        Ok(Question::post(&body["examples"]["row"]["value"].to_string(), answer))
    }

    /// For programs that answer anything.
    pub fn nothing() -> Question {
        Question::get("", None)
    }

    fn get(query: &str, answer: Option<Value>) -> Question {
        let text = format!("GET /predict?{query}");
        let request = format!("{text} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes();
        Question { request, text, answer }
    }

    fn post(body: &str, answer: Value) -> Question {
        let length = body.len();
        let request = format!(
            "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        let text = format!("POST /predict with {length} bytes of JSON");
        Question { request: request.into_bytes(), text, answer: Some(answer) }
    }

    /// Is this the answer of the document?
    pub fn check(&self, answer: &[u8]) -> anyhow::Result<()> {
        let found: Value = serde_json::from_slice(answer).context("the answer is no JSON")?;
        match &self.answer {
            Some(expected) if *expected != found => {
                bail!("{}: expected {expected}, but found {found}", self.text)
            }
            _ => Ok(()),
        }
    }
}

fn document(binary: &Path, model: Option<&Path>) -> anyhow::Result<Value> {
    let mut command = Command::new(binary);
    command.arg("openapi");
    if let Some(model) = model {
        command.arg("--model").arg(model);
    }
    let place = binary.display();
    let output = command.output().with_context(|| format!("cannot run {place}"))?;
    if !output.status.success() {
        bail!("{place} openapi fails: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{place} openapi prints no JSON"))
}
