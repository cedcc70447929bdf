//! The nodes that replace a node.

use std::collections::HashMap;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

/// Name of a value.
pub type Value = String;

/// The nodes that replace a node, under construction.
#[derive(Debug)]
pub struct Body<'a> {
    nodes: Vec<NodeProto>,
    /// Prefix of the names of new values. The prefix contains the name of an output of the node, which is unique.
    prefix: String,
    /// Version of ONNX's operators.
    pub opset: i64,
    ranks: &'a HashMap<String, usize>,
    /// The values of the node's outputs. An output that the node omits may be missing.
    pub outputs: Vec<Value>,
}

impl<'a> Body<'a> {
    pub fn new(node: &NodeProto, opset: i64, ranks: &'a HashMap<String, usize>) -> Body<'a> {
        let output = node.output.iter().find(|name| !name.is_empty());
        let prefix = format!("{}/{}", output.cloned().unwrap_or_default(), node.op_type);
        Body { nodes: vec![], prefix, opset, ranks, outputs: vec![] }
    }

    /// Returns the number of axes of a value of the graph, if the graph declares it.
    pub fn rank(&self, value: &str) -> Option<usize> {
        self.ranks.get(value).copied()
    }

    /// Adds a node of ONNX's domain, and returns its output.
    pub fn op<const N: usize>(&mut self, operator: &str, inputs: [&str; N]) -> Value {
        self.node(operator, &inputs, vec![])
    }

    /// Adds a node with attributes. An input with an empty name is omitted.
    pub fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> Value {
        self.nodes_with(operator, inputs, attributes, 1).remove(0)
    }

    /// Adds a node with several outputs.
    pub fn nodes_with(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attribute: Vec<AttributeProto>,
        outputs: usize,
    ) -> Vec<Value> {
        let name = format!("{}/{}", self.prefix, self.nodes.len());
        let output: Vec<Value> = (0..outputs).map(|index| format!("{name}.{index}")).collect();
        // Trailing inputs that are omitted need not be listed.
        let count = inputs.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1);
        let input = inputs[..count].iter().map(|name| (*name).to_owned()).collect();
        let op_type = operator.into();
        let output_names = output.clone();
        self.nodes.push(NodeProto {
            name,
            op_type,
            input,
            output: output_names,
            attribute,
            ..NodeProto::default()
        });
        output
    }

    /// Adds a node with the operator, the inputs and the attributes of `node`.
    pub fn same(&mut self, node: &NodeProto) -> Value {
        let inputs: Vec<&str> = node.input.iter().map(String::as_str).collect();
        self.node(&node.op_type, &inputs, node.attribute.clone())
    }

    /// Adds a constant of 64-bit integers with one axis.
    pub fn integers(&mut self, values: &[i64]) -> Value {
        self.constant(TensorProto {
            dims: vec![values.len() as i64],
            data_type: DataType::Int64.into(),
            int64_data: values.to_vec(),
            ..TensorProto::default()
        })
    }

    /// Adds a constant of a single float.
    pub fn float(&mut self, value: f32) -> Value {
        self.constant(TensorProto {
            data_type: DataType::Float.into(),
            float_data: vec![value],
            ..TensorProto::default()
        })
    }

    fn constant(&mut self, tensor: TensorProto) -> Value {
        let value = AttributeProto {
            name: "value".into(),
            r#type: AttributeType::Tensor.into(),
            t: Some(tensor),
            ..AttributeProto::default()
        };
        self.node("Constant", &[], vec![value])
    }

    /// Adds a Reshape. 0 keeps the length of an axis.
    pub fn reshape(&mut self, value: &str, shape: &[i64]) -> Value {
        let shape = self.integers(shape);
        self.op("Reshape", [value, &shape])
    }

    /// Adds a Transpose.
    pub fn transpose(&mut self, value: &str, axes: &[i64]) -> Value {
        self.node("Transpose", &[value], vec![ints("perm", axes)])
    }

    /// Adds a Slice along one axis.
    pub fn slice(&mut self, value: &str, axis: i64, [start, end]: [i64; 2]) -> Value {
        let [start, end, axis] = [start, end, axis].map(|bound| self.integers(&[bound]));
        self.op("Slice", [value, &start, &end, &axis])
    }

    /// Adds a Cast.
    pub fn cast(&mut self, value: &str, to: DataType) -> Value {
        self.node("Cast", &[value], vec![int("to", i64::from(i32::from(to)))])
    }

    /// Returns the nodes, with an Identity for each output of `node`.
    pub fn into_nodes(mut self, node: &NodeProto) -> Vec<NodeProto> {
        for (value, output) in self.outputs.iter().zip(&node.output) {
            if !output.is_empty() {
                self.nodes.push(NodeProto {
                    name: output.clone(),
                    op_type: "Identity".into(),
                    input: vec![value.clone()],
                    output: vec![output.clone()],
                    ..NodeProto::default()
                });
            }
        }
        self.nodes
    }
}

/// Returns the input with the given index, or `None` if the node omits it.
pub fn input(node: &NodeProto, index: usize) -> Option<&str> {
    node.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
}

/// Returns the attribute with the given name.
pub fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// Returns an integer attribute, or `default` if the node omits it.
pub fn integer(node: &NodeProto, name: &str, default: i64) -> i64 {
    attribute(node, name).map_or(default, |attribute| attribute.i)
}

/// Creates an attribute with an integer.
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Int.into(),
        i: value,
        ..AttributeProto::default()
    }
}

/// Creates an attribute with a list of integers.
pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints.into(),
        ints: values.to_vec(),
        ..AttributeProto::default()
    }
}

/// Creates an attribute with a float.
pub fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Float.into(),
        f: value,
        ..AttributeProto::default()
    }
}

/// Returns the attributes of `node` with the given names.
pub fn attributes(node: &NodeProto, names: &[&str]) -> Vec<AttributeProto> {
    let named = node.attribute.iter().filter(|attribute| names.contains(&&*attribute.name));
    named.cloned().collect()
}
