//! Runs small graphs with unusual inputs and outputs: sequences of tensors, inputs without a declared shape, empty
//! axes, and doubles.

#![allow(clippy::unwrap_used)]

use ml_app_model::{Data, Elements, Model, Tensor, TensorSpec, Tensors};
use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};

fn node(operator: &str, inputs: &[&str], output: &str, axis: Option<i64>) -> NodeProto {
    let axis = axis.map(|axis| AttributeProto {
        name: if operator == "Cast" { "to" } else { "axis" }.to_owned(),
        r#type: AttributeType::Int.into(),
        i: axis,
        ..Default::default()
    });
    NodeProto {
        name: output.to_owned(),
        op_type: operator.to_owned(),
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute: axis.into_iter().collect(),
        ..Default::default()
    }
}

/// Loads a model with these nodes. The input `x` is a matrix with 3 columns, and the initializer `lengths` is `[1, 2]`.
fn load(nodes: Vec<NodeProto>, outputs: &[&str]) -> Result<Model, String> {
    let dim = |value| Dimension { value: Some(value), ..Default::default() };
    let rows = dim(dimension::Value::DimParam("N".to_owned()));
    let shape = TensorShapeProto { dim: vec![rows, dim(dimension::Value::DimValue(3))] };
    load_with(Some(shape), nodes, outputs)
}

/// Loads a model like [`load`], with the given shape of the input.
fn load_with(
    shape: Option<TensorShapeProto>,
    nodes: Vec<NodeProto>,
    outputs: &[&str],
) -> Result<Model, String> {
    let tensor = type_proto::Tensor { elem_type: DataType::Float.into(), shape };
    let value = Some(type_proto::Value::TensorType(tensor));
    let r#type = Some(TypeProto { value, ..Default::default() });
    let lengths = TensorProto {
        name: "lengths".to_owned(),
        data_type: DataType::Int64.into(),
        dims: vec![2],
        int64_data: vec![1, 2],
        ..Default::default()
    };
    let named = |name: &&str| ValueInfoProto { name: (*name).to_owned(), ..Default::default() };
    let graph = GraphProto {
        node: nodes,
        input: vec![ValueInfoProto { r#type, ..named(&"x") }],
        output: outputs.iter().map(named).collect(),
        initializer: vec![lengths],
        ..Default::default()
    };
    let model = ModelProto {
        ir_version: 9,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 17 }],
        graph: Some(graph),
        ..Default::default()
    };
    Model::load(&model.encode_to_vec()).map_err(|error| error.to_string())
}

/// Returns the outputs for the input `x`.
fn run(model: &Model, x: Tensor) -> Vec<Tensor> {
    let inputs = Tensors::from_inputs(model.signature(), vec![x]).unwrap();
    model.run(inputs).unwrap().tensors().to_vec()
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    match tensor.elements() {
        Elements::Float32(elements) => elements.to_vec(),
        other => panic!("{other:?}"),
    }
}

/// Name, batch axis, shape and elements of an output.
type Output = (String, Option<usize>, Vec<usize>, Vec<f32>);

/// Runs the model with two rows, and returns its outputs.
fn outputs(model: &Model) -> Vec<Output> {
    let x = Tensor::new(&[2, 3], Data::Float32(vec![1., -2., 3., -4., 5., -6.]));
    let described = |(spec, tensor): (&TensorSpec, Tensor)| {
        (spec.name.clone(), spec.batch_axis, tensor.shape().to_vec(), floats(&tensor))
    };
    model.signature().outputs.iter().zip(run(model, x)).map(described).collect()
}

