//! Checks two kinds of errors. Attributes that contradict each other are an error when the model is
//! loaded. Data for which an operator has no result is an error when the model runs. Each error
//! states its reason.

mod features;
mod graphs;
mod linear_svm;
mod main_domain;
mod text;
mod tree_ensemble;
mod trees;

use crate::node::{changed, load, output};
use std::fmt::Debug;
use tract_onnx::pb::AttributeProto;
use tract_onnx::prelude::*;

/// Checks that the attributes `base` are valid. For each case, checks that `base` with the changes of
/// the case gives an error when the operator is loaded or runs. The error contains the case's string.
fn expect_errors(
    operator: &str,
    version: i64,
    inputs: &[Tensor],
    base: &[AttributeProto],
    cases: &[(&str, Vec<AttributeProto>)],
) {
    output(operator, version, inputs, base.to_vec()).unwrap();
    for (expected, changes) in cases {
        expect_error(output(operator, version, inputs, changed(base, changes)), expected);
    }
}

/// Checks that the attributes `base` are valid. For each case, checks that `base` with the changes of
/// the case gives an error when the operator is loaded for two columns. The error contains the case's
/// string.
fn expect_load_errors(
    operator: &str,
    base: &[AttributeProto],
    cases: &[(&str, Vec<AttributeProto>)],
) {
    load(operator, 2, base.to_vec()).unwrap();
    for (expected, changes) in cases {
        expect_error(load(operator, 2, changed(base, changes)), expected);
    }
}

fn expect_error<T: Debug>(result: TractResult<T>, expected: &str) {
    let error = format!("{:#}", result.unwrap_err());
    assert!(error.contains(expected), "expected `{expected}` in: {error}");
}

fn texts() -> Tensor {
    tensor1(&["a".to_owned(), "b".to_owned()])
}
