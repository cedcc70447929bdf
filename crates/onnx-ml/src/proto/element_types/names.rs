//! Names of values: their uses in nodes and subgraphs, and their element types.

use super::formats::Format;
use crate::proto::maps::attribute;
use std::collections::{HashMap, HashSet};
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, ValueInfoProto, type_proto};

/// Operators whose first output has the element type of their first input. The list contains the
/// operators that exporters put between a weight and its use.
const SAME_TYPE: [&str; 12] = [
    "Concat",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "Pad",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// Returns the subgraphs in an attribute.
pub fn subgraphs(attribute: &mut AttributeProto) -> impl Iterator<Item = &mut GraphProto> {
    attribute.g.iter_mut().chain(&mut attribute.graphs)
}

/// Renames the values that nodes use, also in subgraphs. A subgraph that defines a value with the
/// same name keeps the name.
pub fn rename_uses(nodes: &mut [NodeProto], names: &HashMap<String, String>) {
    if names.is_empty() {
        return;
    }
    for node in nodes {
        node.input.iter_mut().for_each(|name| rename(name, names));
        for graph in node.attribute.iter_mut().flat_map(subgraphs) {
            let inputs = graph.input.iter().map(|input| &input.name);
            let stored = graph.initializer.iter().map(|tensor| &tensor.name);
            let computed = graph.node.iter().flat_map(|node| &node.output);
            let defined: HashSet<&String> = inputs.chain(stored).chain(computed).collect();
            let mut visible = names.clone();
            visible.retain(|name, _| !defined.contains(name));
            rename_uses(&mut graph.node, &visible);
            graph.output.iter_mut().for_each(|output| rename(&mut output.name, &visible));
        }
    }
}

fn rename(name: &mut String, names: &HashMap<String, String>) {
    if let Some(new) = names.get(name) {
        name.clone_from(new);
    }
}

/// Returns the declared element type of a value, or `None` if the value is not a tensor.
pub fn element_type(info: &ValueInfoProto) -> Option<i32> {
    let type_proto::Value::TensorType(tensor) = info.r#type.as_ref()?.value.as_ref()?;
    Some(tensor.elem_type)
}

/// Returns the element types that have a [`Format`], by the names of the values. Includes the
/// values of subgraphs. The type of a computed value is known only if the model declares it, or if
/// a few common operators compute the value.
pub fn value_types(graph: &GraphProto) -> HashMap<String, i32> {
    let mut types = HashMap::new();
    add_types(graph, &mut types);
    types
}

fn add_types(graph: &GraphProto, types: &mut HashMap<String, i32>) {
    let mut add = |name: &String, data_type: i32| {
        if Format::of(data_type).is_some() {
            types.insert(name.clone(), data_type);
        }
    };
    for info in graph.input.iter().chain(&graph.output).chain(&graph.value_info) {
        add(&info.name, element_type(info).unwrap_or_default());
    }
    for tensor in &graph.initializer {
        add(&tensor.name, tensor.data_type);
    }
    for node in &graph.node {
        for attribute in &node.attribute {
            attribute.g.iter().chain(&attribute.graphs).for_each(|inner| add_types(inner, types));
        }
        let data_type = match node.op_type.as_str() {
            "Cast" | "BitCast" => attribute(node, "to").map(|to| to.i as i32),
            "Constant" | "ConstantOfShape" => {
                attribute(node, "value").and_then(|value| Some(value.t.as_ref()?.data_type))
            }
            operator if SAME_TYPE.contains(&operator) => {
                node.input.first().and_then(|input| types.get(input).copied())
            }
            _ => None,
        };
        if let Some(data_type) = data_type.filter(|data_type| Format::of(*data_type).is_some()) {
            types.extend(node.output.iter().map(|output| (output.clone(), data_type)));
        }
    }
}
