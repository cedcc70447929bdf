//! Runs cases of `onnx-ml` whose outputs [`Model`] converts or checks. Also checks that prepared models return the same
//! outputs as loaded models.

#![allow(clippy::unwrap_used)]

mod case;
#[path = "../../onnx-ml/tests/case/data_sets.rs"]
mod data_sets;
#[path = "../../onnx-ml/tests/case/folders.rs"]
mod folders;

use case::{case_rows, compare, from_tract, inputs};
use data_sets::{DataSet, data_sets};
use folders::cases;
use ml_app_model::{Elements, Model, Rows, RunError, TensorSpec, Tensors, Value};
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn labels_in_a_single_row_are_one_label_per_row() {
    let outputs = check("tensor/extracted_labels");
    let axes: Vec<Option<usize>> = outputs.1.iter().map(|spec| spec.batch_axis).collect();
    assert_eq!(axes[0], Some(1));
}

#[test]
fn string_labels_are_strings() {
    for name in [
        "ml/linear/exported/logistic_regression_strings_zipmap",
        "ml/trees/exported/random_forest_names",
        "ml/svm/exported/svc_strings",
    ] {
        let (labels, _) = check(name);
        assert!(matches!(labels.tensors()[0].elements(), Elements::String(_)), "{name}");
    }
}

#[test]
fn the_error_contains_the_row_and_the_value_that_an_operator_rejects() {
    let rejection = |name: &str, values: &[Value<'_>]| {
        let model = load(&folder().join(name));
        let mut rows = Rows::new(model.signature());
        for (row, value) in values.iter().enumerate() {
            rows.add_row();
            for (index, feature) in model.signature().features.iter().enumerate() {
                if feature.is_scalar() {
                    rows.set(row, index, *value).unwrap();
                } else {
                    rows.push_filled(index, *value).unwrap();
                }
            }
        }
        match model.run(rows.finish().unwrap()) {
            Err(error @ RunError::Rejected { .. }) => error.to_string(),
            found => panic!("{found:?}"),
        }
    };
    let (five, nine, minus_ten) = (Value::Integer(5), Value::Integer(9), Value::Integer(-10));
    assert_eq!(
        rejection("networks/network_attention", &[five, five, nine]),
        "row 3: expected an index from -9 to 8, found `9`"
    );
    assert_eq!(
        rejection("networks/network_attention", &[five, minus_ten, nine]),
        "row 2: expected an index from -9 to 8, found `-10`"
    );
    assert_eq!(
        rejection("networks/network_attention_single", &[nine]),
        "row 1: expected an index from -9 to 8, found `9`"
    );
    assert_eq!(
        rejection("networks/network_words", &[five, nine, five]),
        "row 2: expected an index from -9 to 8, found `9`"
    );
    assert_eq!(
        rejection("text/cast_string_to_float", &[Value::String("1e3"), Value::String("a\nb")]),
        "row 2: expected a number, found `a\\nb`"
    );
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../onnx-ml/tests/cases")
}

fn load(case: &Path) -> Model {
    Model::load(&fs::read(case.join("model.onnx")).unwrap()).unwrap()
}

/// Checks the outputs for all data sets of a case. Returns the outputs for the last data set, and the specifications of
/// the outputs.
fn check(name: &str) -> (Tensors, Vec<TensorSpec>) {
    let case = folder().join(name);
    let model = load(&case);
    let mut last = None;
    for DataSet { inputs: case_inputs, outputs: expected, tolerance } in data_sets(&case).unwrap() {
        let case_inputs = from_tract(&case_inputs).unwrap();
        let rows = case_rows(model.signature(), &case_inputs).unwrap();
        let found = model.run(inputs(model.signature(), &case_inputs, rows).unwrap()).unwrap();
        assert_eq!(found.tensors().len(), expected.len());
        for (found, expected) in found.tensors().iter().zip(from_tract(&expected).unwrap()) {
            compare(found, &expected, tolerance.unwrap_or(1e-5)).unwrap();
        }
        last = Some(found);
    }
    (last.unwrap(), model.signature().outputs.clone())
}

/// Covers all cases that [`Model`] can load. Most cases contain a single operator.
#[test]
fn prepared_models_return_the_same_outputs_as_loaded_models() {
    let (mut prepared_count, mut dynamic_count, mut not_prepared) = (0, 0, vec![]);
    for case in cases(&folder()) {
        let Ok(model) = Model::load(&fs::read(case.join("model.onnx")).unwrap()) else { continue };
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        let prepared = match model.prepared() {
            Ok(prepared) => prepared,
            Err(error) => {
                assert!(model.plan_counts().is_none(), "{name}: {error}");
                not_prepared.push(format!("{name}: {error}"));
                continue;
            }
        };
        prepared_count += 1;
        let read = prepared.read().unwrap_or_else(|error| panic!("{name}: {error}"));
        dynamic_count += usize::from(read.plan_counts().is_some());
        assert_eq!(format!("{:?}", model.signature()), format!("{:?}", read.signature()));
        for data_set in data_sets(&case).unwrap() {
            let case_inputs = from_tract(&data_set.inputs).unwrap();
            let Ok(rows) = case_rows(model.signature(), &case_inputs) else { continue };
            let Ok(inputs) = inputs(model.signature(), &case_inputs, rows) else { continue };
            let (Ok(expected), found) = (model.run(inputs.clone()), read.run(inputs)) else {
                continue;
            };
            // NaN is not equal to itself, so the debug output is compared.
            assert_eq!(format!("{:?}", found.unwrap()), format!("{expected:?}"), "{name}");
        }
    }
    println!("{prepared_count} prepared; not prepared: {not_prepared:#?}");
    assert!(dynamic_count > 5, "{dynamic_count} models with a plan for each shape are prepared");
    let networks = not_prepared.iter().filter(|error| error.starts_with("network_"));
    assert_eq!(networks.collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(
        prepared_count > 4 * not_prepared.len(),
        "{prepared_count} prepared; not prepared: {not_prepared:?}"
    );
}
