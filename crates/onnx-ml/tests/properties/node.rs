//! Runs a single node of the domain `ai.onnx.ml`.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TypeProto,
    ValueInfoProto, type_proto,
};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::{InferenceFact, TDim};

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

pub fn float(name: &str, f: f32) -> AttributeProto {
    let r#type = AttributeType::Float.into();
    AttributeProto { name: name.into(), r#type, f, ..Default::default() }
}

pub fn string(name: &str, s: &str) -> AttributeProto {
    let r#type = AttributeType::String.into();
    AttributeProto { name: name.into(), r#type, s: s.into(), ..Default::default() }
}

pub fn strings(name: &str, strings: &[String]) -> AttributeProto {
    let strings = strings.iter().map(|string| string.as_bytes().to_vec()).collect();
    let r#type = AttributeType::Strings.into();
    AttributeProto { name: name.into(), r#type, strings, ..Default::default() }
}

/// The outputs of `operator` (domain version 3) for `input`.
pub fn run(operator: &str, attribute: Vec<AttributeProto>, input: Tensor) -> TVec<TValue> {
    let value = |name: &str| ValueInfoProto { name: name.into(), ..Default::default() };
    let elem_type = match input.datum_type() {
        DatumType::F32 => DataType::Float,
        DatumType::I64 => DataType::Int64,
        _ => DataType::String,
    };
    let tensor = type_proto::Tensor { elem_type: elem_type.into(), shape: None };
    let tensor = type_proto::Value::TensorType(tensor);
    let r#type = Some(TypeProto { value: Some(tensor), ..Default::default() });
    let outputs: &[&str] = if operator.ends_with("Classifier") { &["y", "z"] } else { &["y"] };
    let node = NodeProto {
        op_type: operator.into(),
        domain: "ai.onnx.ml".into(),
        input: vec!["x".into()],
        output: outputs.iter().map(|name| (*name).into()).collect(),
        attribute,
        ..Default::default()
    };
    let opset = |domain: &str, version| OperatorSetIdProto { domain: domain.into(), version };
    let proto = ModelProto {
        opset_import: vec![opset("", 18), opset("ai.onnx.ml", 3)],
        graph: Some(GraphProto {
            node: vec![node],
            input: vec![ValueInfoProto { r#type, ..value("x") }],
            output: outputs.iter().map(|name| value(name)).collect(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut model = onnx_ml::onnx().model_for_proto_model(&proto).unwrap();
    let mut shape: TVec<TDim> = input.shape().iter().map(|dim| (*dim).into()).collect();
    shape[0] = model.symbols.sym("N").into();
    model.set_input_fact(0, InferenceFact::dt_shape(input.datum_type(), shape)).unwrap();
    model.into_optimized().unwrap().into_runnable().unwrap().run(tvec!(input.into())).unwrap()
}

pub fn matrix(rows: usize, elements: &[f32]) -> Tensor {
    Tensor::from_shape(&[rows, elements.len() / rows], elements).unwrap()
}

pub fn elements<T: Datum + Clone>(value: &TValue) -> Vec<T> {
    value.try_as_plain_ram().unwrap().as_slice::<T>().unwrap().to_vec()
}
