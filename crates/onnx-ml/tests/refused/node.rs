//! Nodes with attributes as a test wants them.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TypeProto,
    ValueInfoProto, type_proto,
};
use tract_onnx::prelude::*;

pub fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    let r#type = AttributeType::Ints.into();
    AttributeProto { name: name.into(), r#type, ints: ints.to_vec(), ..Default::default() }
}

pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int.into(), i, ..Default::default() }
}

pub fn floats(name: &str, floats: &[f32]) -> AttributeProto {
    let r#type = AttributeType::Floats.into();
    AttributeProto { name: name.into(), r#type, floats: floats.to_vec(), ..Default::default() }
}

pub fn string(name: &str, s: &str) -> AttributeProto {
    let r#type = AttributeType::String.into();
    AttributeProto { name: name.into(), r#type, s: s.into(), ..Default::default() }
}

pub fn strings(name: &str, strings: &[&str]) -> AttributeProto {
    let strings = strings.iter().map(|string| string.as_bytes().to_vec()).collect();
    let r#type = AttributeType::Strings.into();
    AttributeProto { name: name.into(), r#type, strings, ..Default::default() }
}

pub fn graph(name: &str, graph: GraphProto) -> AttributeProto {
    let r#type = AttributeType::Graph.into();
    AttributeProto { name: name.into(), r#type, g: Some(graph), ..Default::default() }
}

/// Loads a model of one node, for an input of so many columns.
pub fn load(operator: &str, columns: usize, attribute: Vec<AttributeProto>) -> TractResult<()> {
    let value = |name: &str| ValueInfoProto { name: name.into(), ..Default::default() };
    let tensor = type_proto::Tensor { elem_type: 1, shape: None };
    let number =
        TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    let outputs: &[&str] = if operator.ends_with("Classifier") { &["y", "z"] } else { &["y"] };
    let node = NodeProto {
        op_type: operator.into(),
        domain: "ai.onnx.ml".into(),
        input: vec!["x".into()],
        output: outputs.iter().map(|name| (*name).into()).collect(),
        attribute,
        ..Default::default()
    };
    let proto = ModelProto {
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 18 }],
        graph: Some(GraphProto {
            node: vec![node],
            input: vec![ValueInfoProto { r#type: Some(number), ..value("x") }],
            output: outputs.iter().map(|name| value(name)).collect(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let model = onnx_ml::onnx().model_for_proto_model(&proto)?;
    model.with_input_fact(0, f32::fact([2, columns]).into())?.into_optimized()?;
    Ok(())
}
