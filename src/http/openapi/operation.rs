//! The description of an operation, and the served model from which a description is created.

use crate::config::Limits;
use crate::protocol::{Body, Protocol, csv};
use ml_app_model::{Feature, Model, Signature, Tensors};
use serde_json::{Map, Value};

/// The served model with its signature and limits. The model predicts the examples of responses.
pub(crate) struct ServedModel<'a> {
    pub(crate) model: &'a Model,
    pub(crate) signature: &'a Signature,
    pub(crate) limits: Limits,
}

/// Schemas for the components of the document, each with its name.
pub(crate) type Schemas = Vec<(&'static str, Value)>;

/// Maximum size of the example of a response, in bytes. The document leaves out longer examples.
pub(crate) const MAX_RESPONSE_EXAMPLE: usize = 2048;

/// The parts of an operation that paperclip cannot derive.
#[derive(Default)]
pub(crate) struct Operation {
    pub(crate) parameters: Vec<Value>,
    pub(crate) request_body: Option<Value>,
    /// A JSON object with the status codes as keys.
    pub(crate) responses: Value,
}

impl ServedModel<'_> {
    /// Returns a row with the example of each feature.
    pub(crate) fn example_row(&self) -> Map<String, Value> {
        let features = self.signature.features.iter();
        features.map(|feature| (feature.name.clone(), feature.example())).collect()
    }

    /// Returns whether the example of a feature is in the short form. Only the first row of a request may contain the
    /// short form.
    pub(crate) fn has_long_example(&self) -> bool {
        self.signature.features.iter().any(Feature::has_long_example)
    }

    /// Returns a CSV with a header and the row of [`ServedModel::example_row`].
    pub(crate) fn example_csv(&self) -> String {
        let quoted = |text: String| {
            if text.contains([',', '"', '\n']) {
                format!("\"{}\"", text.replace('"', "\"\""))
            } else {
                text
            }
        };
        let features = &self.signature.features;
        let names = features.iter().map(|feature| quoted(feature.name.clone()));
        let cells = features.iter().map(|feature| match &feature.example() {
            Value::String(text) => quoted(text.clone()),
            Value::Null => String::new(),
            other => quoted(other.to_string()),
        });
        let line = |cells: Vec<String>| cells.join(",");
        format!("{}\n{}\n", line(names.collect()), line(cells.collect()))
    }

    /// Returns the model's outputs for the rows of a CSV. Returns `None` if the CSV cannot be decoded, if the model
    /// fails, or if an example is long: such a model may need too much time for a documentation page.
    pub(crate) fn outputs(&self, csv: &str) -> Option<Tensors> {
        if self.has_long_example() {
            return None;
        }
        let (inputs, _) = csv::decode(csv.as_bytes(), self.signature, usize::MAX).ok()?;
        self.model.run(inputs).ok()
    }

    /// Returns the response to a JSON request in a protocol. Returns `None` if the request fails, if the example of a
    /// feature is long, or if the response is longer than [`MAX_RESPONSE_EXAMPLE`].
    pub(crate) fn response<P: Protocol>(&self, protocol: P, request: &Value) -> Option<Value> {
        if self.has_long_example() {
            return None;
        }
        let body = request.to_string();
        let (inputs, options) =
            protocol.decode(body.as_bytes(), self.signature, usize::MAX).ok()?;
        let outputs = self.model.run(inputs).ok()?;
        match protocol.encode(options, body.as_bytes(), self.signature, outputs).ok()?.body {
            Body::Whole(response) if response.len() > MAX_RESPONSE_EXAMPLE => None,
            Body::Whole(response) => serde_json::from_slice(&response).ok(),
            Body::Lines(_) => None,
        }
    }
}

impl Operation {
    pub(crate) fn new(responses: Value) -> Operation {
        Operation { responses, ..Operation::default() }
    }

    /// Adds a binary media type to the request and to the response.
    pub(crate) fn or_binary(mut self, media_type: &str) -> Operation {
        let bytes = serde_json::json!({ "schema": { "type": "string", "format": "binary" } });
        if let Some(body) = &mut self.request_body {
            body["content"][media_type] = bytes.clone();
        }
        self.responses["200"]["content"][media_type] = bytes;
        self
    }
}
