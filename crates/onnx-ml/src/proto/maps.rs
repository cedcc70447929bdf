//! Maps as inputs: `DictVectorizer` and `CastMap`
//! ([ai.onnx.ml](https://onnx.ai/onnx/operators/index_ai_onnx_ml.html)) convert a map to a tensor.
//!
//! tract has no map type, and needs none, because the relevant keys are constants of the model.
//! [`lower`] returns the keys and turns the input into a tensor of rows with one column per key. A
//! key that a map omits is zero or an empty text. Decoding drops the type of a map's values, so it
//! is taken from the operator's output, or float if that is not declared.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorShapeProto, TypeProto,
    attribute_proto, type_proto,
};

/// Maximum number of columns; more would let a small model request any amount of memory.
const MAX_COLUMNS: i64 = 1 << 20;

/// A graph input that was a map and is now the tensor of its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapInput {
    /// Name of the graph input.
    pub input: String,
    /// Keys in the order of the tensor's columns; integers in decimal.
    pub keys: Vec<String>,
}

/// Replaces each `DictVectorizer` and `CastMap` of a graph input by `Identity` or `Cast`, and
/// returns the keys. If the keys are not known, as in a dense `CastMap`, any number of columns is
/// accepted.
pub fn lower(model: &mut ModelProto) -> Vec<MapInput> {
    let Some(graph) = model.graph.as_mut() else {
        return vec![];
    };
    let mut lowered = vec![];
    for index in 0..graph.input.len() {
        // Decoding drops the type of a map.
        let is_map = graph.input[index].r#type.as_ref().is_none_or(|it| it.value.is_none());
        let name = graph.input[index].name.clone();
        let uses = |node: &&mut NodeProto| node.input.contains(&name);
        let mut consumers: Vec<&mut NodeProto> = graph.node.iter_mut().filter(uses).collect();
        let [node] = consumers.as_mut_slice() else { continue };
        if !is_map || node.domain != "ai.onnx.ml" {
            continue;
        }
        let Some((values, keys)) = columns(node) else { continue };
        let declared = node.output.first().cloned().unwrap_or_default();
        let columns = keys.as_ref().map(Vec::len);
        let values = values.unwrap_or_else(|| element_type(graph, &declared));
        graph.input[index].r#type = Some(matrix(values, columns));
        lowered.extend(keys.map(|keys| MapInput { input: name, keys }));
    }
    lowered
}

/// Turns `node` into an operator on tensors. Returns the type of the map's values, if the node
/// declares it, and the keys.
fn columns(node: &mut NodeProto) -> Option<(Option<DataType>, Option<Vec<String>>)> {
    match node.op_type.as_str() {
        "DictVectorizer" => {
            let keys = vocabulary(node)?;
            become_operator(node, "Identity", None);
            Some((None, Some(keys)))
        }
        "CastMap" => {
            let text = |name: &str| Some(attribute(node, name)?.s.clone());
            let (values, to) = match text("cast_to").as_deref() {
                None | Some(b"TO_FLOAT") => (DataType::Float, DataType::Float),
                Some(b"TO_INT64") => (DataType::Float, DataType::Int64),
                Some(b"TO_STRING") => (DataType::String, DataType::String),
                Some(_) => return None,
            };
            let keys = match text("map_form").as_deref() {
                None | Some(b"DENSE") => None,
                Some(b"SPARSE") => {
                    let columns = attribute(node, "max_map").map_or(1, |attribute| attribute.i);
                    let fits = (1..=MAX_COLUMNS).contains(&columns);
                    Some(fits.then(|| (0..columns).map(|key| key.to_string()).collect())?)
                }
                Some(_) => return None,
            };
            become_operator(node, "Cast", Some(to));
            Some((Some(values), keys))
        }
        _ => None,
    }
}

fn vocabulary(node: &NodeProto) -> Option<Vec<String>> {
    let texts = attribute(node, "string_vocabulary").map(|attribute| &attribute.strings);
    let numbers = attribute(node, "int64_vocabulary").map(|attribute| &attribute.ints);
    let keys: Vec<String> = match (texts, numbers) {
        (Some(texts), _) => {
            texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect()
        }
        (None, Some(numbers)) => numbers.iter().map(i64::to_string).collect(),
        (None, None) => vec![],
    };
    (!keys.is_empty()).then_some(keys)
}

pub(crate) fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

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

/// Returns the element type of a value, as far as the graph declares it.
fn element_type(graph: &GraphProto, name: &str) -> DataType {
    let infos = graph.output.iter().chain(&graph.value_info);
    let mut types = infos.filter(|info| info.name == name).filter_map(|info| {
        let type_proto::Value::TensorType(tensor) = info.r#type.as_ref()?.value.as_ref()?;
        DataType::try_from(tensor.elem_type).ok()
    });
    types.find(|found| *found != DataType::Undefined).unwrap_or(DataType::Float)
}

/// Returns the type of a matrix with any number of rows.
fn matrix(values: DataType, columns: Option<usize>) -> TypeProto {
    let dim = |value| Dimension { value, ..Dimension::default() };
    let columns = columns.and_then(|columns| i64::try_from(columns).ok());
    let dims = vec![dim(None), dim(columns.map(dimension::Value::DimValue))];
    let shape = Some(TensorShapeProto { dim: dims });
    let tensor = type_proto::Tensor { elem_type: values.into(), shape };
    TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() }
}
