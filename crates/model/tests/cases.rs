//! What a model answers where that is not, to the letter, what its graph gives.

#![allow(clippy::unwrap_used)]

mod case;

use case::{compare, data_sets, inputs, tensors};
use ml_app_model::{Elements, Model, Rows, RunError, Tensors, Value};
use std::fs;
use std::path::{Path, PathBuf};

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

#[test]
fn a_value_that_an_operator_does_not_take_is_told() {
    let refused = |name: &str, values: &[Value<'_>]| {
        let model = load(&case(name));
        let mut rows = Rows::new(model.signature());
        for (row, value) in values.iter().enumerate() {
            rows.add_row();
            for (index, feature) in model.signature().features.iter().enumerate() {
                match feature.is_scalar() {
                    true => rows.set(row, index, *value).unwrap(),
                    false => rows.fill(index, *value).unwrap(),
                }
            }
        }
        match model.run(rows.finish().unwrap()) {
            Err(error @ RunError::Refused { .. }) => error.to_string(),
            found => panic!("{found:?}"),
        }
    };
    let (five, nine, below) = (Value::Integer(5), Value::Integer(9), Value::Integer(-10));
    assert_eq!(
        refused("network_attention", &[five, five, nine]),
        "row 3: expected an index from -9 to 8, but found `9`"
    );
    assert_eq!(
        refused("network_attention", &[five, below, nine]),
        "row 2: expected an index from -9 to 8, but found `-10`"
    );
    assert_eq!(
        refused("network_attention_single", &[nine]),
        "row 1: expected an index from -9 to 8, but found `9`"
    );
    assert_eq!(
        refused("network_words", &[five, nine, five]),
        "row 2: expected an index from -9 to 8, but found `9`"
    );
    assert_eq!(
        refused("cast_string_to_float", &[Value::String("1e3"), Value::String("a\nb")]),
        "row 2: expected a number, but found `a\\nb`"
    );
}

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../onnx-ml/tests/cases").join(name)
}

fn load(case: &Path) -> Model {
    Model::load(&fs::read(case.join("model.onnx")).unwrap()).unwrap()
}

/// The answers to the last data set.
fn check(name: &str) -> Tensors {
    let case = case(name);
    let model = load(&case);
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
        let written = match model.prepared() {
            Ok(prepared) => prepared,
            Err(error) => {
                left.push(format!("{name}: {error}"));
                continue;
            }
        };
        prepared += 1;
        let read = Model::read_prepared(&written.model, written.weights.leak(), &written.readers)
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
