//! Checks that [`Model::load`] rejects graphs that would fill the memory or never finish loading. The test
//! `mutated.rs`, which damages models, found these graphs.

#![allow(clippy::unwrap_used)]

use ml_app_model::Model;
use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto,
    TypeProto, ValueInfoProto, type_proto,
};

/// Loads a model with one node, `operator`. The input `x` of the model is a float matrix with `columns`
/// columns, and the output is `y`. The node reads `x` once.
fn load(operator: &str, columns: i64, attributes: Vec<AttributeProto>) -> Result<Model, String> {
    load_node(operator, &["x"], columns, attributes)
}

/// Loads a model like [`load`]. `node_inputs` are the inputs of the node.
fn load_node(
    operator: &str,
    node_inputs: &[&str],
    columns: i64,
    attributes: Vec<AttributeProto>,
) -> Result<Model, String> {
    let dim = |value| Dimension { value: Some(value), ..Default::default() };
    let rows = dim(dimension::Value::DimParam("N".to_owned()));
    let shape = TensorShapeProto { dim: vec![rows, dim(dimension::Value::DimValue(columns))] };
    let value = |name: &str, shape| {
        let tensor = type_proto::Tensor { elem_type: DataType::Float.into(), shape };
        let value = Some(type_proto::Value::TensorType(tensor));
        let r#type = Some(TypeProto { value, ..Default::default() });
        ValueInfoProto { name: name.to_owned(), r#type, ..Default::default() }
    };
    let node = NodeProto {
        name: "node".to_owned(),
        op_type: operator.to_owned(),
        input: node_inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec!["y".to_owned()],
        attribute: attributes,
        ..Default::default()
    };
    let graph = GraphProto {
        node: vec![node],
        input: vec![value("x", Some(shape))],
        output: vec![value("y", None)],
        ..Default::default()
    };
    let model = ModelProto {
        ir_version: 9,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 18 }],
        graph: Some(graph),
        ..Default::default()
    };
    Model::load(&model.encode_to_vec()).map_err(|error| error.to_string())
}

fn rejection(operator: &str, columns: i64, attributes: Vec<AttributeProto>) -> String {
    load(operator, columns, attributes).unwrap_err()
}

#[test]
fn rejects_a_transpose_whose_perm_is_not_a_permutation() {
    let perm = |axes: &[i64]| AttributeProto {
        name: "perm".to_owned(),
        r#type: AttributeType::Ints.into(),
        ints: axes.to_vec(),
        ..Default::default()
    };
    load("Transpose", 3, vec![perm(&[0, 1])]).unwrap();
    for axes in [[0, 0], [1, 2], [-1, 0], [0, i64::MAX]] {
        let error = rejection("Transpose", 3, vec![perm(&axes)]);
        assert!(
            error.contains(&format!("expected `perm` to be a permutation, found {axes:?}")),
            "{error}"
        );
    }
}

#[test]
fn rejects_a_scan_with_more_scan_inputs_than_inputs() {
    let count = |i| AttributeProto {
        name: "num_scan_inputs".to_owned(),
        r#type: AttributeType::Int.into(),
        i,
        ..Default::default()
    };
    for found in [2, 1 << 40, i64::MAX, -1] {
        let error = rejection("Scan", 3, vec![count(found)]);
        let expected = format!("expected `num_scan_inputs` to be at most 1, found {found}");
        assert!(error.contains(&expected), "{error}");
    }
}

#[test]
fn rejects_inputs_with_too_many_columns() {
    load("Relu", 1000, vec![]).unwrap();
    for columns in [(1 << 18) + 1, 1 << 40, i64::MAX] {
        let error = rejection("Relu", columns, vec![]);
        assert!(error.contains("expected at most 262144 columns"), "{error}");
    }
}

#[test]
fn rejects_values_with_too_many_elements_in_a_row() {
    let equation = || AttributeProto {
        name: "equation".to_owned(),
        r#type: AttributeType::String.into(),
        s: b"ni,nj->nij".to_vec(),
        ..Default::default()
    };
    load_node("Einsum", &["x", "x"], 100, vec![equation()]).unwrap();
    for columns in [8193, 1 << 18] {
        let error = load_node("Einsum", &["x", "x"], columns, vec![equation()]).unwrap_err();
        let expected = "expected an output of at most 67108864 elements, found shape";
        assert!(error.contains(expected), "{error}");
    }
}
