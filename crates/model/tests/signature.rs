//! Runs models in which some inputs or outputs have no batch axis, a batch axis that is not the first axis, or a fixed
//! batch. Compares the outputs and the shapes of the outputs with the results of ONNX Runtime. `signature.py` writes
//! the cases.

#![allow(clippy::unwrap_used)]

mod case;
#[path = "../../onnx-ml/tests/case/data_sets.rs"]
mod data_sets;
#[path = "../../onnx-ml/tests/case/folders.rs"]
mod folders;

use case::{case_rows, compare, from_tract, inputs};
use data_sets::data_sets;
use folders::cases;
use ml_app_model::{Model, Rows, Tensors, Value};
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/signature")
}

fn load(case: &Path) -> Model {
    Model::load(&fs::read(case.join("model.onnx")).unwrap())
        .unwrap_or_else(|error| panic!("{}: {error}", case.display()))
}

/// Covers inputs in the layout of the graph, as the Open Inference Protocol sends them, and inputs that are built row
/// by row.
#[test]
fn tensors_have_the_shapes_and_the_axes_of_the_graph() {
    for case in cases(&folder()) {
        let model = load(&case);
        let signature = model.signature();
        for (number, data_set) in data_sets(&case).unwrap().into_iter().enumerate() {
            let name = format!("{}, data set {number}", case.display());
            let case_inputs = from_tract(&data_set.inputs).unwrap();
            let rows = case_rows(signature, &case_inputs).unwrap();
            let built = inputs(signature, &case_inputs, rows).unwrap();
            let whole = Tensors::from_inputs(signature, case_inputs).unwrap();
            assert_eq!(built, whole, "{name}");
            let outputs = model.run(whole).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(outputs.rows(), rows, "{name}");
            for (found, expected) in
                outputs.tensors().iter().zip(from_tract(&data_set.outputs).unwrap())
            {
                compare(found, &expected, data_set.tolerance.unwrap_or(1e-5))
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
            }
        }
    }
}

#[test]
fn prepared_models_have_the_same_signature_and_outputs() {
    let mut count = 0;
    for case in cases(&folder()) {
        let model = load(&case);
        // A mean over all rows divides by the number of rows, which is a symbol. The operator that divides by a symbol
        // cannot be serialized, so skip the model.
        let Ok(prepared) = model.prepared() else { continue };
        count += 1;
        let read = prepared.read().unwrap();
        assert_eq!(format!("{:?}", model.signature()), format!("{:?}", read.signature()));
        for data_set in data_sets(&case).unwrap() {
            let inputs = from_tract(&data_set.inputs).unwrap();
            let inputs = Tensors::from_inputs(model.signature(), inputs).unwrap();
            assert_eq!(model.run(inputs.clone()).unwrap(), read.run(inputs).unwrap());
        }
    }
    assert!(count >= 20, "{count}");
}

/// Loads the case `name`. Returns the batch axes of the inputs, the batch axes of the outputs, and the fixed number of
/// rows.
fn axes(name: &str) -> (Vec<Option<usize>>, Vec<Option<usize>>, Option<usize>) {
    let model = load(&folder().join(name));
    let signature = model.signature();
    let axes =
        |specs: &[ml_app_model::TensorSpec]| specs.iter().map(|spec| spec.batch_axis).collect();
    (axes(&signature.inputs), axes(&signature.outputs), signature.fixed_rows)
}

