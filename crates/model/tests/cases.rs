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

/// Of those that a server can have: most of the cases are an operator each.
#[test]
fn prepared_models_answer_as_loaded_ones() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../onnx-ml/tests/cases");
    let (mut prepared, mut left) = (0, vec![]);
    for case in fs::read_dir(cases).unwrap().map(|case| case.unwrap().path()) {
        let Ok(model) = Model::load(&fs::read(case.join("model.onnx")).unwrap()) else { continue };
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        let (bytes, weights) = match model.prepared() {
            Ok(prepared) => prepared,
            Err(error) => {
                left.push(format!("{name}: {error}"));
                continue;
            }
        };
        prepared += 1;
        let read = Model::read_prepared(&bytes, weights.leak())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(format!("{:?}", model.signature()), format!("{:?}", read.signature()));
        for data_set in data_sets(&case) {
            let given = tensors(&data_set, "input").unwrap();
            let Ok(inputs) = inputs(model.signature(), &given, given[0].shape()[0]) else {
                continue;
            };
            let (Ok(expected), found) = (model.run(inputs.clone()), read.run(inputs)) else {
                continue;
            };
            // NaN is not equal to itself.
            assert_eq!(format!("{:?}", found.unwrap()), format!("{expected:?}"), "{name}");
        }
    }
    println!("{prepared} prepared; not: {left:#?}");
    let networks = left.iter().filter(|error| error.starts_with("network_"));
    assert_eq!(networks.collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(prepared > 4 * left.len(), "{prepared} prepared, but not {left:?}");
}
