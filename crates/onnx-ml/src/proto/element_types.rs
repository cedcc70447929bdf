//! Element types that tract lacks (`bfloat16`, floats of 8 and 4 bits, integers of 4 and 2 bits),
//! and `float16`, which many operators of tract lack.
//!
//! [`lower`] replaces each of these types by its carrier (see [`formats`]), so that tract computes in `float`, `int8`
//! or `uint8`. ONNX Runtime computes `float16` in `float` too, because few of its operators for the CPU support
//! `float16`. So neither ONNX Runtime nor this crate rounds the values between operators. A `Cast` to `float16` does
//! not round either: ONNX Runtime removes such casts between operators that compute in `float`. A `Cast` to one of the
//! other types rounds.
//!
//! Inputs and outputs of the graph that are `float16` keep their type. If the type of an input or output is one of the
//! other types, the input or output gets the type of the carrier.

pub mod formats;
mod names;
mod tensors;

use crate::proto::maps::attribute;
use formats::{FLOAT, FLOAT16, Format};
use names::{element_type, rename_uses, subgraphs, value_types};
use std::collections::{HashMap, HashSet};
use std::mem;
pub use tensors::{Error, widen};
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, type_proto,
};

/// Attributes that contain the type of an output or of an intermediate value.
const TYPE_ATTRIBUTES: [&str; 6] =
    ["dtype", "output_dtype", "output_datatype", "stash_type", "softmax_precision", "precision"];

/// Replaces the element types of a model, also in subgraphs.
///
/// # Errors
///
/// Returns an error if the data of a tensor does not have the size of its shape.
pub fn lower(model: &mut ModelProto) -> Result<(), Error> {
    let Some(graph) = model.graph.as_mut() else { return Ok(()) };
    let mut types = value_types(graph);
    let inputs = separate_inputs(graph);
    let outputs = separate_outputs(graph);
    let new_names =
        inputs.iter().map(|[_, copy]| copy).chain(outputs.iter().map(|[source, _]| source));
    types.extend(new_names.map(|name| (name.clone(), FLOAT16)));
    let initialized: HashSet<&String> =
        graph.initializer.iter().map(|tensor| &tensor.name).collect();
    for info in graph.input.iter_mut().chain(&mut graph.output) {
        if element_type(info) != Some(FLOAT16) || initialized.contains(&info.name) {
            declare_carrier(info);
        }
    }
    lower_nodes(graph, &types)?;
    graph.node.splice(0..0, inputs.iter().map(|[input, copy]| cast(input, copy, FLOAT)));
    graph.node.extend(outputs.iter().map(|[source, output]| cast(source, output, FLOAT16)));
    Ok(())
}

/// Makes the nodes read a copy of each input of type `float16`. Returns pairs of the name of the input and the name of
/// its copy. The caller adds the nodes that make the copies.
fn separate_inputs(graph: &mut GraphProto) -> Vec<[String; 2]> {
    let initialized: HashSet<&String> =
        graph.initializer.iter().map(|tensor| &tensor.name).collect();
    let inputs = graph.input.iter().filter(|input| !initialized.contains(&input.name));
    let pairs: Vec<[String; 2]> = inputs
        .filter(|input| element_type(input) == Some(FLOAT16))
        .map(|input| [input.name.clone(), format!("{}.float", input.name)])
        .collect();
    let names = pairs.iter().cloned().map(|[input, copy]| (input, copy)).collect();
    rename_uses(&mut graph.node, &names);
    pairs
}

/// Renames the values that are outputs of type `float16`. Returns pairs of the new name and the name of the output.
fn separate_outputs(graph: &mut GraphProto) -> Vec<[String; 2]> {
    let inputs: HashSet<&String> = graph.input.iter().map(|input| &input.name).collect();
    let outputs = graph.output.iter().filter(|output| !inputs.contains(&output.name));
    let pairs: Vec<[String; 2]> = outputs
        .filter(|output| element_type(output) == Some(FLOAT16))
        .map(|output| [format!("{}.float", output.name), output.name.clone()])
        .collect();
    let names: HashMap<String, String> =
        pairs.iter().cloned().map(|[source, output]| (output, source)).collect();
    rename_uses(&mut graph.node, &names);
    let computed = graph.node.iter_mut().flat_map(|node| &mut node.output);
    let stored = graph.initializer.iter_mut().map(|tensor| &mut tensor.name);
    for name in computed.chain(stored) {
        if let Some(source) = names.get(name) {
            name.clone_from(source);
        }
    }
    pairs
}

/// Replaces the element types of weights and nodes. `types` contains the types of the model's values.
fn lower_nodes(graph: &mut GraphProto, types: &HashMap<String, i32>) -> Result<(), Error> {
    graph.initializer.iter_mut().try_for_each(widen)?;
    graph.value_info.iter_mut().for_each(declare_carrier);
    let mut nodes = Vec::with_capacity(graph.node.len());
    for mut node in mem::take(&mut graph.node) {
        for attribute in &mut node.attribute {
            attribute.t.iter_mut().chain(&mut attribute.tensors).try_for_each(widen)?;
            for inner in subgraphs(attribute) {
                inner.input.iter_mut().chain(&mut inner.output).for_each(declare_carrier);
                lower_nodes(inner, types)?;
            }
        }
        lower_node(node, types, &mut nodes);
    }
    graph.node = nodes;
    Ok(())
}

