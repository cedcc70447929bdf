//! Decodes the input tensors of a request. The elements of a tensor are in its member `data`, or in
//! the binary data that follows the JSON in the body.

use super::binary::{self, element_count};
use super::datatype::datatype_name;
use super::parameters::{FP16_NOT_IN_JSON, Parameters, names, set_once};
use crate::error::Error;
use crate::protocol::json::{self, Object, Seed, fast_path};
use ml_app_model::value::excerpt;
use ml_app_model::{Data, Datatype, Signature, Tensor, TensorSpec, Tensors, Value};
use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The parser for the numbers in `data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementParser {
    /// The [fast path](fast_path), which supports common numbers only. Invalid JSON makes it fail without a message.
    Fast,
    /// serde, which parses all numbers and reports errors with their position.
    Serde,
}

/// An input of the request, before its shape is checked.
pub struct Input {
    /// Index in [`Signature::inputs`].
    index: usize,
    shape: Vec<usize>,
    content: Content,
}

/// The elements of an input.
enum Content {
    /// Elements from the JSON.
    Elements(Data),
    /// Size of the elements in the binary data, in bytes.
    Bytes(usize),
}

/// Converts the inputs to tensors, in the signature's order. `bytes` is the binary data after the JSON.
pub fn tensors(inputs: Vec<Input>, bytes: &[u8], signature: &Signature) -> Result<Tensors, Error> {
    let mut found: Vec<Option<Tensor>> = signature.inputs.iter().map(|_| None).collect();
    let mut rest = bytes;
    for input in inputs {
        let index = input.index;
        let tensor = input.tensor(&mut rest, signature)?;
        if found[index].replace(tensor).is_some() {
            let name = &signature.inputs[index].name;
            return Err(Error::invalid(format!("duplicate input `{name}`")));
        }
    }
    if !rest.is_empty() {
        let (read, all) = (bytes.len() - rest.len(), bytes.len());
        return Err(Error::malformed(format!("expected {read} bytes of binary data, found {all}")));
    }
    let mut tensors = Vec::with_capacity(found.len());
    for (tensor, spec) in found.into_iter().zip(&signature.inputs) {
        tensors
            .push(tensor.ok_or_else(|| Error::invalid(format!("missing input `{}`", spec.name)))?);
    }
    check_inputs(signature, tensors)
}

impl Input {
    /// Checks the shape and returns the tensor. Takes the input's bytes from the front of `rest`.
    fn tensor(self, rest: &mut &[u8], signature: &Signature) -> Result<Tensor, Error> {
        let Input { index, shape, content } = self;
        let spec = &signature.inputs[index];
        let input = &spec.name;
        spec.check(&shape)
            .map_err(|mismatch| Error::invalid(format!("input `{input}`: {mismatch}")))?;
        match content {
            Content::Elements(data) => {
                let (expected, found) = (element_count(&shape, input)?, data.len());
                if found != expected {
                    return Err(Error::invalid(format!(
                        "input `{input}`: expected {expected} elements for shape {shape:?}, found {found}"
                    )));
                }
                Ok(Tensor::new(&shape, data))
            }
            Content::Bytes(size) => {
                let Some((bytes, after)) = rest.split_at_checked(size) else {
                    return Err(Error::malformed(format!(
                        "input `{input}`: expected {size} bytes of binary data, found {}",
                        rest.len()
                    )));
                };
                *rest = after;
                binary::decode_tensor(spec, &shape, bytes)
            }
        }
    }
}

/// Checks that the tensors have the shapes of the model's inputs and the same number of rows.
pub fn check_inputs(signature: &Signature, tensors: Vec<Tensor>) -> Result<Tensors, Error> {
    Tensors::from_inputs(signature, tensors).map_err(|(index, mismatch)| {
        Error::invalid(format!("input `{}`: {mismatch}", signature.inputs[index].name))
    })
}

/// Decodes `inputs`, an array of tensors.
pub struct InputsVisitor<'s> {
    pub signature: &'s Signature,
    pub parser: ElementParser,
}

impl<'de> Visitor<'de> for InputsVisitor<'_> {
    type Value = Vec<Input>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of inputs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<Input>, A::Error> {
        let mut inputs = vec![];
        let input = || Seed(InputVisitor { signature: self.signature, parser: self.parser });
        while let Some(input) = entries.next_element_seed(input())? {
            // `InputVisitor` rejects unknown names, so one of the inputs is a duplicate. Reject the request here,
            // because a list of many duplicates would use much memory.
            if inputs.len() == self.signature.inputs.len() {
                let expected = names(&self.signature.inputs);
                return Err(A::Error::custom(format!(
                    "expected each of the inputs {expected} once, found a duplicate"
                )));
            }
            inputs.push(input);
        }
        Ok(inputs)
    }
}

/// Decodes an input: an object with `name`, `shape`, `datatype` and either `data` or a size of binary data.
struct InputVisitor<'s> {
    signature: &'s Signature,
    parser: ElementParser,
}

impl<'de> Visitor<'de> for InputVisitor<'_> {
    type Value = Input;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an input: an object with `name`, `shape`, `datatype` and `data`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Input, A::Error> {
        let (mut index, mut shape, mut datatype, mut parameters) = (None, None, None, None);
        // The name of the input determines how `data` is decoded. If `data` comes before `name`, store the text of
        // `data` and decode it later.
        let (mut data, mut early_data): (Option<Data>, Option<&'de RawValue>) = (None, None);
        let inputs = &self.signature.inputs;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "name" => {
                    let name: Cow<'de, str> = map.next_value()?;
                    let found = inputs.iter().position(|spec| spec.name == name);
                    let found = found.ok_or_else(|| {
                        let (expected, found) = (names(inputs), excerpt(&name));
                        A::Error::custom(format!(
                            "unknown input `{found}` (the model takes {expected})"
                        ))
                    })?;
                    set_once(&mut index, found, "name")?;
                }
                "shape" => set_once(&mut shape, map.next_value_seed(Seed(ShapeVisitor))?, "shape")?,
                "datatype" => set_once(&mut datatype, map.next_value::<String>()?, "datatype")?,
                "parameters" => set_once(&mut parameters, map.next_value()?, "parameters")?,
                "data" if data.is_some() || early_data.is_some() => {
                    return Err(A::Error::custom("duplicate key `data`"));
                }
                "data" => match index {
                    Some(index) => {
                        data = Some(map.next_value_seed(DataSeed {
                            spec: &inputs[index],
                            parser: self.parser,
                        })?)
                    }
                    None => early_data = Some(map.next_value()?),
                },
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let missing_key = |key| A::Error::custom(format!("missing key `{key}` of an input"));
        let index = index.ok_or_else(|| missing_key("name"))?;
        let spec = &inputs[index];
        let error = |detail| A::Error::custom(format!("input `{}`: {detail}", spec.name));
        let (expected, found) =
            (datatype_name(spec.datatype), datatype.ok_or_else(|| missing_key("datatype"))?);
        if found != expected {
            let found = excerpt(&found);
            return Err(error(format!("expected datatype {expected}, found {found}")));
        }
        if let Some(text) = early_data {
            let mut source = serde_json::Deserializer::from_str(text.get());
            let read = DataSeed { spec, parser: self.parser }.deserialize(&mut source);
            data =
                Some(read.map_err(|error| A::Error::custom(json::request_error(&error).detail))?);
        }
        let parameters: Option<Object<Parameters>> = parameters.flatten();
        if let Some(Object(parameters)) = &parameters {
            parameters.reject_shared_memory().map_err(|detail| error(detail.to_owned()))?;
        }
        let size = parameters.and_then(|Object(parameters)| parameters.binary_data_size);
        let content = match (data, size) {
            (Some(_), _) if spec.datatype == Datatype::Float16 => {
                return Err(error(FP16_NOT_IN_JSON.to_owned()));
            }
            (Some(data), None) => Content::Elements(data),
            (None, Some(size)) => Content::Bytes(size),
            (Some(_), Some(_)) => {
                let detail = "expected `data` or `binary_data_size`, found both";
                return Err(error(detail.to_owned()));
            }
            (None, None) => {
                let detail = "expected `data` or `binary_data_size`, found neither";
                return Err(error(detail.to_owned()));
            }
        };
        Ok(Input { index, shape: shape.ok_or_else(|| missing_key("shape"))?, content })
    }
}

/// Decodes a shape: the lengths of the axes.
struct ShapeVisitor;

/// Maximum number of axes. No model has an input with more axes. Without a limit, a shape with very many axes of length
/// 1 would use much memory.
const MAX_AXES: usize = 64;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Vec<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of lengths")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut lens: A) -> Result<Vec<usize>, A::Error> {
        let mut shape = vec![];
        while let Some(len) = lens.next_element()? {
            if shape.len() == MAX_AXES {
                let detail = format!("expected a shape of at most {MAX_AXES} axes, found more");
                return Err(A::Error::custom(detail));
            }
            shape.push(len);
        }
        Ok(shape)
    }
}

/// Decodes `data`: an array of elements in row-major order, nested or flat.
struct DataSeed<'s> {
    spec: &'s TensorSpec,
    parser: ElementParser,
}

impl<'de> DeserializeSeed<'de> for DataSeed<'_> {
    type Value = Data;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Data, D::Error> {
        let mut data = Data::new(self.spec.datatype);
        let is_number = !matches!(self.spec.datatype, Datatype::String | Datatype::Bool);
        if self.parser == ElementParser::Fast && is_number {
            let text = <&RawValue>::deserialize(deserializer)?.get();
            let read = fast_path::elements(text, &mut data);
            return read.map(|()| data).ok_or_else(|| D::Error::custom("not on the fast path"));
        }
        deserializer.deserialize_seq(ElementsVisitor { spec: self.spec, data: &mut data })?;
        Ok(data)
    }
}

/// Appends the elements of an array, nested or flat, to `data` with serde.
struct ElementsVisitor<'a> {
    spec: &'a TensorSpec,
    data: &'a mut Data,
}

impl ElementsVisitor<'_> {
    fn push<E: serde::de::Error>(self, value: Value<'_>) -> Result<(), E> {
        let index = self.data.len();
        self.data.push(value).map_err(|mismatch| {
            E::custom(format!("input `{}`, element {index}: {mismatch}", self.spec.name))
        })
    }
}

impl<'de> Visitor<'de> for ElementsVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of {} elements", datatype_name(self.spec.datatype))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let ElementsVisitor { spec, data } = self;
        while entries.next_element_seed(Seed(ElementsVisitor { spec, data: &mut *data }))?.is_some()
        {
        }
        Ok(())
    }

    json::scalars!(push -> ());
}
