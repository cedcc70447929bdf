//! Every folder below `cases`, in the layout of ONNX's own backend tests: the model gives ONNX
//! Runtime's answers, with a symbolic batch.

#![allow(clippy::unwrap_used)]

mod case;

use case::{Tolerance, compare, tensors};
use onnx_ml::{functions, zip_map};
use std::fs;
use std::path::{Path, PathBuf};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::{InferenceFact, TDim, ToDim};

const TOLERANCE: Tolerance = Tolerance { relative: 1e-5, absolute: 1e-5 };

#[test]
fn cases_agree_with_onnx_runtime() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let name = case.file_name().unwrap().to_string_lossy();
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
    zip_map::lower(&mut proto);
    for number in 0.. {
        let data = case.join(format!("test_data_set_{number}"));
        if !data.exists() {
            assert!(number > 0, "{} has no data", case.display());
            return Ok(());
        }
        let inputs = tensors(&data, "input")?;
        let mut model = onnx.model_for_proto_model(&proto)?;
        let batch: TDim = model.symbols.sym("N").into();
        for (index, input) in inputs.iter().enumerate() {
            let rest = input.shape().iter().skip(1).map(|dim| dim.to_dim());
            let shape: Vec<TDim> = std::iter::once(batch.clone()).chain(rest).collect();
            model.set_input_fact(index, InferenceFact::dt_shape(input.datum_type(), &shape))?;
        }
        let plan = onnx_ml::optimize(model.into_typed()?.into_decluttered()?)?.into_runnable()?;
        let found = plan.run(inputs.into_iter().map(TValue::from).collect())?;
        let expected = tensors(&data, "output")?;
        assert_eq!(found.len(), expected.len());
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            compare(found, expected, TOLERANCE)
                .map_err(|error| error.context(format!("data set {number}, output {index}")))?;
        }
    }
    Ok(())
}
