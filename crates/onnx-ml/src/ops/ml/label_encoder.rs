//! [LabelEncoder](https://onnx.ai/onnx/operators/onnx_aionnxml_LabelEncoder.html): maps each
//! element from a list of keys to the value at the same position.
//!
//! Version 1 has one list of strings, which maps between strings and their positions. If a key is
//! repeated, its first occurrence counts, as in ONNX Runtime; the specification says the last. NaN
//! can be a key since version 4.

use crate::operator::kernel::{Built, Fact, Kernel, Patch, operator};
use crate::ops::ml::columns::{self, Columns, PerElement};
use crate::ops::ml::lookup::{Lookup, bits};
use crate::ops::ml::mapping::{Mapping, Mappings};
use foldhash::HashMap;
use serde::{Deserialize, Serialize};
use std::hash::Hash;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{NodeProto, TensorProto};
use tract_onnx::tract_hir::internal::*;

const DOMAIN: &str = "ai.onnx.ml";

#[derive(Debug, Deserialize, Serialize)]
pub struct LabelEncoder(Mappings);

pub fn label_encoder(context: &ParsingContext, node: &NodeProto) -> Built {
    let opset = context.model.opset_import.iter().find(|opset| opset.domain == DOMAIN);
    let mappings = match opset.map_or(i64::MAX, |opset| opset.version) {
        ..2 => classes(node)?,
        version => Mappings(vec![mapping(context, node, version >= 4)?]),
    };
    operator(node, 1, LabelEncoder(mappings))
}

fn classes(node: &NodeProto) -> TractResult<Mappings> {
    let strings: Vec<String> = node.get_attr_vec("classes_strings")?;
    let default_string: Option<String> = node.get_attr_opt("default_string")?;
    let default_string = default_string.unwrap_or_else(|| "_Unused".to_owned());
    let default_int: i64 = node.get_attr_opt("default_int64")?.unwrap_or(-1);
    let ints = (0..).take(strings.len()).collect();
    Ok(Mappings::both_ways(strings, ints, default_string, default_int))
}

fn mapping(context: &ParsingContext, node: &NodeProto, nan_is_a_key: bool) -> TractResult<Mapping> {
    let keys = list(context, node, "keys")?;
    let to = list(context, node, "values")?;
    node.expect(keys.len() == to.len(), || {
        format!("as many values as keys, {}, found {}", keys.len(), to.len())
    })?;
    let from = keys.datum_type();
    let keys = match from {
        DatumType::String => Lookup::Strings(first(strings(&keys)?)),
        DatumType::I16 | DatumType::I32 | DatumType::I64 => Lookup::ints(first(numbers(&keys)?)),
        _ => {
            let mut positions = first(numbers(&keys)?.into_iter().map(bits).collect());
            if !nan_is_a_key {
                positions.remove(&bits(f64::NAN));
            }
            Lookup::Floats(positions)
        }
    };
    let default = default(context, node, to.datum_type())?;
    Ok(Mapping { from, keys, to, default })
}

/// Returns the only list of that kind (keys or values) as a vector.
fn list(context: &ParsingContext, node: &NodeProto, kind: &str) -> TractResult<Tensor> {
    let mut lists: Vec<Tensor> = vec![];
    if let Some(strings) = node.get_attr_opt_vec::<String>(&format!("{kind}_strings"))? {
        lists.push(tensor1(&strings));
    }
    if let Some(ints) = node.get_attr_opt_vec::<i64>(&format!("{kind}_int64s"))? {
        lists.push(tensor1(&ints));
    }
    if let Some(floats) = node.get_attr_opt_vec::<f32>(&format!("{kind}_floats"))? {
        lists.push(tensor1(&floats));
    }
    let name = format!("{kind}_tensor");
    if let Some(tensor) = attribute_tensor(context, node, &name)? {
        let found = tensor.rank();
        node.expect_attr(&name, found == 1, || format!("rank 1, found {found}"))?;
        lists.push(tensor);
    }
    lists.retain(|list| list.len() > 0);
    let found = lists.len();
    match lists.pop() {
        Some(list) if found == 1 => Ok(list),
        _ => node.bail(&format!("expected one list of {kind}_*, found {found}")),
    }
}

fn default(
    context: &ParsingContext,
    node: &NodeProto,
    datum_type: DatumType,
) -> TractResult<Tensor> {
    const NAME: &str = "default_tensor";
    if let Some(default) = attribute_tensor(context, node, NAME)? {
        let (len, found) = (default.len(), default.datum_type());
        node.expect_attr(NAME, len == 1, || format!("one element, found {len}"))?;
        node.expect_attr(NAME, found == datum_type, || {
            format!("{datum_type:?} as the values, found {found:?}")
        })?;
        return Ok(default);
    }
    Ok(match datum_type {
        DatumType::String => {
            let default: Option<String> = node.get_attr_opt("default_string")?;
            tensor0(default.unwrap_or_else(|| "_Unused".to_owned()))
        }
        DatumType::I64 => tensor0::<i64>(node.get_attr_opt("default_int64")?.unwrap_or(-1)),
        DatumType::I32 => tensor0(-1_i32),
        DatumType::I16 => tensor0(-1_i16),
        DatumType::F64 => tensor0(-0.0_f64),
        _ => tensor0::<f32>(node.get_attr_opt("default_float")?.unwrap_or(-0.0)),
    })
}

/// Returns an attribute's tensor, if LabelEncoder supports its type.
fn attribute_tensor(
    context: &ParsingContext,
    node: &NodeProto,
    name: &str,
) -> TractResult<Option<Tensor>> {
    let Some(proto) = node.get_attr_opt::<&TensorProto>(name)? else { return Ok(None) };
    let known = match DataType::try_from(proto.data_type) {
        // tract panics on strings in raw data, which the specification forbids.
        Ok(DataType::String) => proto.raw_data.is_empty() && proto.external_data.is_empty(),
        Ok(found) => matches!(
            found,
            DataType::Int16
                | DataType::Int32
                | DataType::Int64
                | DataType::Float
                | DataType::Double
        ),
        Err(_) => false,
    };
    node.expect_attr(name, known, || {
        format!("numbers or strings, found data type {}", proto.data_type)
    })?;
    context.load_tensor(proto).map(Some)
}

fn strings(list: &Tensor) -> TractResult<Vec<String>> {
    Ok(list.try_as_plain_ram()?.as_slice::<String>()?.to_vec())
}

fn numbers<T: Datum + Copy>(list: &Tensor) -> TractResult<Vec<T>> {
    Ok(list.cast_to::<T>()?.try_as_plain_ram()?.as_slice::<T>()?.to_vec())
}

fn first<K: Hash + Eq>(keys: Vec<K>) -> HashMap<K, usize> {
    keys.into_iter().enumerate().rev().map(|(position, key)| (key, position)).collect()
}

impl Kernel for LabelEncoder {
    const NAME: &'static str = "LabelEncoder";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        self.0.outputs(&inputs[0])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        Ok(vec![self.of(&inputs[0], &Columns::All, inputs[0].shape())?])
    }

    fn fuse(self: &Arc<Self>, model: &TypedModel, node: &TypedNode) -> Patch {
        columns::fuse(self, model, node)
    }
}

impl PerElement for LabelEncoder {
    fn of(&self, input: &TValue, columns: &Columns, shape: &[usize]) -> TractResult<Tensor> {
        self.0.eval(input, columns, shape)
    }
}
