//! Inputs that are maps: `DictVectorizer` and `CastMap`
//! ([ai.onnx.ml](https://onnx.ai/onnx/operators/index_ai_onnx_ml.html)) convert a map to a tensor.
//!
//! tract does not support maps. Support is not needed, because the keys that a model reads are
//! constants of the model. [`lower`] returns the keys and turns the input into a tensor with one
//! column per key. A key that a request omits becomes zero or an empty string. tract's protobuf
//! decoder drops the type of a map, so the type of the values is taken from the output of the
//! operator. If the model does not declare the type of that output, the type is float.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorShapeProto, TypeProto,
    attribute_proto, type_proto,
};

/// Maximum number of columns. Without a limit, a small model could request any amount of memory.
const MAX_COLUMNS: i64 = 1 << 20;

/// A graph input that was a map and is now the tensor of its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapInput {
    /// Name of the graph input.
    pub input: String,
    /// The keys in the order of the tensor's columns. Integers are in decimal notation.
    pub keys: Vec<String>,
}

/// Replaces each `DictVectorizer` or `CastMap` that reads a graph input by `Identity` or `Cast`. Returns the inputs and
/// their keys. A dense `CastMap` has no fixed keys. The input of a dense `CastMap` becomes a tensor with any number of
/// columns, and is not returned.
pub fn lower(model: &mut ModelProto) -> Vec<MapInput> {
    let Some(graph) = model.graph.as_mut() else {
        return vec![];
    };
    let mut lowered = vec![];
    for index in 0..graph.input.len() {
        // A type without a value was a map before decoding.
        let is_map =
            graph.input[index].r#type.as_ref().is_none_or(|declared| declared.value.is_none());
        let name = graph.input[index].name.clone();
        let reads_input = |node: &&mut NodeProto| node.input.contains(&name);
        let mut consumers: Vec<&mut NodeProto> =
            graph.node.iter_mut().filter(reads_input).collect();
        let [node] = consumers.as_mut_slice() else { continue };
        if !is_map || node.domain != "ai.onnx.ml" {
            continue;
        }
        let Some((values, keys)) = lower_node(node) else { continue };
        let output = node.output.first().cloned().unwrap_or_default();
        let columns = keys.as_ref().map(Vec::len);
        let values = values.unwrap_or_else(|| element_type(graph, &output));
        graph.input[index].r#type = Some(matrix(values, columns));
        lowered.extend(keys.map(|keys| MapInput { input: name, keys }));
    }
    lowered
}

/// Turns `node` into an operator on tensors. Returns the type of the map's values if the node
/// declares it, and the keys if they are fixed. Returns `None` if the node is not one of the two
/// operators, or is not supported.
fn lower_node(node: &mut NodeProto) -> Option<(Option<DataType>, Option<Vec<String>>)> {
    match node.op_type.as_str() {
        "DictVectorizer" => {
            let keys = vocabulary(node)?;
            become_operator(node, "Identity", None);
            Some((None, Some(keys)))
        }
        "CastMap" => {
            let string = |name: &str| Some(attribute(node, name)?.s.clone());
            let (values, to) = match string("cast_to").as_deref() {
                None | Some(b"TO_FLOAT") => (DataType::Float, DataType::Float),
                Some(b"TO_INT64") => (DataType::Float, DataType::Int64),
                Some(b"TO_STRING") => (DataType::String, DataType::String),
                Some(_) => return None,
            };
            let keys = match string("map_form").as_deref() {
                None | Some(b"DENSE") => None,
                Some(b"SPARSE") => {
                    let columns = attribute(node, "max_map").map_or(1, |attribute| attribute.i);
                    let is_valid = (1..=MAX_COLUMNS).contains(&columns);
                    Some(is_valid.then(|| (0..columns).map(|key| key.to_string()).collect())?)
                }
                Some(_) => return None,
            };
            become_operator(node, "Cast", Some(to));
            Some((Some(values), keys))
        }
        _ => None,
    }
}

/// Returns the keys of a `DictVectorizer`, or `None` if it has no keys.
fn vocabulary(node: &NodeProto) -> Option<Vec<String>> {
    let strings = attribute(node, "string_vocabulary").map(|attribute| &attribute.strings);
    let integers = attribute(node, "int64_vocabulary").map(|attribute| &attribute.ints);
    let keys: Vec<String> = match (strings, integers) {
        (Some(strings), _) => {
            strings.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
        }
        (None, Some(integers)) => integers.iter().map(i64::to_string).collect(),
        (None, None) => vec![],
    };
    (!keys.is_empty()).then_some(keys)
}

/// Returns the attribute of `node` called `name`.
pub(crate) fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// Turns `node` into `operator` of ONNX's main domain. `to` is the output type of a `Cast`.
fn become_operator(node: &mut NodeProto, operator: &str, to: Option<DataType>) {
    node.op_type = operator.into();
    node.domain.clear();
    node.attribute = to
        .map(|to| AttributeProto {
            name: "to".into(),
            r#type: attribute_proto::AttributeType::Int.into(),
            i: i64::from(i32::from(to)),
            ..AttributeProto::default()
        })
        .into_iter()
        .collect();
}

/// Returns the element type of the value called `name`, or float if the graph does not declare it.
fn element_type(graph: &GraphProto, name: &str) -> DataType {
    let infos = graph.output.iter().chain(&graph.value_info);
    let mut types = infos.filter(|info| info.name == name).filter_map(|info| {
        let type_proto::Value::TensorType(tensor) = info.r#type.as_ref()?.value.as_ref()?;
        DataType::try_from(tensor.elem_type).ok()
    });
    types.find(|found| *found != DataType::Undefined).unwrap_or(DataType::Float)
}

/// Returns the type of a matrix of `values` with any number of rows. If `columns` is `None`, the
/// number of columns is open too.
fn matrix(values: DataType, columns: Option<usize>) -> TypeProto {
    let dim = |value| Dimension { value, ..Dimension::default() };
    let columns = columns.and_then(|columns| i64::try_from(columns).ok());
    let dims = vec![dim(None), dim(columns.map(dimension::Value::DimValue))];
    let shape = Some(TensorShapeProto { dim: dims });
    let tensor = type_proto::Tensor { elem_type: values.into(), shape };
    TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() }
}
