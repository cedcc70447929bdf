//! Operators with indices, loops, branches, and recurrent operators.

use super::expect_error;
use crate::node::{graph, int, model, node, string, value};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto};
use tract_onnx::prelude::*;

/// Loads a model of one node with inputs named `a`, `b`, …, optimizes and runs it.
fn run(node: NodeProto, inputs: Vec<Tensor>) -> TractResult<()> {
    let names = ["a", "b", "c", "d", "e"].into_iter().zip(&inputs);
    let values = names.map(|(name, _)| value(name, DataType::Float)).collect();
    let mut model = onnx_ml::onnx().model_for_proto_model(&model(node, values, None))?;
    for (index, input) in inputs.iter().enumerate() {
        model.set_input_fact(index, input.datum_type().fact(input.shape()).into())?;
    }
    let plan = onnx_ml::optimize(model.into_typed()?.into_decluttered()?)?.into_runnable()?;
    plan.run(inputs.into_iter().map(TValue::from).collect())?;
    Ok(())
}

fn rejects(reason: &str, node: NodeProto, inputs: Vec<Tensor>) {
    expect_error(run(node, inputs), reason);
}

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zero::<f32>(shape).unwrap()
}

#[test]
fn rejects_an_index_out_of_range() {
    for index in [-4, 3, i64::MAX, i64::MIN] {
        let rejects = |operator: &str, inputs: &str, tensors: Vec<Tensor>| {
            let reason = format!("expected an index from -3 to 2, found `{index}`");
            rejects(&reason, node(operator, inputs, "y", vec![]), tensors);
        };
        rejects("Gather", "a,b", vec![zeros(&[3, 2]), tensor1(&[0, index])]);
        rejects("GatherElements", "a,b", vec![zeros(&[3, 2]), tensor2(&[[0, index]])]);
        rejects("GatherND", "a,b", vec![zeros(&[3, 2]), tensor2(&[[index]])]);
        rejects("ScatterND", "a,b,c", vec![zeros(&[3, 2]), tensor2(&[[index]]), zeros(&[1, 2])]);
        let elements = vec![zeros(&[3, 2]), tensor2(&[[0, index]]), zeros(&[1, 2])];
        rejects("ScatterElements", "a,b,c", elements);
    }
    let empty = vec![zeros(&[0, 2]), tensor1(&[0i64])];
    rejects("expected an index", node("Gather", "a,b", "y", vec![]), empty);
}

#[test]
fn rejects_shapes_of_indices_and_updates_that_do_not_fit() {
    let short = vec![zeros(&[3, 2]), tensor2(&[[0i64], [1]]), zeros(&[1, 2])];
    rejects("Impossible to unify", node("ScatterND", "a,b,c", "y", vec![]), short);
    let wide = vec![zeros(&[3, 2]), tensor2(&[[0i64, 1, 2]])];
    rejects("expected at most 2 coordinates", node("GatherND", "a,b", "y", vec![]), wide);
    let scalar = vec![zeros(&[3, 2]), tensor0(1i64)];
    rejects("found a scalar", node("GatherND", "a,b", "y", vec![]), scalar);
    let batches = vec![zeros(&[3, 2]), Tensor::zero::<i64>(&[2, 1]).unwrap()];
    let batched = node("GatherND", "a,b", "y", vec![int("batch_dims", 1)]);
    rejects("expected batches of 3, found 2", batched, batches);
    let large = vec![zeros(&[2, 1]), Tensor::zero::<i64>(&[3, 1]).unwrap()];
    let axis_1 = node("GatherElements", "a,b", "y", vec![int("axis", 1)]);
    rejects("except along axis 1", axis_1, large);
    let axis = node("Gather", "a,b", "y", vec![int("axis", 2)]);
    rejects(
        "expected an axis of a tensor of rank 2, found axis 2",
        axis,
        vec![zeros(&[3, 2]), tensor1(&[0i64])],
    );
}

#[test]
fn rejects_a_loop_without_an_end() {
    let body = GraphProto {
        node: vec![node("Identity", "going", "on", vec![])],
        input: vec![value("i", DataType::Int64), value("going", DataType::Bool)],
        output: vec![value("on", DataType::Bool)],
        ..Default::default()
    };
    let mut endless = body.clone();
    endless.node.push(node("Identity", "x", "more", vec![]));
    endless.input.push(value("x", DataType::Float));
    endless.output.push(value("more", DataType::Float));
    let looping = node("Loop", ",a,b", "y", vec![graph("body", endless.clone())]);
    rejects("expected the loop to end within", looping, vec![tensor0(true), zeros(&[1])]);

    endless.node[1] = node("Concat", "x,x", "more", vec![int("axis", 0)]);
    let growing = node("Loop", ",a,b", "y", vec![graph("body", endless)]);
    rejects("expected values of at most", growing, vec![tensor0(true), zeros(&[1 << 20])]);

    let unlike = node("Loop", ",a,b", "y", vec![graph("body", body)]);
    rejects("expected a graph with 3 inputs", unlike, vec![tensor0(true), zeros(&[1])]);
}

#[test]
fn rejects_branches_without_the_declared_outputs() {
    let branch = |name: &str, output: &str| {
        let node = vec![node("Identity", "b", output, vec![])];
        let output = vec![value("z", DataType::Float)];
        graph(name, GraphProto { node, output, ..Default::default() })
    };
    let inputs = || vec![tensor0(true), zeros(&[1])];
    let attributes = vec![branch("then_branch", "z"), branch("else_branch", "other")];
    rejects("output `z` of the subgraph: expected", node("If", "a", "y", attributes), inputs());
    let attributes = vec![branch("then_branch", "z"), branch("else_branch", "z")];
    rejects("1 input, found 2", node("If", "a,b", "y", attributes), inputs());
}

#[test]
fn rejects_recurrent_operators_whose_weights_do_not_fit() {
    let inputs = |x: &[usize], w: &[usize], r: &[usize]| vec![zeros(x), zeros(w), zeros(r)];
    let fitting = || inputs(&[5, 1, 3], &[1, 8, 3], &[1, 8, 2]);
    let lstm = |attribute| node("LSTM", "a,b,c", "y", attribute);
    run(lstm(vec![]), fitting()).unwrap();
    rejects("expected W", lstm(vec![]), inputs(&[5, 1, 3], &[1, 8, 4], &[1, 8, 2]));
    rejects("expected R", lstm(vec![]), inputs(&[5, 1, 3], &[1, 8, 3], &[1, 9, 2]));
    rejects("expected X of rank 3", lstm(vec![]), inputs(&[5, 3], &[1, 8, 3], &[1, 8, 2]));
    rejects(
        "expected R with a known hidden size",
        lstm(vec![]),
        inputs(&[5, 1, 3], &[1, 0, 3], &[1, 0, 0]),
    );
    rejects("expected R for", lstm(vec![int("hidden_size", 3)]), fitting());
    rejects("expected W", lstm(vec![string("direction", "bidirectional")]), fitting());
    rejects("found sideways", lstm(vec![string("direction", "sideways")]), fitting());
    let mut lengths = fitting();
    lengths.push(tensor1(&[6i32]));
    let with_lengths = node("LSTM", "a,b,c,,d", "y", vec![]);
    rejects("expected lengths of sequences from 0 to 5, found 6", with_lengths, lengths);
}
