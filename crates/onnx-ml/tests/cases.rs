//! Every folder below `cases`, in the layout of ONNX's own backend tests: the model gives ONNX
//! Runtime's answers, with a symbolic batch.

#![allow(clippy::unwrap_used)]

use onnx_ml::zip_map;
use std::fs;
use std::path::{Path, PathBuf};
use tract_onnx::data_resolver::MmapDataResolver;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::{Datum, InferenceFact, TDim, ToDim};

/// Relative, or absolute below 1.
const TOLERANCE: f64 = 1e-5;

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
    zip_map::lower(&mut proto);
    for number in 0.. {
        let data = case.join(format!("test_data_set_{number}"));
        if !data.exists() {
            assert!(number > 0, "{} has no data", case.display());
            return Ok(());
        }
        let inputs = tensors(&data, "input");
        let mut model = onnx.model_for_proto_model(&proto)?;
        let batch: TDim = model.symbols.sym("N").into();
        for (index, input) in inputs.iter().enumerate() {
            let rest = input.shape().iter().skip(1).map(|dim| dim.to_dim());
            let shape: Vec<TDim> = std::iter::once(batch.clone()).chain(rest).collect();
            model.set_input_fact(index, InferenceFact::dt_shape(input.datum_type(), &shape))?;
        }
        let plan = model.into_optimized()?.into_runnable()?;
        let found = plan.run(inputs.into_iter().map(TValue::from).collect())?;
        let expected = tensors(&data, "output");
        assert_eq!(found.len(), expected.len());
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            compare(found, expected)
                .map_err(|error| error.context(format!("data set {number}, output {index}")))?;
        }
    }
    Ok(())
}

fn tensors(folder: &Path, kind: &str) -> Vec<Tensor> {
    (0..)
        .map(|index| folder.join(format!("{kind}_{index}.pb")))
        .take_while(|path| path.exists())
        .map(|path| {
            let proto =
                tract_onnx::tensor::proto_from_reader(fs::File::open(path).unwrap()).unwrap();
            tract_onnx::tensor::load_tensor(&MmapDataResolver, &proto, None).unwrap()
        })
        .collect()
}

fn compare(found: &Tensor, expected: &Tensor) -> TractResult<()> {
    use tract_onnx::tract_hir::internal::{bail, ensure};
    ensure!(
        found.shape() == expected.shape(),
        "expected shape {:?}, but found {:?}",
        expected.shape(),
        found.shape()
    );
    if expected.datum_type() == String::datum_type() {
        let (found, expected) = (strings(found)?, strings(expected)?);
        ensure!(found == expected, "expected {expected:?}, but found {found:?}");
        return Ok(());
    }
    let (found, expected) = (numbers(found)?, numbers(expected)?);
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let same = found == expected || (found.is_nan() && expected.is_nan());
        let near = (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0);
        if !same && !near {
            bail!("element {index}: expected {expected}, but found {found}");
        }
    }
    Ok(())
}

fn strings(tensor: &Tensor) -> TractResult<Vec<String>> {
    Ok(tensor.try_as_plain_ram()?.as_slice::<String>()?.to_vec())
}

fn numbers(tensor: &Tensor) -> TractResult<Vec<f64>> {
    let tensor = match tensor.datum_type() {
        dt if dt == TDim::datum_type() => tensor.cast_to::<i64>()?.into_owned(),
        _ => tensor.clone(),
    };
    let tensor = tensor.cast_to::<f64>()?;
    Ok(tensor.try_as_plain_ram()?.as_slice::<f64>()?.to_vec())
}
