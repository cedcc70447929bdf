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
    let element = |index: usize| ((index * 7 % 13) as f32 - 6.0) / 64.0;
    let matrix = TensorProto {
        name: "matrix".into(),
        data_type: DataType::Float.into(),
        dims: vec![LEN as i64; 2],
        float_data: (0..LEN * LEN).map(element).collect(),
        ..TensorProto::default()
    };
    let nodes = vec![
        node("Shape", &["x"], "shape"),
        node("MatMul", &["x", "matrix"], "a"),
        node("Relu", &["a"], "b"),
        node("MatMul", &["b", "matrix"], "c"),
        node("Reshape", &["c", "shape"], "y"),
    ];
    model_of(nodes, matrix)
}

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        input: inputs.iter().map(|input| (*input).into()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

/// Returns a model with the input `x`, the output `y` and one constant.
fn model_of(nodes: Vec<NodeProto>, constant: TensorProto) -> TractResult<DynamicModel> {
    let value = |name: &str| ValueInfoProto { name: name.into(), ..ValueInfoProto::default() };
    let graph = GraphProto {
        node: nodes,
        name: "test".into(),
        initializer: vec![constant],
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

/// The test must end before a value of 2 GiB is computed.
#[test]
fn rejects_a_value_with_too_many_elements() -> TractResult<()> {
    let repeats = |count: i64| TensorProto {
        name: "repeats".into(),
        data_type: DataType::Int64.into(),
        dims: vec![3],
        int64_data: vec![1, count, 1],
        ..TensorProto::default()
    };
    let tile = |count| model_of(vec![node("Tile", &["x", "repeats"], "y")], repeats(count));
    assert_eq!(run(&tile(2)?, 1)?.shape(), [1, 2, LEN]);
    let error = run(&tile(1 << 23)?, 1).expect_err("an output of 2^29 elements");
    let message = format!("{error:#}");
    assert!(message.contains("expected an output of at most 268435456 elements"), "{message}");
    Ok(())
}