#[test]
fn finds_the_axes_of_the_rows() {
    let (rows, none) = (Some(0), None);
    for (name, inputs, outputs, fixed_rows) in [
        ("scalar_input", &[rows, none][..], &[rows][..], None),
        ("scalar_first", &[none, rows], &[rows], None),
        ("one_row_beside_rows", &[rows, none], &[rows], None),
        ("matrix_input", &[rows, none], &[rows], None),
        ("graph_network", &[rows, none], &[rows], None),
        ("state_layers_first", &[rows, Some(1)], &[rows], None),
        ("state_without_names", &[rows, Some(1)], &[rows], None),
        ("gru_with_state", &[Some(1), Some(1)], &[Some(2), Some(1)], None),
        ("columns_first", &[Some(1)], &[rows], None),
        ("stated_axes", &[Some(1), none], &[Some(1), none], None),
        ("scalar_output", &[rows], &[rows, none], None),
        ("means_of_rows", &[rows], &[none], None),
        ("constant_output", &[rows], &[none, rows], None),
        ("echoed_parameter", &[rows, none], &[Some(1), none], None),
        ("covariance", &[rows], &[none], None),
        ("time_first", &[rows], &[Some(1)], None),
        ("boxes_of_one_row", &[rows], &[none], Some(1)),
        ("time_first_of_one_row", &[rows], &[none], Some(1)),
        ("state_of_one_row", &[rows, none], &[rows, none], Some(1)),
        ("image_without_a_batch", &[none], &[none], Some(1)),
        ("only_scalars", &[none, none], &[none], Some(1)),
        ("three_rows", &[rows], &[rows], Some(3)),
        ("three_rows_and_a_parameter", &[rows, none], &[rows], Some(3)),
        ("three_rows_that_depend_on_each_other", &[none], &[none], Some(1)),
        ("three_rows_with_positions", &[none], &[none], Some(1)),
    ] {
        assert_eq!(axes(name), (inputs.to_vec(), outputs.to_vec(), fixed_rows), "{name}");
    }
}

/// Returns inputs with a row for each of `numbers`. Every element of the row is that number. Arrays have the shape of
/// the feature's example.
fn filled(model: &Model, numbers: &[f64]) -> Tensors {
    let signature = model.signature();
    let mut rows = Rows::new(signature);
    for (row, number) in numbers.iter().enumerate() {
        rows.add_row();
        for (index, feature) in signature.features.iter().enumerate() {
            match feature.is_scalar() {
                true => rows.set(row, index, Value::Number(*number)).unwrap(),
                false => rows.push_filled(index, Value::Number(*number)).unwrap(),
            }
        }
    }
    rows.finish().unwrap()
}

#[test]
fn rows_run_alone_or_in_padded_groups() {
    // Checks that several rows in one request have the same outputs as each row in its own request.
    let numbers: Vec<f64> = (0..7).map(f64::from).collect();
    for name in [
        "three_rows",
        "image_without_a_batch",
        "boxes_of_one_row",
        "state_of_one_row",
        "only_scalars",
    ] {
        let model = load(&folder().join(name));
        let outputs = |inputs| {
            let outputs =
                ml_app_model::RowOutputs::new(model.signature(), model.run(inputs).unwrap());
            outputs
                .tensors()
                .iter()
                .map(|tensor| format!("{:?}", tensor.elements()))
                .collect::<Vec<_>>()
        };
        let together = outputs(filled(&model, &numbers));
        let alone: Vec<Vec<String>> =
            numbers.iter().map(|number| outputs(filled(&model, &[*number]))).collect();
        for (output, together) in together.iter().enumerate() {
            let texts = alone.iter().map(|outputs| outputs[output].as_str());
            let elements = |text: &str| {
                let (_, list) = text.split_once('[').unwrap();
                list.trim_end_matches([']', ')']).to_owned()
            };
            let joined: Vec<String> = texts.map(elements).collect();
            assert_eq!(elements(together), joined.join(", "), "{name}");
        }
    }
}

#[test]
fn values_of_a_parameter_must_be_equal() {
    let model = load(&folder().join("vector_input"));
    let mut rows = Rows::new(model.signature());
    let t = model.signature().feature("t").unwrap();
    assert!(rows.finish().is_err());
    rows = Rows::new(model.signature());
    rows.add_row();
    let error = |rows: Rows<'_>| rows.finish().unwrap_err().to_string();
    assert_eq!(error(rows), "expected a value of the parameter `t`, found none");
    rows = Rows::new(model.signature());
    for row in 0..2 {
        rows.add_row();
        rows.start_value(t);
        for element in 0..3 {
            rows.push(t, Value::Number(element.into())).unwrap();
        }
        let last = rows.push(t, Value::Number(3.0 + f64::from(row)));
        match row {
            0 => last.unwrap(),
            _ => assert!(last.unwrap_err().to_string().contains("found 4")),
        }
    }
    assert_eq!(rows.finish().unwrap().tensors()[1].shape(), [4]);
}
