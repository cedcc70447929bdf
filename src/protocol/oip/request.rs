//! Decodes the JSON of an inference request, including the options for its response.

use super::inputs::{self, ElementParser, Input, InputsVisitor};
use super::parameters::{FP16_NOT_IN_JSON, Parameters, names, set_once};
use crate::error::Error;
use crate::protocol::json::{self, Object, Seed};
use ml_app_model::value::excerpt;
use ml_app_model::{Datatype, Signature, Tensors};
use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Options that a request sets for its response.
#[derive(Debug)]
pub struct ResponseOptions {
    /// The ID of the request, which the response repeats.
    pub(super) id: Option<String>,
    pub(super) outputs: Vec<RequestedOutput>,
}

/// An output that the client requests.
#[derive(Debug)]
pub struct RequestedOutput {
    /// Index in [`Signature::outputs`].
    pub index: usize,
    /// True to return the elements as bytes.
    pub binary: bool,
    /// Number of classes to return per row instead of the elements.
    pub classification: Option<usize>,
}

impl ResponseOptions {
    /// Returns options that request all outputs, encoded as bytes.
    pub(super) fn binary(signature: &Signature) -> ResponseOptions {
        ResponseOptions { id: None, outputs: all_outputs(signature, true) }
    }
}

/// Returns a request for each output. `binary` is true to encode the outputs as bytes.
fn all_outputs(signature: &Signature, binary: bool) -> Vec<RequestedOutput> {
    let indices = 0..signature.outputs.len();
    indices.map(|index| RequestedOutput { index, binary, classification: None }).collect()
}

/// Decodes a request. `head` is the JSON, and `tensors` are the bytes after the JSON.
///
/// The fast path parses the numbers first. If it fails, serde parses the JSON again, and reports errors.
pub fn decode(
    head: &[u8],
    tensors: &[u8],
    signature: &Signature,
) -> Result<(Tensors, ResponseOptions), Error> {
    let head = json::text(head, "an object with `inputs`")?;
    let read = |parser| json::read(head, RequestVisitor { signature, parser });
    let request = read(ElementParser::Fast)
        .or_else(|_| read(ElementParser::Serde))
        .map_err(|error| Error::Malformed(json::request_error(&error).into()))?;
    let options = request.response_options(signature)?;
    Ok((inputs::tensors(request.inputs, tensors, signature)?, options))
}

/// The JSON of a request.
struct Request {
    id: Option<String>,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    /// True to return outputs as bytes, unless the entry of an output overrides this option.
    binary: bool,
}

/// An entry of `outputs`.
#[derive(Deserialize)]
struct Output {
    name: String,
    parameters: Option<Object<Parameters>>,
}

impl Request {
    /// Checks the requested outputs and returns the options for the response. A request without `outputs` requests all
    /// outputs.
    fn response_options(&self, signature: &Signature) -> Result<ResponseOptions, Error> {
        let id = self.id.clone();
        if self.outputs.is_empty() {
            for index in 0..signature.outputs.len() {
                check_writable(signature, index, self.binary)?;
            }
            return Ok(ResponseOptions { id, outputs: all_outputs(signature, self.binary) });
        }
        let mut requested: Vec<RequestedOutput> = Vec::with_capacity(self.outputs.len());
        for Output { name, parameters } in &self.outputs {
            let Some(index) = signature.outputs.iter().position(|spec| spec.name == *name) else {
                let outputs = names(&signature.outputs);
                let found = excerpt(name);
                return Err(Error::invalid(format!(
                    "unknown output `{found}` (the model has {outputs})"
                )));
            };
            if requested.iter().any(|requested| requested.index == index) {
                return Err(Error::invalid(format!("duplicate output `{name}`")));
            }
            let parameters = parameters.as_ref().map(|Object(parameters)| parameters);
            if let Err(detail) = parameters.map_or(Ok(()), Parameters::reject_shared_memory) {
                return Err(Error::invalid(format!("output `{name}`: {detail}")));
            }
            let classification = parameters.and_then(|parameters| parameters.classification);
            let is_string = signature.outputs[index].datatype.size().is_none();
            if classification.is_some() && is_string {
                return Err(Error::invalid(format!(
                    "output `{name}`: expected numbers to classify, found strings"
                )));
            }
            if classification == Some(0) {
                return Err(Error::invalid(format!(
                    "output `{name}`: expected a classification into at least 1 class, found 0"
                )));
            }
            let binary = parameters.and_then(|parameters| parameters.binary_data);
            let binary = binary.unwrap_or(self.binary);
            check_writable(signature, index, binary || classification.is_some())?;
            requested.push(RequestedOutput { index, binary, classification });
        }
        Ok(ResponseOptions { id, outputs: requested })
    }
}

/// Returns an error if an output cannot be written in the requested form. `binary` is false if the elements are written
/// as numbers in JSON, and true if they are written as bytes or as classes.
fn check_writable(signature: &Signature, index: usize, binary: bool) -> Result<(), Error> {
    let spec = &signature.outputs[index];
    match spec.datatype {
        Datatype::Float16 if !binary => {
            Err(Error::invalid(format!("output `{}`: {FP16_NOT_IN_JSON}", spec.name)))
        }
        _ => Ok(()),
    }
}

/// Decodes the JSON of a request.
struct RequestVisitor<'s> {
    signature: &'s Signature,
    parser: ElementParser,
}

impl<'de> Visitor<'de> for RequestVisitor<'_> {
    type Value = Request;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `inputs`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Request, A::Error> {
        let RequestVisitor { signature, parser } = self;
        let (mut id, mut inputs, mut outputs, mut parameters) = (None, None, None, None);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "id" => set_once(&mut id, map.next_value::<Option<String>>()?, "id")?,
                "parameters" => set_once(&mut parameters, map.next_value()?, "parameters")?,
                "inputs" => {
                    let read = map.next_value_seed(Seed(InputsVisitor { signature, parser }))?;
                    set_once(&mut inputs, read, "inputs")?;
                }
                "outputs" => {
                    let read = map.next_value_seed(Seed(OutputsVisitor { signature }))?;
                    set_once(&mut outputs, read, "outputs")?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let parameters: Option<Object<Parameters>> = parameters.flatten();
        let binary = parameters.and_then(|Object(parameters)| parameters.binary_data_output);
        Ok(Request {
            id: id.flatten(),
            inputs: inputs.ok_or_else(|| A::Error::custom("missing key `inputs`"))?,
            outputs: outputs.unwrap_or_default(),
            binary: binary.unwrap_or(false),
        })
    }
}

/// Decodes `outputs`, the list of requested outputs. `null` means an empty list.
struct OutputsVisitor<'s> {
    signature: &'s Signature,
}

impl<'de> Visitor<'de> for OutputsVisitor<'_> {
    type Value = Vec<Output>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of outputs")
    }

    fn visit_unit<E>(self) -> Result<Vec<Output>, E> {
        Ok(vec![])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<Output>, A::Error> {
        let available = &self.signature.outputs;
        let mut outputs = vec![];
        while let Some(Object(output)) = entries.next_element()? {
            if outputs.len() == available.len() {
                let detail = format!(
                    "expected each of the outputs {} at most once, found more",
                    names(available)
                );
                return Err(A::Error::custom(detail));
            }
            outputs.push(output);
        }
        Ok(outputs)
    }
}
