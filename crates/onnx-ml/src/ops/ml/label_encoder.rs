//! [LabelEncoder](https://onnx.ai/onnx/operators/onnx_aionnxml_LabelEncoder.html): looks each
//! element up in a list of keys, and replaces it by the value at the key's position in a list of
//! values.
//!
//! Version 1 of the operator has a single list of strings. It maps strings to their positions (a
//! repeated string to its last position), and positions to strings. From version 2 on, a repeated
//! key gets the value of its first occurrence, as in ONNX Runtime; the specification says the last.
//! NaN can be a key since version 4.

use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel, Patch};
use crate::ops::ml::columns::{self, PerElement, Selection};
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

/// Builds the operator in the version that the model imports.
pub fn label_encoder(context: &ParsingContext, node: &NodeProto) -> Built {
    let opset = context.model.opset_import.iter().find(|opset| opset.domain == DOMAIN);
    let mappings = match opset.map_or(i64::MAX, |opset| opset.version) {
        ..2 => version_1(node)?,
        version => Mappings(vec![mapping(context, node, version >= 4)?]),
    };
    operator(node, 1, LabelEncoder(mappings))
}

/// Reads the attributes of version 1.
fn version_1(node: &NodeProto) -> TractResult<Mappings> {
    let strings: Vec<String> = node.get_attr_vec("classes_strings")?;
    let default_string: Option<String> = node.get_attr_opt("default_string")?;
    let default_string = default_string.unwrap_or_else(|| "_Unused".to_owned());
    let default_int: i64 = node.get_attr_opt("default_int64")?.unwrap_or(-1);
    let ints = (0..).take(strings.len()).collect();
    Ok(Mappings::both_ways(strings, ints, default_string, default_int))
}

/// Reads the attributes of version 2 and later. If `nan_is_a_key` is `true`, a NaN key matches NaN elements. Otherwise
/// a NaN key matches no element.
fn mapping(context: &ParsingContext, node: &NodeProto, nan_is_a_key: bool) -> TractResult<Mapping> {
    let keys = list(context, node, "keys")?;
    let values = list(context, node, "values")?;
    node.expect(keys.len() == values.len(), || {
        format!("{} values, one for each key, found {}", keys.len(), values.len())
    })?;
    let key_type = keys.datum_type();
    let keys = match key_type {
        DatumType::String => Lookup::Strings(first_positions(strings(&keys)?)),
        DatumType::I16 | DatumType::I32 | DatumType::I64 => {
            Lookup::ints(first_positions(numbers(&keys)?))
        }
        _ => {
            let keys = numbers(&keys)?.into_iter().map(bits);
            let mut positions = first_positions(keys.collect());
            if !nan_is_a_key {
                positions.remove(&bits(f64::NAN));
            }
            Lookup::Floats(positions)
        }
    };
    let default = default(context, node, values.datum_type())?;
    Ok(Mapping { key_type, keys, values, default })
}

/// Returns the keys or the values of the encoder as a vector. `kind` is `keys` or `values`. The vector is in one of the
/// attributes `*_strings`, `*_int64s`, `*_floats` and `*_tensor`.
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
        _ => node.bail(&format!("expected one attribute of {kind}_*, found {found}")),
    }
}

/// Returns the value for elements that are not a key. `value_type` is the type of the values.
fn default(
    context: &ParsingContext,
    node: &NodeProto,
    value_type: DatumType,
) -> TractResult<Tensor> {
    const NAME: &str = "default_tensor";
    if let Some(default) = attribute_tensor(context, node, NAME)? {
        let (len, found) = (default.len(), default.datum_type());
        node.expect_attr(NAME, len == 1, || format!("one element, found {len}"))?;
        node.expect_attr(NAME, found == value_type, || {
            format!("{value_type:?}, the type of the values, found {found:?}")
        })?;
        return Ok(default);
    }
    Ok(match value_type {
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

/// Returns the tensor in the attribute `name`, or `None` if `node` lacks the attribute.
///
/// # Errors
///
/// Returns an error if LabelEncoder does not support the tensor's element type.
fn attribute_tensor(
    context: &ParsingContext,
    node: &NodeProto,
    name: &str,
) -> TractResult<Option<Tensor>> {
    let Some(proto) = node.get_attr_opt::<&TensorProto>(name)? else { return Ok(None) };
    let supported = match DataType::try_from(proto.data_type) {
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
    node.expect_attr(name, supported, || {
        format!("strings, floats or integers of 16 to 64 bits, found data type {}", proto.data_type)
    })?;
    context.load_tensor(proto).map(Some)
}

fn strings(list: &Tensor) -> TractResult<Vec<String>> {
    Ok(list.try_as_plain_ram()?.as_slice::<String>()?.to_vec())
}

fn numbers<T: Datum + Copy>(list: &Tensor) -> TractResult<Vec<T>> {
    Ok(list.cast_to::<T>()?.try_as_plain_ram()?.as_slice::<T>()?.to_vec())
}

/// Maps each key to the position of its first occurrence.
fn first_positions<K: Hash + Eq>(keys: Vec<K>) -> HashMap<K, usize> {
    // In reverse, so that the first occurrence overwrites later occurrences.
    keys.into_iter().enumerate().rev().map(|(position, key)| (key, position)).collect()
}

impl Kernel for LabelEncoder {
    const NAME: &'static str = "LabelEncoder";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        self.0.outputs(&inputs[0])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        Ok(vec![self.eval_selected(&inputs[0], &Selection::All, inputs[0].shape())?])
    }

    fn fuse(self: &Arc<Self>, model: &TypedModel, node: &TypedNode) -> Patch {
        columns::fuse(self, model, node)
    }
}

impl PerElement for LabelEncoder {
    fn eval_selected(
        &self,
        input: &TValue,
        selection: &Selection,
        shape: &[usize],
    ) -> TractResult<Tensor> {
        self.0.eval(input, selection, shape)
    }
}
