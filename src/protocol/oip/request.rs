//! An inference request's JSON, read into the tensors' elements while it is parsed.

use super::{Error, binary, invalid, malformed, name};
use crate::protocol::json;
use ml_app_model::value::excerpt;
use ml_app_model::{Data, Datatype, Signature, Tensor, TensorSpec, Tensors, Value};
use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;
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
    let head = std::str::from_utf8(head)
        .map_err(|_| malformed("expected JSON in UTF-8, but found other bytes"))?;
    if head.trim().is_empty() {
        return Err(malformed("expected an object with `inputs`, but found nothing"));
    }
    let mut source = serde_json::Deserializer::from_str(head);
    let request = RequestSeed { signature }
        .deserialize(&mut source)
        .and_then(|request| source.end().map(|()| request))
        .map_err(|error| Error::Malformed(json::fault(&error).into()))?;
    let wish = request.wish(signature)?;
    let mut found: Vec<Option<Tensor>> = signature.inputs.iter().map(|_| None).collect();
    let mut rest = tensors;
    for Input { index, shape, content } in request.inputs {
        let spec = &signature.inputs[index];
        spec.check(&shape)
            .map_err(|mismatch| invalid(format!("input `{}`: {mismatch}", spec.name)))?;
        let tensor = match content {
            Content::Elements(data) => {
                let expected = count(&shape, &spec.name)?;
                if data.len() != expected {
                    return Err(invalid(format!(
                        "input `{}`: expected {expected} elements for shape {shape:?}, but found {}",
                        spec.name,
                        data.len()
                    )));
                }
                Tensor::new(&shape, data)
            }
            Content::Bytes(size) => {
                let Some((bytes, after)) = rest.split_at_checked(size) else {
                    return Err(malformed(format!(
                        "input `{}`: expected {size} bytes of binary data, but found {}",
                        spec.name,
                        rest.len()
                    )));
                };
                rest = after;
                binary::tensor(spec, &shape, bytes)?
            }
        };
        if found[index].replace(tensor).is_some() {
            return Err(invalid(format!(
                "input `{}`: expected it once, but found a second",
                spec.name
            )));
        }
    }
    if !rest.is_empty() {
        let read = tensors.len() - rest.len();
        let detail = format!("expected {read} bytes of binary data, but found {}", tensors.len());
        return Err(malformed(detail));
    }
    let mut inputs = Vec::with_capacity(found.len());
    for (tensor, spec) in found.into_iter().zip(&signature.inputs) {
        let tensor = tensor.ok_or_else(|| {
            invalid(format!("expected the input `{}`, but found none of this name", spec.name))
        })?;
        inputs.push(tensor);
    }
    Ok((of_inputs(signature, inputs)?, wish))
}

pub fn of_inputs(signature: &Signature, tensors: Vec<Tensor>) -> Result<Tensors, Error> {
    Tensors::of_inputs(signature, tensors).map_err(|(index, mismatch)| {
        invalid(format!("input `{}`: {mismatch}", signature.inputs[index].name))
    })
}

/// Elements of a shape.
pub fn count(shape: &[usize], input: &str) -> Result<usize, Error> {
    shape.iter().try_fold(1_usize, |len, dim| len.checked_mul(*dim)).ok_or_else(|| {
        invalid(format!("input `{input}`: expected a shape of fewer elements, but found {shape:?}"))
    })
}

struct Request {
    id: Option<String>,
    inputs: Vec<Input>,
    outputs: Option<Vec<Output>>,
    binary: bool,
}

struct Input {
    index: usize,
    shape: Vec<usize>,
    content: Content,
}

enum Content {
    Elements(Data),
    /// So many of those that follow the JSON.
    Bytes(usize),
}

#[derive(Deserialize)]
struct Output {
    name: String,
    parameters: Option<Parameters>,
}

/// Those that mean something here, of a request, an input or an output; others are let by.
#[derive(Deserialize)]
struct Parameters {
    binary_data_size: Option<usize>,
    binary_data: Option<bool>,
    binary_data_output: Option<bool>,
    classification: Option<usize>,
}

