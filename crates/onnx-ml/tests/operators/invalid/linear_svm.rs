//! Linear models and support vector machines.

use super::{expect_error, expect_load_errors};
use crate::node::{floats, int, ints, load, string, strings};
use tract_onnx::pb::AttributeProto;

/// Checks the cases like [`expect_load_errors`]. Also checks that loading `base` for three columns gives an error,
/// because `base` has coefficients for two columns.
fn expect_errors(operator: &str, base: &[AttributeProto], cases: &[(&str, Vec<AttributeProto>)]) {
    expect_load_errors(operator, base, cases);
    expect_error(load(operator, 3, base.to_vec()), "expected 2 columns, found 3");
}

#[test]
fn rejects_invalid_linear_classifiers() {
    let base = [
        ints("classlabels_ints", &[0, 1, 2]),
        floats("coefficients", &[0.0; 6]),
        floats("intercepts", &[0.0; 3]),
    ];
    let cases = [
        ("expected labels in", vec![ints("classlabels_ints", &[])]),
        ("found both", vec![strings("classlabels_strings", &["a", "b", "c"])]),
        ("at least 2 classes, found 1", vec![ints("classlabels_ints", &[7])]),
        ("expected 3 elements, one for each label, found 2", vec![floats("intercepts", &[0.0; 2])]),
        (
            "expected 3 vectors of equal length, found 7 elements",
            vec![floats("coefficients", &[0.0; 7])],
        ),
        ("expected 3 vectors of equal length, found 0 elements", vec![floats("coefficients", &[])]),
        (
            "at least one for each of 3",
            vec![floats("coefficients", &[0.0]), floats("intercepts", &[])],
        ),
        ("found TANH", vec![string("post_transform", "TANH")]),
        (
            "found PROBIT",
            vec![
                ints("classlabels_ints", &[0, 1]),
                floats("coefficients", &[0.0; 2]),
                floats("intercepts", &[0.0]),
                string("post_transform", "PROBIT"),
            ],
        ),
    ];
    expect_errors("LinearClassifier", &base, &cases);
}

/// ONNX Runtime requires intercepts, although the specification does not.
#[test]
fn linear_classifiers_need_no_intercepts() {
    let two = [ints("classlabels_ints", &[0, 1]), floats("coefficients", &[0.0; 4])];
    load("LinearClassifier", 2, two.to_vec()).unwrap();
    load("LinearClassifier", 4, two.to_vec()).unwrap();
    load("LinearClassifier", 3, two.to_vec()).unwrap_err();
    let probit = [two.to_vec(), vec![string("post_transform", "PROBIT")]].concat();
    load("LinearClassifier", 2, probit.clone()).unwrap();
    load("LinearClassifier", 4, probit).unwrap_err();
}

#[test]
fn rejects_invalid_linear_regressors() {
    let base = [floats("coefficients", &[0.0; 4]), int("targets", 2)];
    let cases = [
        ("expected 1 to 4", vec![int("targets", 0)]),
        ("found -3", vec![int("targets", -3)]),
        ("found 9223372036854775807", vec![int("targets", i64::MAX)]),
        ("expected 3 vectors", vec![int("targets", 3)]),
        ("expected 2 elements, one for each target, found 1", vec![floats("intercepts", &[0.0])]),
    ];
    expect_errors("LinearRegressor", &base, &cases);
}

#[test]
fn rejects_invalid_support_vector_classifiers() {
    let base = [
        ints("classlabels_ints", &[0, 1, 2]),
        ints("vectors_per_class", &[1, 2, 1]),
        floats("support_vectors", &[0.0; 8]),
        floats("coefficients", &[0.0; 8]),
        floats("rho", &[0.0; 3]),
        floats("prob_a", &[0.0; 3]),
        floats("prob_b", &[0.0; 3]),
        floats("kernel_params", &[0.5, 0.0, 3.0]),
        string("kernel_type", "RBF"),
    ];
    let cases = [
        ("at least 2 classes, found 1", vec![ints("classlabels_ints", &[7])]),
        ("found neither", vec![ints("classlabels_ints", &[])]),
        ("found -1", vec![ints("vectors_per_class", &[1, -1, 4])]),
        ("found 9223372036854775807", vec![ints("vectors_per_class", &[i64::MAX; 3])]),
        (
            "expected 9223372036854775807 vectors of equal length",
            vec![ints("vectors_per_class", &[0, 0, i64::MAX])],
        ),
        ("one for each label, found 2", vec![ints("vectors_per_class", &[2, 2])]),
        ("expected 4 vectors of equal length, found 7", vec![floats("support_vectors", &[0.0; 7])]),
        ("expected 4 vectors of equal length, found 0", vec![floats("support_vectors", &[])]),
        ("expected 8 elements for 3 classes", vec![floats("coefficients", &[0.0; 7])]),
        ("expected 3 elements for 3 classes", vec![floats("rho", &[0.0; 2])]),
        (
            "expected 3 elements for 3 classes",
            vec![floats("prob_a", &[0.0]), floats("prob_b", &[0.0])],
        ),
        ("expected 3 elements, one for each of prob_a, found 1", vec![floats("prob_b", &[0.0])]),
        ("found 2 elements", vec![floats("kernel_params", &[0.5, 0.0])]),
        ("found COSINE", vec![string("kernel_type", "COSINE")]),
        ("found TANH", vec![string("post_transform", "TANH")]),
        ("expected 3 vectors of equal length, found 8", vec![ints("vectors_per_class", &[])]),
        ("at least 1 element", vec![ints("vectors_per_class", &[]), floats("rho", &[])]),
    ];
    expect_errors("SVMClassifier", &base, &cases);
}

#[test]
fn rejects_invalid_support_vector_regressors() {
    let base = [
        int("n_supports", 2),
        floats("support_vectors", &[0.0; 4]),
        floats("coefficients", &[0.0; 2]),
        floats("rho", &[0.0]),
    ];
    let cases = [
        ("found -1", vec![int("n_supports", -1)]),
        ("found 2", vec![int("n_supports", i64::MAX)]),
        ("one for each support vector, found 3", vec![floats("coefficients", &[0.0; 3])]),
        ("expected 2 vectors of equal length, found 3", vec![floats("support_vectors", &[0.0; 3])]),
        ("expected 1 element, found 0", vec![floats("rho", &[])]),
        (
            "expected 1 vectors of equal length",
            vec![int("n_supports", 0), floats("coefficients", &[])],
        ),
    ];
    expect_errors("SVMRegressor", &base, &cases);
}
