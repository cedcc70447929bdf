//! Tests of the memory and the serialization of plans.

use super::DynamicModel;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto,
};
use tract_onnx::prelude::*;

/// Length of an axis of the matrix in [`model`].
const LEN: usize = 64;

/// Size of the packed matrix in bytes.
const BYTES: usize = LEN * LEN * 4;

/// Returns a model that computes `relu(x @ matrix) @ matrix` twice. Each time, the graph contains a reshape to a shape
/// that depends on the shape of `x`.
fn model() -> TractResult<DynamicModel> {
    let node = |op: &str, inputs: &[&str], output: &str| NodeProto {
        op_type: op.into(),
        input: inputs.iter().map(|input| (*input).into()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    };
    let value = |name: &str| ValueInfoProto { name: name.into(), ..ValueInfoProto::default() };
    let element = |index: usize| ((index * 7 % 13) as f32 - 6.0) / 64.0;
    let matrix = TensorProto {
        name: "matrix".into(),
        data_type: DataType::Float.into(),
        dims: vec![LEN as i64; 2],
        float_data: (0..LEN * LEN).map(element).collect(),
        ..TensorProto::default()
    };
    let graph = GraphProto {
        node: vec![
            node("Shape", &["x"], "shape"),
            node("MatMul", &["x", "matrix"], "a"),
            node("Relu", &["a"], "b"),
            node("MatMul", &["b", "matrix"], "c"),
            node("Reshape", &["c", "shape"], "y"),
        ],
        name: "test".into(),
        initializer: vec![matrix],
        input: vec![value("x")],
        output: vec![value("y")],
        ..GraphProto::default()
    };
    let opset = OperatorSetIdProto { version: 17, ..OperatorSetIdProto::default() };
    DynamicModel::new(ModelProto {
        ir_version: 8,
        opset_import: vec![opset],
        graph: Some(graph),
        ..ModelProto::default()
    })
}

/// Runs the model with `rows` rows. Returns the output.
fn run(model: &DynamicModel, rows: usize) -> TractResult<Tensor> {
    let numbers: Vec<f32> = (0..rows * LEN).map(|index| (index % 11) as f32 - 5.0).collect();
    let x = Tensor::from_shape(&[1, rows, LEN], &numbers)?;
    Ok(model.run(tvec!(x.into()))?.remove(0).into_tensor())
}

#[test]
fn plans_share_packed_weights_and_release_them() -> TractResult<()> {
    let model = model()?;
    let counts = || model.graph.cache.size();
    run(&model, 1)?;
    let (_, first) = counts();
    assert!((BYTES..3 * BYTES).contains(&first), "{first} bytes");
    for rows in 2..6 {
        run(&model, rows)?;
    }
    assert_eq!(counts(), (5, first));
    // The plan that was made first is dropped. The weights stay, because the other plans use them.
    for rows in 6..200 {
        run(&model, rows)?;
    }
    assert_eq!(counts(), (64, 0));
    assert_eq!(model.plan_counts().misses, 199);
    Ok(())
}

#[test]
fn a_read_model_computes_what_the_written_model_computes() -> TractResult<()> {
    let model = model()?;
    let written = model.write()?;
    assert!(written.graph.len() < 2048 && written.weights.len() == BYTES);
    let read = DynamicModel::read(&written.graph, written.weights.leak())?;
    for rows in [1, 4, 1] {
        assert_eq!(run(&read, rows)?, run(&model, rows)?);
    }
    assert_eq!(read.plan_counts(), model.plan_counts());
    Ok(())
}
