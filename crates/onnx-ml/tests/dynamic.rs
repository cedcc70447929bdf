//! Runs every case below `cases` with plans for the shapes of its inputs, and compares the outputs
//! with those of ONNX Runtime.

#![allow(clippy::unwrap_used)]

mod case;
#[path = "case/data_sets.rs"]
mod data_sets;
#[path = "case/folders.rs"]
mod folders;

use case::{Tolerance, compare};
use data_sets::data_sets;
use folders::cases;
use onnx_ml::dynamic::DynamicModel;
use onnx_ml::{element_types, functions, mat_mul_n_bits, microsoft, qdq, zip_map};
use std::path::Path;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::ensure;

const TOLERANCE: Tolerance = Tolerance { relative: 1e-5, absolute: 1e-5 };

/// Tolerance for outputs of type `float16`, as in `cases.rs`.
const HALF_TOLERANCE: Tolerance = Tolerance { relative: 2e-3, absolute: 2e-3 };

#[test]
fn plans_for_known_shapes_agree_with_onnx_runtime() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let cases = cases(&folder);
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let name = case.strip_prefix(&folder).unwrap().display();
            run(case).err().map(|error| format!("{name}: {error:#}"))
        })
        .collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    println!("{} cases agree", cases.len());
}

/// Runs all data sets of a case twice, so that the second run finds its plans.
fn run(case: &Path) -> TractResult<()> {
    let mut proto = onnx_ml::onnx().proto_model_for_path(case.join("model.onnx"))?;
    functions::inline(&mut proto)?;
    microsoft::expand(&mut proto);
    element_types::lower(&mut proto)?;
    mat_mul_n_bits::lower(&mut proto)?;
    qdq::fuse(&mut proto);
    zip_map::lower(&mut proto);
    let model = DynamicModel::new(proto)?;
    for (number, data_set) in data_sets(case)?.into_iter().enumerate() {
        let tolerance = data_set.tolerance;
        let tolerance = tolerance.map_or(TOLERANCE, |absolute| Tolerance { absolute, ..TOLERANCE });
        let inputs: TVec<TValue> = data_set.inputs.into_iter().map(TValue::from).collect();
        for inputs in [inputs.clone(), inputs] {
            let found = model.run(inputs).map_err(|e| e.context(format!("data set {number}")))?;
            let (expected, count) = (data_set.outputs.len(), found.len());
            ensure!(count == expected, "expected {expected} outputs, found {count}");
            for (index, (found, expected)) in found.iter().zip(&data_set.outputs).enumerate() {
                let is_half = expected.datum_type() == DatumType::F16;
                compare(found, expected, if is_half { HALF_TOLERANCE } else { tolerance })
                    .map_err(|e| e.context(format!("data set {number}, output {index}")))?;
            }
        }
    }
    Ok(())
}
