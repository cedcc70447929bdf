//! Builds, loads and runs models of a single node.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TypeProto,
    ValueInfoProto, type_proto,
};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::{TDim, bail};

pub fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { ints: ints.to_vec(), ..attribute(name, AttributeType::Ints) }
}

pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { i, ..attribute(name, AttributeType::Int) }
}

pub fn floats(name: &str, floats: &[f32]) -> AttributeProto {
    AttributeProto { floats: floats.to_vec(), ..attribute(name, AttributeType::Floats) }
}

pub fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { f, ..attribute(name, AttributeType::Float) }
}

pub fn string(name: &str, s: &str) -> AttributeProto {
    AttributeProto { s: s.into(), ..attribute(name, AttributeType::String) }
}

pub fn strings(name: &str, strings: &[&str]) -> AttributeProto {
    let strings = strings.iter().map(|string| string.as_bytes().to_vec()).collect();
    AttributeProto { strings, ..attribute(name, AttributeType::Strings) }
}

pub fn tensor(name: &str, t: TensorProto) -> AttributeProto {
    AttributeProto { t: Some(t), ..attribute(name, AttributeType::Tensor) }
}

pub fn graph(name: &str, graph: GraphProto) -> AttributeProto {
    AttributeProto { g: Some(graph), ..attribute(name, AttributeType::Graph) }
}

fn attribute(name: &str, r#type: AttributeType) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: r#type.into(), ..Default::default() }
}

/// Returns the attributes `base`. Each attribute in `changes` replaces the attribute of the same name.
pub fn changed(base: &[AttributeProto], changes: &[AttributeProto]) -> Vec<AttributeProto> {
    let changes_name = |name: &str| changes.iter().any(|change| change.name == name);
    let unchanged = base.iter().filter(|attribute| !changes_name(&attribute.name));
    unchanged.chain(changes).cloned().collect()
}

/// Returns the declaration of an input or output of any shape.
pub fn value(name: &str, elem_type: DataType) -> ValueInfoProto {
    let tensor = type_proto::Tensor { elem_type: elem_type.into(), shape: None };
    let value = Some(type_proto::Value::TensorType(tensor));
    let r#type = Some(TypeProto { value, ..Default::default() });
    ValueInfoProto { name: name.into(), r#type, ..Default::default() }
}

/// Returns a node of ONNX's main domain. The names in `inputs` and `outputs` are separated by commas. An empty name
/// stands for an optional input that the node omits.
pub fn node(
    operator: &str,
    inputs: &str,
    outputs: &str,
    attribute: Vec<AttributeProto>,
) -> NodeProto {
    let names = |names: &str| names.split(',').map(str::to_owned).collect();
    NodeProto {
        op_type: operator.into(),
        input: names(inputs),
        output: names(outputs),
        attribute,
        ..Default::default()
    }
}

/// Returns a node of the domain `ai.onnx.ml`. Classifiers have the outputs `y` and `z`, other
/// operators only `y`.
fn ml_node(operator: &str, inputs: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    let outputs = if operator.ends_with("Classifier") { "y,z" } else { "y" };
    NodeProto { domain: "ai.onnx.ml".into(), ..node(operator, inputs, outputs, attribute) }
}

/// Returns a model of one node. The outputs of the model are all outputs of the node. `version` is the version of the
/// domain `ai.onnx.ml`. If `version` is `None`, the model does not import this domain.
pub fn model(node: NodeProto, inputs: Vec<ValueInfoProto>, version: Option<i64>) -> ModelProto {
    let opset = |domain: &str, version| OperatorSetIdProto { domain: domain.into(), version };
    let untyped = |name: &String| ValueInfoProto { name: name.clone(), ..Default::default() };
    let ml = version.map(|version| opset("ai.onnx.ml", version));
    ModelProto {
        opset_import: std::iter::once(opset("", 18)).chain(ml).collect(),
        graph: Some(GraphProto {
            input: inputs,
            output: node.output.iter().map(untyped).collect(),
            node: vec![node],
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Loads an operator of version 3 of `ai.onnx.ml` for any number of rows, runs it and returns its
/// outputs.
pub fn run(operator: &str, attributes: Vec<AttributeProto>, input: Tensor) -> TVec<TValue> {
    let elem_type = match input.datum_type() {
        DatumType::F32 => DataType::Float,
        DatumType::I64 => DataType::Int64,
        _ => DataType::String,
    };
    let proto = model(ml_node(operator, "x", attributes), vec![value("x", elem_type)], Some(3));
    let mut model = onnx_ml::onnx().model_for_proto_model(&proto).unwrap();
    let mut shape: TVec<TDim> = input.shape().iter().map(|dim| (*dim).into()).collect();
    shape[0] = model.symbols.sym("N").into();
    model.set_input_fact(0, InferenceFact::dt_shape(input.datum_type(), shape)).unwrap();
    model.into_optimized().unwrap().into_runnable().unwrap().run(tvec!(input.into())).unwrap()
}

/// Loads an operator of `ai.onnx.ml` for inputs with the shapes of `inputs`, runs it and returns its last
/// output.
pub fn output(
    operator: &str,
    version: i64,
    inputs: &[Tensor],
    attributes: Vec<AttributeProto>,
) -> TractResult<Tensor> {
    let names: Vec<String> = (0..inputs.len()).map(|index| format!("x{index}")).collect();
    let values = names.iter().map(|name| value(name, DataType::Float)).collect();
    let node = NodeProto { input: names, ..ml_node(operator, "", attributes) };
    let mut model = onnx_ml::onnx().model_for_proto_model(&model(node, values, Some(version)))?;
    for (index, input) in inputs.iter().enumerate() {
        model.set_input_fact(index, InferenceFact::dt_shape(input.datum_type(), input.shape()))?;
    }
    let plan = model.into_optimized()?.into_runnable()?;
    let mut outputs = plan.run(inputs.iter().cloned().map(TValue::from).collect())?;
    match outputs.pop() {
        Some(output) => Ok(output.into_tensor()),
        None => bail!("no output"),
    }
}

/// Loads an operator of `ai.onnx.ml` for a matrix of floats with this number of columns.
pub fn load(operator: &str, columns: usize, attributes: Vec<AttributeProto>) -> TractResult<()> {
    let node = ml_node(operator, "x", attributes);
    let proto = model(node, vec![value("x", DataType::Float)], None);
    let model = onnx_ml::onnx().model_for_proto_model(&proto)?;
    model.with_input_fact(0, f32::fact([2, columns]).into())?.into_optimized()?;
    Ok(())
}

pub fn matrix(rows: usize, elements: &[f32]) -> Tensor {
    Tensor::from_shape(&[rows, elements.len() / rows], elements).unwrap()
}

pub fn elements<T: Datum + Clone>(value: &TValue) -> Vec<T> {
    value.try_as_plain_ram().unwrap().as_slice::<T>().unwrap().to_vec()
}