/// Replaces the type that `info` declares by its carrier.
fn declare_carrier(info: &mut ValueInfoProto) {
    let declared = info.r#type.as_mut().and_then(|declared| declared.value.as_mut());
    if let Some(type_proto::Value::TensorType(tensor)) = declared
        && let Some(format) = Format::of(tensor.elem_type)
    {
        tensor.elem_type = format.carrier();
    }
}

/// Replaces the element types in the attributes of a node, and adds the node to `nodes`. Adds further
/// nodes if the result has to be rounded.
fn lower_node(mut node: NodeProto, types: &HashMap<String, i32>, nodes: &mut Vec<NodeProto>) {
    let type_of = |input: usize| node.input.get(input).and_then(|name| types.get(name).copied());
    match node.op_type.as_str() {
        "CastLike" => {
            if let Some(to) = type_of(1) {
                node.op_type = "Cast".into();
                node.input.truncate(1);
                node.attribute.push(integer_attribute("to", to));
                return lower_node(node, types, nodes);
            }
        }
        "Cast" => {
            let to = node.attribute.iter_mut().find(|attribute| attribute.name == "to");
            if let Some(to) = to.filter(|to| to.i == i64::from(FLOAT16)) {
                to.i = FLOAT.into();
            }
        }
        "BitCast" => {
            if let (Some(FLOAT16), Some(output)) = (type_of(0), node.output.first()) {
                let bits = format!("{output}.float16");
                nodes.push(cast(&node.input[0], &bits, FLOAT16));
                node.input[0] = bits;
            }
            if attribute(&node, "to").is_some_and(|to| to.i == i64::from(FLOAT16)) {
                return add_with(node, nodes, |half, output| vec![cast(half, output, FLOAT)]);
            }
        }
        "QuantizeLinear" => {
            let declared = attribute(&node, "output_dtype").map(|declared| declared.i as i32);
            let output = declared.filter(|declared| *declared != 0).or(type_of(2));
            if let Some(Format::Integer { bits, is_signed }) = output.and_then(Format::of) {
                lower_type_attributes(&mut node);
                return add_with(node, nodes, |wide, output| clamp(wide, output, bits, is_signed));
            }
        }
        _ => {}
    }
    lower_type_attributes(&mut node);
    nodes.push(node);
}

/// Replaces the types in the attributes of a node by their carriers.
fn lower_type_attributes(node: &mut NodeProto) {
    for attribute in &mut node.attribute {
        let is_type = TYPE_ATTRIBUTES.contains(&attribute.name.as_str());
        if let (true, Some(format)) = (is_type, Format::of(attribute.i as i32)) {
            attribute.i = format.carrier().into();
        }
    }
}

/// Adds `node` with a new name for its first output. Also adds the nodes that compute the original output from the
/// renamed output.
fn add_with(
    mut node: NodeProto,
    nodes: &mut Vec<NodeProto>,
    compute: impl FnOnce(&str, &str) -> Vec<NodeProto>,
) {
    let Some(first) = node.output.first_mut() else { return nodes.push(node) };
    let value = format!("{first}.wide");
    let output = mem::replace(first, value.clone());
    nodes.push(node);
    nodes.extend(compute(&value, &output));
}

/// Returns the nodes that clamp values of a carrier to the range of an integer type.
fn clamp(value: &str, output: &str, bits: u32, is_signed: bool) -> Vec<NodeProto> {
    let (lowest, highest) = if is_signed {
        (-1_i8 << (bits - 1), (1_i8 << (bits - 1)) - 1)
    } else {
        (0, (1_i8 << bits) - 1)
    };
    let carrier = Format::Integer { bits, is_signed }.carrier();
    let constant = |name: &str, value: i8| {
        let tensor = TensorProto {
            data_type: carrier,
            raw_data: vec![value as u8],
            ..TensorProto::default()
        };
        let mut node = operator("Constant", &[], &format!("{output}.{name}"));
        node.attribute = vec![AttributeProto {
            name: "value".into(),
            r#type: AttributeType::Tensor.into(),
            t: Some(tensor),
            ..AttributeProto::default()
        }];
        node
    };
    let (low, high) = (format!("{output}.low"), format!("{output}.high"));
    let raised = format!("{output}.raised");
    vec![
        constant("low", lowest),
        constant("high", highest),
        operator("Max", &[value, &low], &raised),
        operator("Min", &[&raised, &high], output),
    ]
}

/// Returns a node that casts the value `input` to the value `output`.
fn cast(input: &str, output: &str, to: i32) -> NodeProto {
    let mut node = operator("Cast", &[input], output);
    node.attribute = vec![integer_attribute("to", to)];
    node
}

/// Returns a node of ONNX's main domain.
fn operator(name: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        name: output.into(),
        op_type: name.into(),
        input: inputs.iter().map(|input| (*input).to_owned()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

fn integer_attribute(name: &str, value: i32) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Int.into(),
        i: value.into(),
        ..AttributeProto::default()
    }
}