impl Request {
    fn wish(&self, signature: &Signature) -> Result<Wish, Error> {
        let id = self.id.clone();
        let Some(outputs) = self.outputs.as_ref().filter(|outputs| !outputs.is_empty()) else {
            for index in 0..signature.outputs.len() {
                writable(signature, index, self.binary)?;
            }
            return Ok(Wish { id, outputs: all(signature, self.binary) });
        };
        let mut wanted: Vec<Wanted> = Vec::with_capacity(outputs.len());
        for Output { name, parameters } in outputs {
            let Some(index) = signature.outputs.iter().position(|spec| spec.name == *name) else {
                let known = names(&signature.outputs);
                let found = excerpt(name);
                return Err(invalid(format!("expected outputs of {known}, but found `{found}`")));
            };
            if wanted.iter().any(|wanted| wanted.index == index) {
                return Err(invalid(format!(
                    "output `{name}`: expected it once, but found a second"
                )));
            }
            let parameters = parameters.as_ref();
            let classification = parameters.and_then(|parameters| parameters.classification);
            let is_text = signature.outputs[index].datatype.size().is_none();
            if classification == Some(0) || classification.is_some() && is_text {
                return Err(invalid(format!(
                    "output `{name}`: expected a classification of numbers into one class or more"
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

const NO_JSON: &str = "expected binary data, as FP16 has no form in JSON";

fn names(specs: &[TensorSpec]) -> String {
    let names: Vec<String> = specs.iter().map(|spec| format!("`{}`", spec.name)).collect();
    names.join(", ")
}

struct RequestSeed<'s> {
    signature: &'s Signature,
}

impl<'de> DeserializeSeed<'de> for RequestSeed<'_> {
    type Value = Request;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Request, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RequestSeed<'_> {
    type Value = Request;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `inputs`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Request, A::Error> {
        let (mut id, mut inputs, mut outputs, mut parameters) = (None, None, None, None);
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "id" => once(&mut id, map.next_value::<Option<String>>()?, "id")?,
                "parameters" => once(&mut parameters, map.next_value()?, "parameters")?,
                "inputs" => {
                    let read = map.next_value_seed(InputsSeed { signature: self.signature })?;
                    once(&mut inputs, read, "inputs")?;
                }
                "outputs" => once(&mut outputs, map.next_value()?, "outputs")?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let parameters: Option<Parameters> = parameters.flatten();
        let binary = parameters.and_then(|parameters| parameters.binary_data_output);
        Ok(Request {
            id: id.flatten(),
            inputs: inputs.ok_or_else(|| A::Error::custom("expected `inputs`, but found none"))?,
            outputs: outputs.flatten(),
            binary: binary.unwrap_or(false),
        })
    }
}

fn once<T, E: serde::de::Error>(place: &mut Option<T>, value: T, key: &str) -> Result<(), E> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom(format!("expected `{key}` once, but found a second"))),
    }
}

struct InputsSeed<'s> {
    signature: &'s Signature,
}

impl<'de> DeserializeSeed<'de> for InputsSeed<'_> {
    type Value = Vec<Input>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Input>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for InputsSeed<'_> {
    type Value = Vec<Input>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of inputs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<Input>, A::Error> {
        let mut inputs = vec![];
        while let Some(input) =
            entries.next_element_seed(InputSeed { signature: self.signature })?
        {
            // What follows cannot be right either.
            if inputs.len() == self.signature.inputs.len() {
                let expected = names(&self.signature.inputs);
                return Err(A::Error::custom(format!(
                    "expected the inputs {expected}, but found more"
                )));
            }
            inputs.push(input);
        }
        Ok(inputs)
    }
}

struct InputSeed<'s> {
    signature: &'s Signature,
}

