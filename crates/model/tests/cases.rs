//! What a model answers where that is not, to the letter, what its graph gives.

#![allow(clippy::unwrap_used)]

mod case;

use case::{compare, data_sets, inputs, tensors};
use ml_app_model::{Elements, Model, Tensors};
use std::fs;
use std::path::Path;

#[test]
fn labels_of_one_row_have_an_axis_of_rows() {
    check("extracted_labels");
}

#[test]
fn string_labels_are_strings() {
    for name in ["logistic_regression_strings_zipmap", "random_forest_names", "svc_strings"] {
        let labels = check(name);
        assert!(matches!(labels.tensors()[0].elements(), Elements::String(_)), "{name}");
    }
}

/// The answers to the last data set.
fn check(name: &str) -> Tensors {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../onnx-ml/tests/cases").join(name);
    let model = Model::load(&fs::read(case.join("model.onnx")).unwrap()).unwrap();
    let mut answers = None;
    for data_set in data_sets(&case) {
        let given = tensors(&data_set, "input").unwrap();
        let rows = given[0].shape()[0];
        let found = model.run(inputs(model.signature(), &given, rows).unwrap()).unwrap();
        assert_eq!(found.tensors()[0].shape(), [rows]);
        for (found, expected) in found.tensors().iter().zip(tensors(&data_set, "output").unwrap()) {
            compare(found, &expected, 1e-5).unwrap();
        }
        answers = Some(found);
    }
    answers.unwrap()
}
