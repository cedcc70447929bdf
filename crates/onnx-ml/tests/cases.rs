//! Runs every case below `cases` and compares the outputs with the outputs of ONNX Runtime. Each case runs with a
//! symbolic batch, and with plans for the shapes of the inputs.

#![allow(clippy::unwrap_used)]

mod case;
#[path = "case/data_sets.rs"]
mod data_sets;
#[path = "case/folders.rs"]
mod folders;

use case::{Tolerance, compare};
use data_sets::{DataSet, data_sets};
use folders::cases;
use onnx_ml::dynamic::DynamicModel;
use onnx_ml::{functions, lower_operators, zip_map};
use std::path::{Path, PathBuf};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::{Datum, InferenceFact, TDim, ToDim, ensure, f16};

const TOLERANCE: Tolerance = Tolerance { relative: 1e-5, absolute: 1e-5 };

/// Tolerance for outputs of type `float16`, which has 11 significant bits. ONNX Runtime may round values between the
/// operators, and this crate does not round these values.
const HALF_TOLERANCE: Tolerance = Tolerance { relative: 2e-3, absolute: 2e-3 };

#[test]
fn a_plan_with_a_symbolic_batch_agrees_with_onnx_runtime() {
    // The shapes of the topic `dynamic` are known at run time only.
    let dynamic = folder().join("dynamic");
    check(|case| !case.starts_with(&dynamic), symbolic_outputs);
}

#[test]
fn plans_for_known_shapes_agree_with_onnx_runtime() {
    check(
        |_| true,
        |proto, inputs| {
            let model = DynamicModel::new(proto.clone())?;
            model.run(inputs.clone())?;
            // The second run finds the plans of the first run.
            model.run(inputs)
        },
    );
}

/// Returns the folder of the cases. The environment variable `CASES` can set a different folder, for the cases that
/// `generate/qdq.py` writes.
fn folder() -> PathBuf {
    let cases = || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    std::env::var_os("CASES").map_or_else(cases, PathBuf::from)
}

/// Computes the outputs of a model for inputs.
type Outputs = fn(&ModelProto, TVec<TValue>) -> TractResult<TVec<TValue>>;

/// Compares the outputs of the selected cases with the expected outputs.
fn check(is_selected: impl Fn(&Path) -> bool, outputs: Outputs) {
    let folder = folder();
    let mut cases = cases(&folder);
    cases.retain(|case| is_selected(case));
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let name = case.strip_prefix(&folder).unwrap().display();
            run(case, outputs).err().map(|error| format!("{name}: {error:#}"))
        })
        .collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    println!("{} cases agree", cases.len());
}

fn run(case: &Path, outputs: Outputs) -> TractResult<()> {
    let mut proto = onnx_ml::onnx().proto_model_for_path(case.join("model.onnx"))?;
    functions::inline(&mut proto)?;
    lower_operators(&mut proto)?;
    zip_map::lower(&mut proto);
    for (number, data_set) in data_sets(case)?.into_iter().enumerate() {
        run_data_set(&proto, data_set, outputs)
            .map_err(|error| error.context(format!("data set {number}")))?;
    }
    Ok(())
}

fn run_data_set(proto: &ModelProto, data_set: DataSet, outputs: Outputs) -> TractResult<()> {
    let DataSet { inputs, outputs: expected, tolerance } = data_set;
    let tolerance = tolerance.map_or(TOLERANCE, |absolute| Tolerance { absolute, ..TOLERANCE });
    let found = outputs(proto, inputs.into_iter().map(TValue::from).collect())?;
    ensure!(
        found.len() == expected.len(),
        "expected {} outputs, found {}",
        expected.len(),
        found.len()
    );
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let is_half = expected.datum_type() == f16::datum_type();
        compare(found, expected, if is_half { HALF_TOLERANCE } else { tolerance })
            .map_err(|error| error.context(format!("output {index}")))?;
    }
    Ok(())
}

/// Runs a plan that was made for any number of rows.
fn symbolic_outputs(proto: &ModelProto, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
    let mut model = onnx_ml::onnx().model_for_proto_model(proto)?;
    let batch: TDim = model.symbols.sym("N").into();
    for (index, input) in inputs.iter().enumerate() {
        let rest = input.shape().iter().skip(1).map(|dim| dim.to_dim());
        let shape: Vec<TDim> = std::iter::once(batch.clone()).chain(rest).collect();
        model.set_input_fact(index, InferenceFact::dt_shape(input.datum_type(), &shape))?;
    }
    let plan = onnx_ml::optimize(model.into_typed()?.into_decluttered()?)?.into_runnable()?;
    plan.run(inputs)
}