#[test]
fn elements_of_a_constructed_sequence_are_outputs() {
    let nodes = vec![
        node("Relu", &["x"], "a", None),
        node("ReduceMax", &["x"], "most", None),
        node("SequenceConstruct", &["a", "x", "most"], "y", None),
    ];
    let model = load(nodes, &["y"]).unwrap();
    let [a, x, most] = &outputs(&model)[..] else { panic!("expected three outputs") };
    let relu = vec![1., 0., 3., 0., 5., 0.];
    assert_eq!(*a, ("y_0".to_owned(), Some(0), vec![2, 3], relu));
    let same = vec![1., -2., 3., -4., 5., -6.];
    assert_eq!(*x, ("y_1".to_owned(), Some(0), vec![2, 3], same));
    assert_eq!(*most, ("y_2".to_owned(), None, vec![1, 1], vec![5.]));
}

#[test]
fn elements_of_other_sequences_are_stacked() {
    let columns = node("SplitToSequence", &["x"], "columns", Some(1));
    let model = load(vec![columns], &["columns"]).unwrap();
    let [columns] = &outputs(&model)[..] else { panic!("expected one output") };
    let by_column = vec![1., -4., -2., 5., 3., -6.];
    assert_eq!(*columns, ("columns".to_owned(), Some(1), vec![3, 2, 1], by_column));
}

#[test]
fn a_sequence_of_several_shapes_is_rejected() {
    let parts = node("SplitToSequence", &["x", "lengths"], "parts", Some(1));
    let Err(error) = load(vec![parts], &["parts"]) else { panic!("expected an error") };
    let expected = "expected a sequence whose elements have one type and shape, found F32 [2, 1] and F32 [2, 2]";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn an_input_without_a_declared_shape_has_the_first_rank_that_runs() {
    let rank =
        |nodes| load_with(None, nodes, &["y"]).map(|model| model.signature().inputs[0].shape.len());
    assert_eq!(rank(vec![node("Relu", &["x"], "y", None)]), Ok(2));
    let concat = |axis| rank(vec![node("Concat", &["x", "x"], "y", Some(axis))]);
    assert_eq!((concat(1), concat(3)), (Ok(2), Ok(4)));
    assert!(concat(7).is_err());
}

#[test]
fn a_dynamic_axis_may_be_empty_but_not_the_batch() {
    let unnamed = || Dimension::default();
    let shape = TensorShapeProto { dim: vec![unnamed(), unnamed()] };
    let nodes = vec![node("Concat", &["x", "x"], "y", Some(1))];
    let model = load_with(Some(shape), nodes, &["y"]).unwrap();
    let empty = |shape: &[usize]| Tensor::new(shape, Data::Float32(vec![]));
    assert_eq!(run(&model, empty(&[2, 0]))[0].shape(), [2, 0]);
    let (_, mismatch) = Tensors::from_inputs(model.signature(), vec![empty(&[0, 2])]).unwrap_err();
    assert_eq!(mismatch.to_string(), "expected at least one row, found none");
}

#[test]
fn doubles_are_compared_and_rounded_as_doubles() {
    let double = Some(i64::from(i32::from(DataType::Double)));
    let float = Some(i64::from(i32::from(DataType::Float)));
    let mut nodes = vec![
        node("Cast", &["x"], "double", double),
        // Infinite as a float, but finite as a double.
        node("Mul", &["double", "double"], "square", None),
    ];
    for (operator, input) in [("IsNaN", "double"), ("IsInf", "square"), ("Round", "double")] {
        let raw = format!("{operator}_raw");
        nodes.push(node(operator, &[input], &raw, None));
        nodes.push(node("Cast", &[&raw], operator, float));
    }
    let model = load(nodes, &["IsNaN", "IsInf", "Round"]).unwrap();
    let x = vec![f32::NAN, f32::INFINITY, -f32::INFINITY, 1e30, 2.5, -0.6];
    let outputs = run(&model, Tensor::new(&[2, 3], Data::Float32(x)));
    assert_eq!(floats(&outputs[0]), [1., 0., 0., 0., 0., 0.]);
    assert_eq!(floats(&outputs[1]), [0., 1., 1., 0., 0., 0.]);
    let rounded = floats(&outputs[2]);
    assert!(rounded[0].is_nan());
    assert_eq!(rounded[1..], [f32::INFINITY, -f32::INFINITY, 1e30, 2., -1.]);
}
