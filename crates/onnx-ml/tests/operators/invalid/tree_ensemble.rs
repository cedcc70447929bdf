//! TreeEnsemble, an operator of version 5 of the domain `ai.onnx.ml`.

use super::expect_errors;
use crate::node::{int, ints, tensor};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, TensorProto};
use tract_onnx::prelude::*;

fn floats(name: &str, elements: &[f32]) -> AttributeProto {
    let (dims, data_type) = (vec![elements.len() as i64], DataType::Float.into());
    let elements =
        TensorProto { dims, data_type, float_data: elements.to_vec(), ..Default::default() };
    tensor(name, elements)
}

fn modes(modes: &[u8]) -> AttributeProto {
    let (dims, data_type) = (vec![modes.len() as i64], DataType::Uint8.into());
    let elements = TensorProto { dims, data_type, raw_data: modes.to_vec(), ..Default::default() };
    tensor("nodes_modes", elements)
}

/// Returns a tree of two branches, on feature 1 and then on feature 0, and three leaves.
fn tree() -> Vec<AttributeProto> {
    vec![
        ints("tree_roots", &[0]),
        ints("nodes_featureids", &[1, 0]),
        modes(&[0, 6]),
        floats("nodes_splits", &[0.5, 0.0]),
        floats("membership_values", &[1.0, 2.0, f32::NAN]),
        ints("nodes_truenodeids", &[1, 1]),
        ints("nodes_trueleafs", &[0, 1]),
        ints("nodes_falsenodeids", &[0, 2]),
        ints("nodes_falseleafs", &[1, 1]),
        ints("leaf_targetids", &[0, 0, 0]),
        floats("leaf_weights", &[0.25, 0.5, 0.75]),
    ]
}

#[test]
fn rejects_invalid_trees() {
    let input = tensor2(&[[1.0_f32, 2.0], [3.0, f32::NAN]]);
    let cases = [
        ("2 entries, found 1", vec![ints("nodes_featureids", &[1])]),
        ("2 entries, found 3", vec![ints("nodes_falseleafs", &[1, 1, 1])]),
        ("2 entries, found 1", vec![modes(&[0])]),
        ("2 entries, found 1", vec![ints("nodes_missing_value_tracks_true", &[1])]),
        ("columns or more, found 2", vec![ints("nodes_featureids", &[7, 0])]),
        ("expected 0 to 6, found 7", vec![modes(&[0, 7])]),
        ("expected a set for each branch", vec![modes(&[6, 6]), floats("membership_values", &[])]),
        ("expected leaf indices below 3, found 3", vec![ints("nodes_falsenodeids", &[0, 3])]),
        ("expected a node below 2, found 5", vec![ints("nodes_truenodeids", &[5, 1])]),
        ("branch 0", vec![ints("nodes_truenodeids", &[0, 1])]),
        ("expected a node below 2, found 2", vec![ints("tree_roots", &[2])]),
        ("to branch 0", vec![ints("tree_roots", &[1])]),
        ("3 entries, one for each of leaf_weights, found 2", vec![ints("leaf_targetids", &[0, 0])]),
        ("targets below 1, found 1", vec![ints("leaf_targetids", &[0, 1, 0])]),
        ("targets, found", vec![int("n_targets", 1 << 40)]),
        ("an aggregate_function from 0 to 3, found 4", vec![int("aggregate_function", 4)]),
        ("a post_transform from 0 to 4, found -1", vec![int("post_transform", -1)]),
    ];
    expect_errors("TreeEnsemble", 5, &[input], &tree(), &cases);
}