impl<'de> DeserializeSeed<'de> for InputSeed<'_> {
    type Value = Input;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Input, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for InputSeed<'_> {
    type Value = Input;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an input: an object with `name`, `shape`, `datatype` and `data`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Input, A::Error> {
        let (mut index, mut shape, mut datatype, mut parameters) = (None, None, None, None);
        let (mut data, mut early): (Option<Data>, Option<&'de RawValue>) = (None, None);
        let inputs = &self.signature.inputs;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "name" => {
                    let name: Cow<'de, str> = map.next_value()?;
                    let found = inputs.iter().position(|spec| spec.name == name);
                    let found = found.ok_or_else(|| {
                        let (expected, found) = (names(inputs), excerpt(&name));
                        A::Error::custom(format!(
                            "expected inputs of {expected}, but found `{found}`"
                        ))
                    })?;
                    once(&mut index, found, "name")?;
                }
                "shape" => once(&mut shape, map.next_value_seed(ShapeSeed)?, "shape")?,
                "datatype" => once(&mut datatype, map.next_value::<String>()?, "datatype")?,
                "parameters" => once(&mut parameters, map.next_value()?, "parameters")?,
                "data" if data.is_some() || early.is_some() => {
                    return Err(A::Error::custom("expected `data` once, but found a second"));
                }
                "data" => match index {
                    Some(index) => data = Some(map.next_value_seed(DataSeed::of(&inputs[index]))?),
                    None => early = Some(map.next_value()?),
                },
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let absent =
            |key| A::Error::custom(format!("expected an input with `{key}`, but found none"));
        let index = index.ok_or_else(|| absent("name"))?;
        let spec = &inputs[index];
        let fault = |detail| A::Error::custom(format!("input `{}`: {detail}", spec.name));
        let (expected, found) = (name(spec.datatype), datatype.ok_or_else(|| absent("datatype"))?);
        if found != expected {
            let found = excerpt(&found);
            return Err(fault(format!("expected datatype {expected}, but found {found}")));
        }
        if let Some(early) = early {
            let mut source = serde_json::Deserializer::from_str(early.get());
            let read = DataSeed::of(spec).deserialize(&mut source);
            data = Some(read.map_err(|error| A::Error::custom(json::fault(&error).detail))?);
        }
        let parameters: Option<Parameters> = parameters.flatten();
        let size = parameters.and_then(|parameters| parameters.binary_data_size);
        let content = match (data, size) {
            (Some(_), _) if spec.datatype == Datatype::Float16 => {
                return Err(fault(NO_JSON.to_owned()));
            }
            (Some(data), None) => Content::Elements(data),
            (None, Some(size)) => Content::Bytes(size),
            (Some(_), Some(_)) => {
                let detail = "expected `data` or `binary_data_size`, but found both";
                return Err(fault(detail.to_owned()));
            }
            (None, None) => {
                let detail = "expected `data` or `binary_data_size`, but found neither";
                return Err(fault(detail.to_owned()));
            }
        };
        Ok(Input { index, shape: shape.ok_or_else(|| absent("shape"))?, content })
    }
}

/// The lengths of the axes.
struct ShapeSeed;

/// More than any model has: a shape of ones must not take memory by the axis.
const MOST_AXES: usize = 64;

impl<'de> DeserializeSeed<'de> for ShapeSeed {
    type Value = Vec<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<usize>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ShapeSeed {
    type Value = Vec<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of lengths")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut lens: A) -> Result<Vec<usize>, A::Error> {
        let mut shape = vec![];
        while let Some(len) = lens.next_element()? {
            if shape.len() == MOST_AXES {
                let detail =
                    format!("expected a shape of at most {MOST_AXES} axes, but found more");
                return Err(A::Error::custom(detail));
            }
            shape.push(len);
        }
        Ok(shape)
    }
}

/// Elements in row-major order, nested or flat.
struct DataSeed<'s> {
    spec: &'s TensorSpec,
    data: Data,
}

impl<'s> DataSeed<'s> {
    fn of(spec: &'s TensorSpec) -> DataSeed<'s> {
        DataSeed { spec, data: Data::new(spec.datatype) }
    }
}

impl<'de> DeserializeSeed<'de> for DataSeed<'_> {
    type Value = Data;

    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<Data, D::Error> {
        deserializer.deserialize_seq(ElementsSeed { spec: self.spec, data: &mut self.data })?;
        Ok(self.data)
    }
}

struct ElementsSeed<'a> {
    spec: &'a TensorSpec,
    data: &'a mut Data,
}

impl ElementsSeed<'_> {
    fn push<E: serde::de::Error>(self, value: Value<'_>) -> Result<(), E> {
        let place = self.data.len();
        self.data.push(value).map_err(|mismatch| {
            E::custom(format!("input `{}`: element {place}: {mismatch}", self.spec.name))
        })
    }
}

impl<'de> DeserializeSeed<'de> for ElementsSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ElementsSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of {} elements", name(self.spec.datatype))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let ElementsSeed { spec, data } = self;
        while entries.next_element_seed(ElementsSeed { spec, data: &mut *data })?.is_some() {}
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        self.push(Value::Number(number))
    }

    fn visit_u64<E: serde::de::Error>(self, integer: u64) -> Result<(), E> {
        self.push(Value::Integer(integer.into()))
    }

    fn visit_i64<E: serde::de::Error>(self, integer: i64) -> Result<(), E> {
        self.push(Value::Integer(integer.into()))
    }

    fn visit_bool<E: serde::de::Error>(self, flag: bool) -> Result<(), E> {
        self.push(Value::Bool(flag))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.push(Value::String(text))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.push(Value::Missing)
    }
}
