//! An inference request: its JSON, and what it asks of its answer.

use super::inputs::{self, Input, InputsVisitor, Road};
use super::{Error, invalid};
use crate::protocol::json::{self, Object, Seed};
use ml_app_model::value::{excerpt, listed};
use ml_app_model::{Datatype, Signature, TensorSpec, Tensors};
use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// What a request asks of its answer.
#[derive(Debug)]
pub struct Wish {
    pub(super) id: Option<String>,
    pub(super) outputs: Vec<Wanted>,
}

/// An output that is to be in the answer.
#[derive(Debug)]
pub struct Wanted {
    pub index: usize,
    pub binary: bool,
    /// How many classes of each row.
    pub classification: Option<usize>,
}

impl Wish {
    /// All outputs, as bytes.
    pub(super) fn binary(signature: &Signature) -> Wish {
        Wish { id: None, outputs: all(signature, true) }
    }
}

fn all(signature: &Signature, binary: bool) -> Vec<Wanted> {
    let indices = 0..signature.outputs.len();
    indices.map(|index| Wanted { index, binary, classification: None }).collect()
}

/// `tensors` is what follows the JSON.
pub fn decode(
    head: &[u8],
    tensors: &[u8],
    signature: &Signature,
) -> Result<(Tensors, Wish), Error> {
    let head = json::text(head, "an object with `inputs`")?;
    let read = |elements| json::read(head, RequestVisitor { signature, elements });
    let request = read(Road::Short)
        .or_else(|_| read(Road::Long))
        .map_err(|error| Error::Malformed(json::fault(&error).into()))?;
    let wish = request.wish(signature)?;
    Ok((inputs::tensors(request.inputs, tensors, signature)?, wish))
}

struct Request {
    id: Option<String>,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    binary: bool,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    parameters: Option<Object<Parameters>>,
}

/// Those that mean something here, of a request, an input or an output; others are let by.
#[derive(Deserialize)]
pub struct Parameters {
    pub binary_data_size: Option<usize>,
    binary_data: Option<bool>,
    binary_data_output: Option<bool>,
    classification: Option<usize>,
    shared_memory_region: Option<IgnoredAny>,
}

impl Parameters {
    /// What cannot be left aside: the client would look for tensors where none are.
    pub fn check(&self) -> Result<(), &'static str> {
        match self.shared_memory_region {
            Some(_) => Err("expected tensors in the body, found a shared memory region"),
            None => Ok(()),
        }
    }
}

impl Request {
    fn wish(&self, signature: &Signature) -> Result<Wish, Error> {
        let id = self.id.clone();
        if self.outputs.is_empty() {
            for index in 0..signature.outputs.len() {
                writable(signature, index, self.binary)?;
            }
            return Ok(Wish { id, outputs: all(signature, self.binary) });
        }
        let mut wanted: Vec<Wanted> = Vec::with_capacity(self.outputs.len());
        for Output { name, parameters } in &self.outputs {
            let Some(index) = signature.outputs.iter().position(|spec| spec.name == *name) else {
                let known = names(&signature.outputs);
                let found = excerpt(name);
                return Err(invalid(format!("unknown output `{found}` (the model has {known})")));
            };
            if wanted.iter().any(|wanted| wanted.index == index) {
                return Err(invalid(format!("duplicate output `{name}`")));
            }
            let parameters = parameters.as_ref().map(|Object(parameters)| parameters);
            if let Err(detail) = parameters.map_or(Ok(()), Parameters::check) {
                return Err(invalid(format!("output `{name}`: {detail}")));
            }
            let classification = parameters.and_then(|parameters| parameters.classification);
            let is_text = signature.outputs[index].datatype.size().is_none();
            if classification.is_some() && is_text {
                return Err(invalid(format!(
                    "output `{name}`: expected numbers to classify, found strings"
                )));
            }
            if classification == Some(0) {
                return Err(invalid(format!(
                    "output `{name}`: expected a classification into at least 1 class, found 0"
                )));
            }
            let binary = parameters.and_then(|parameters| parameters.binary_data);
            let binary = binary.unwrap_or(self.binary);
            writable(signature, index, binary || classification.is_some())?;
            wanted.push(Wanted { index, binary, classification });
        }
        Ok(Wish { id, outputs: wanted })
    }
}

/// Whether an output has a form as the client wants it.
fn writable(signature: &Signature, index: usize, otherwise: bool) -> Result<(), Error> {
    let spec = &signature.outputs[index];
    match spec.datatype {
        Datatype::Float16 if !otherwise => {
            Err(invalid(format!("output `{}`: {NO_JSON}", spec.name)))
        }
        _ => Ok(()),
    }
}

pub const NO_JSON: &str = "expected binary data, because FP16 cannot be written in JSON";

/// "`x`, `y`".
pub fn names(specs: &[TensorSpec]) -> String {
    listed(specs.iter().map(|spec| &*spec.name))
}

struct RequestVisitor<'s> {
    signature: &'s Signature,
    elements: Road,
}

impl<'de> Visitor<'de> for RequestVisitor<'_> {
    type Value = Request;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `inputs`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Request, A::Error> {
        let RequestVisitor { signature, elements } = self;
        let (mut id, mut inputs, mut outputs, mut parameters) = (None, None, None, None);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "id" => once(&mut id, map.next_value::<Option<String>>()?, "id")?,
                "parameters" => once(&mut parameters, map.next_value()?, "parameters")?,
                "inputs" => {
                    let read = map.next_value_seed(Seed(InputsVisitor { signature, elements }))?;
                    once(&mut inputs, read, "inputs")?;
                }
                "outputs" => {
                    let read = map.next_value_seed(Seed(OutputsVisitor { signature }))?;
                    once(&mut outputs, read, "outputs")?;
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

pub fn once<T, E: serde::de::Error>(place: &mut Option<T>, value: T, key: &str) -> Result<(), E> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom(format!("duplicate key `{key}`"))),
    }
}

/// None of them where it is `null`.
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
        let known = &self.signature.outputs;
        let mut outputs = vec![];
        while let Some(Object(output)) = entries.next_element()? {
            if outputs.len() == known.len() {
                let detail = format!(
                    "expected each of the outputs {} at most once, found more",
                    names(known)
                );
                return Err(A::Error::custom(detail));
            }
            outputs.push(output);
        }
        Ok(outputs)
    }
}
