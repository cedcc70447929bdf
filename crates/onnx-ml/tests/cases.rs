//! Runs every case below `cases` with a symbolic batch, except for the topic `dynamic`, and compares
//! the outputs with those of ONNX Runtime.

#![allow(clippy::unwrap_used)]

mod case;
#[path = "case/data_sets.rs"]
mod data_sets;
#[path = "case/folders.rs"]
mod folders;

use case::{Tolerance, compare};
use data_sets::{DataSet, data_sets};
use folders::cases;
use onnx_ml::{element_types, functions, mat_mul_n_bits, microsoft, qdq, zip_map};
use std::path::Path;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::{Datum, InferenceFact, TDim, ToDim, ensure, f16};

const TOLERANCE: Tolerance = Tolerance { relative: 1e-5, absolute: 1e-5 };

/// Tolerance for outputs of type `float16`, which has 11 significant bits. ONNX Runtime may round
/// values between the operators, which this crate does not round.
const HALF_TOLERANCE: Tolerance = Tolerance { relative: 2e-3, absolute: 2e-3 };

#[test]
fn cases_agree_with_onnx_runtime() {
    // `generate/qdq.py` writes further cases to a folder of its own.
    let folder = std::env::var_os("CASES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases"),
        std::path::PathBuf::from,
    );
    // The shapes of the topic `dynamic` are known at run time only; `dynamic.rs` runs all topics.
    let mut cases = cases(&folder);
    cases.retain(|case| !case.starts_with(folder.join("dynamic")));
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

fn run(case: &Path) -> TractResult<()> {
    let onnx = onnx_ml::onnx();
    let mut proto = onnx.proto_model_for_path(case.join("model.onnx"))?;
    functions::inline(&mut proto)?;
    microsoft::expand(&mut proto);
    element_types::lower(&mut proto)?;
    mat_mul_n_bits::lower(&mut proto)?;
    qdq::fuse(&mut proto);
    zip_map::lower(&mut proto);
    for (number, data_set) in data_sets(case)?.into_iter().enumerate() {
        run_data_set(&onnx, &proto, data_set)
            .map_err(|error| error.context(format!("data set {number}")))?;
    }
    Ok(())
}

fn run_data_set(onnx: &tract_onnx::Onnx, proto: &ModelProto, data_set: DataSet) -> TractResult<()> {
    let DataSet { inputs, outputs: expected, tolerance } = data_set;
    let tolerance = tolerance.map_or(TOLERANCE, |absolute| Tolerance { absolute, ..TOLERANCE });
    let mut model = onnx.model_for_proto_model(proto)?;
    let batch: TDim = model.symbols.sym("N").into();
    for (index, input) in inputs.iter().enumerate() {
        let rest = input.shape().iter().skip(1).map(|dim| dim.to_dim());
        let shape: Vec<TDim> = std::iter::once(batch.clone()).chain(rest).collect();
        model.set_input_fact(index, InferenceFact::dt_shape(input.datum_type(), &shape))?;
    }
    let plan = onnx_ml::optimize(model.into_typed()?.into_decluttered()?)?.into_runnable()?;
    let found = plan.run(inputs.into_iter().map(TValue::from).collect())?;
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
