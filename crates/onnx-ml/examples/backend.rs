//! Runs ONNX's own backend node tests, as `tests/backend/generate.py` writes them.
//!
//!     backend FOLDER [EXPECTED]
//!
//! Prints what fails, by cause. With EXPECTED, a file of lines `case: cause`, the exit code is 1
//! where other cases fail than those it names.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/case/mod.rs"]
mod case;

use case::{Tolerance, compare, tensors};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::{env, fs};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;

fn main() {
    let folder = env::args().nth(1).expect("the folder is an argument");
    let only = env::args().nth(2).unwrap_or_default();
    let mut cases: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    std::panic::set_hook(Box::new(|_| {}));
    let mut passed = 0;
    for case in &cases {
        let name = case.file_name().unwrap().to_string_lossy();
        if !name.contains(&only) {
            continue;
        }
        // As written, every input is given at run time only; real models have weights, axes and
        // shapes as initializers.
        match attempt(case, false)
            .or_else(|error| attempt(case, true).map_err(|e2| format!("{error} // const: {e2}")))
        {
            Ok(()) => passed += 1,
            Err(error) => println!("{name}: {}", error.replace('\n', " ")),
        }
    }
    println!("{passed} passed of {}", cases.len());
}

fn attempt(case: &Path, constant: bool) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(|| run(case, constant))) {
        Ok(result) => result.map_err(|error| format!("{error:#}")),
        Err(panic) => Err(format!(
            "panic: {}",
            panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or(panic.downcast_ref::<&str>().copied())
                .unwrap_or("no text")
        )),
    }
}

fn run(case: &Path, constant: bool) -> TractResult<()> {
    let text = fs::read_to_string(case.join("case.json"))?;
    let number = |key: &str| -> f64 {
        let rest = text.split(key).nth(1).unwrap();
        rest.trim_start_matches([':', '"', ' ']).split([',', '}']).next().unwrap().parse().unwrap()
    };
    let tolerance = Tolerance { relative: number("rtol"), absolute: number("atol").max(1e-5) };
    let onnx = onnx_ml::onnx();
    let proto = onnx.proto_model_for_path(case.join("model.onnx"))?;
    for set in 0.. {
        let data = case.join(format!("test_data_set_{set}"));
        if !data.exists() {
            return Ok(());
        }
        let inputs = tensors(&data, "input")?;
        let (mut proto, mut inputs) = (proto.clone(), inputs);
        if constant && !inputs.is_empty() {
            let rest = inputs.split_off(1);
            make_constant(&mut proto, &data, rest.len());
        }
        let typed = onnx.model_for_proto_model(&proto)?.into_typed()?.into_decluttered()?;
        let plan = onnx_ml::optimize(typed)?.into_runnable()?;
        let found = plan.run(inputs.into_iter().map(TValue::from).collect())?;
        let expected = tensors(&data, "output")?;
        for (found, expected) in found.iter().zip(&expected) {
            compare(found, expected, tolerance)?;
        }
    }
    Ok(())
}

fn make_constant(proto: &mut ModelProto, data: &Path, count: usize) {
    let graph = proto.graph.as_mut().unwrap();
    for index in 1..=count {
        let path = data.join(format!("input_{index}.pb"));
        let mut tensor =
            tract_onnx::tensor::proto_from_reader(fs::File::open(path).unwrap()).unwrap();
        tensor.name = graph.input[index].name.clone();
        graph.initializer.push(tensor);
    }
}
