//! TreeEnsembleRegressor and TreeEnsembleClassifier.

use super::expect_load_errors;
use crate::node::{floats, ints, string, strings};
use tract_onnx::pb::AttributeProto;

/// Returns a tree of one branch, on feature 1, and two leaves.
fn tree() -> Vec<AttributeProto> {
    vec![
        ints("nodes_treeids", &[0, 0, 0]),
        ints("nodes_nodeids", &[0, 1, 2]),
        ints("nodes_featureids", &[1, 0, 0]),
        floats("nodes_values", &[0.5, 0.0, 0.0]),
        strings("nodes_modes", &["BRANCH_LEQ", "LEAF", "LEAF"]),
        ints("nodes_truenodeids", &[1, 0, 0]),
        ints("nodes_falsenodeids", &[2, 0, 0]),
    ]
}

fn leaves(prefix: &str) -> Vec<AttributeProto> {
    vec![
        ints(&format!("{prefix}_treeids"), &[0, 0]),
        ints(&format!("{prefix}_nodeids"), &[1, 2]),
        ints(&format!("{prefix}_ids"), &[0, 0]),
        floats(&format!("{prefix}_weights"), &[0.25, 0.75]),
    ]
}

#[test]
fn rejects_invalid_trees() {
    let base = [tree(), leaves("target")].concat();
    let operator = "TreeEnsembleRegressor";
    for (expected, change) in [
        ("at least one node", ints("nodes_treeids", &[])),
        ("3 entries, found 2", ints("nodes_nodeids", &[0, 1])),
        ("3 entries, found 4", floats("nodes_values", &[0.0; 4])),
        ("3 entries, found 1", ints("nodes_missing_value_tracks_true", &[1])),
        ("expected one node 1 in tree 0, found two", ints("nodes_nodeids", &[0, 1, 1])),
        ("expected a node 9 in tree 0", ints("nodes_truenodeids", &[9, 0, 0])),
        ("expected a node -1 in tree 0", ints("nodes_falsenodeids", &[-1, 0, 0])),
        ("expected a way from a root to branch 0", ints("nodes_truenodeids", &[0, 0, 0])),
        ("found `LEQ`", strings("nodes_modes", &["LEQ", "LEAF", "LEAF"])),
        ("expected a feature of 0 or more", ints("nodes_featureids", &[-1, 0, 0])),
        ("columns or more, found 2", ints("nodes_featureids", &[7, 0, 0])),
        ("expected one root in tree 0", strings("nodes_modes", &["LEAF", "LEAF", "LEAF"])),
        ("2 entries, found 3", ints("target_ids", &[0, 0, 0])),
        ("expected ids in target_ids from 0 to 0", ints("target_ids", &[0, 1])),
        ("expected ids in target_ids from 0 to 0", ints("target_ids", &[0, -1])),
        ("expected a node 5 in tree 0", ints("target_nodeids", &[1, 5])),
        ("none or 1 elements, found 2", floats("base_values", &[0.0, 1.0])),
        ("SUM, AVERAGE, MIN or MAX, found `MEAN`", string("aggregate_function", "MEAN")),
    ] {
        expect_load_errors(operator, &base, &[(expected, vec![change])]);
    }
}

#[test]
fn rejects_invalid_classes() {
    let labels = ints("classlabels_int64s", &[3, 4, 5]);
    let base = [tree(), leaves("class"), vec![labels]].concat();
    let operator = "TreeEnsembleClassifier";
    for (expected, change) in [
        ("expected labels", ints("classlabels_int64s", &[])),
        ("expected labels", strings("classlabels_strings", &["a", "b", "c"])),
        ("expected ids in class_ids from 0 to 2", ints("class_ids", &[0, 3])),
        ("none or 3 elements, found 2", floats("base_values", &[0.0, 1.0])),
        ("found SIGMOID", string("post_transform", "SIGMOID")),
    ] {
        expect_load_errors(operator, &base, &[(expected, vec![change])]);
    }
}
