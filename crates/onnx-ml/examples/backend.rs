//! Runs ONNX's own backend node tests: `backend FOLDER [EXPECTED]`.
//!
//! `tests/backend/generate.py` writes FOLDER. EXPECTED lists the cases that are known to fail, each
//! with its cause. The exit code is 1 if other cases fail, or if a listed case passes. From the root
//! of the repository:
//!
//! ```sh
//! python3 -m venv /tmp/onnx && /tmp/onnx/bin/pip install -r crates/onnx-ml/tests/generate/requirements.txt
//! /tmp/onnx/bin/python crates/onnx-ml/tests/backend/generate.py /tmp/backend
//! cargo run --release -p onnx-ml --example backend -- /tmp/backend crates/onnx-ml/tests/backend/failing.txt
//! ```
//!
//! Each case runs in a separate process, because some cases abort the process.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/case/mod.rs"]
mod case;
#[path = "../tests/case/protobuf.rs"]
mod protobuf;

use case::{Tolerance, compare};
use onnx_ml::dynamic::DynamicModel;
use onnx_ml::lower_operators;
use protobuf::{data_sets, tensors};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::ensure;

/// Maximum duration of a case.
const LIMIT: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--case", case] => match attempt(Path::new(case)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                println!("{}", error.replace('\n', " "));
                ExitCode::FAILURE
            }
        },
        [folder] => {
            report(&failing(Path::new(folder)));
            ExitCode::SUCCESS
        }
        [folder, expected] => against(&failing(Path::new(folder)), &expected_in(expected)),
        _ => {
            println!("usage: backend FOLDER [EXPECTED]");
            ExitCode::from(64)
        }
    }
}

/// Runs all cases and returns the error of each case that fails.
fn failing(folder: &Path) -> BTreeMap<String, String> {
    let mut cases: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    let next = AtomicUsize::new(0);
    let work = || {
        let claim = || cases.get(next.fetch_add(1, Ordering::Relaxed));
        std::iter::from_fn(claim)
            .filter_map(|case| {
                let name = case.file_name().unwrap().to_string_lossy().into_owned();
                Some((name, run_apart(case).err()?))
            })
            .collect::<Vec<_>>()
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let failing: BTreeMap<String, String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    println!("{} of {} pass", cases.len() - failing.len(), cases.len());
    failing
}

fn report(failing: &BTreeMap<String, String>) {
    for (case, error) in failing {
        println!("{case}: {error}");
    }
}

/// Reads the names of the cases in a list. A line is `case: cause`, or a comment after `#`.
fn expected_in(path: &str) -> BTreeSet<String> {
    let list = fs::read_to_string(path).unwrap();
    let lines = list.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.split_once(": ").map_or(line, |(case, _)| case).to_owned()).collect()
}

/// Compares the failing cases with the cases that are expected to fail, and prints the differences.
fn against(failing: &BTreeMap<String, String>, expected: &BTreeSet<String>) -> ExitCode {
    let fixed: Vec<&String> = expected.iter().filter(|case| !failing.contains_key(*case)).collect();
    let mut broken = failing.clone();
    broken.retain(|case, _| !expected.contains(case));
    if !fixed.is_empty() {
        println!("pass, but are on the list:");
        fixed.iter().for_each(|case| println!("{case}"));
    }
    if !broken.is_empty() {
        println!("fail, but are not on the list:");
        report(&broken);
    }
    if fixed.is_empty() && broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a case in a separate process, because a case may overflow the stack or never end.
fn run_apart(case: &Path) -> Result<(), String> {
    let mut child = Command::new(env::current_exe().unwrap())
        .arg("--case")
        .arg(case)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > LIMIT {
            child.kill().unwrap();
            child.wait().unwrap();
            return Err(format!("takes more than {} s", LIMIT.as_secs()));
        }
        thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output().unwrap();
    match (output.status.success(), String::from_utf8_lossy(&output.stdout).trim()) {
        (true, _) => Ok(()),
        (false, "") => Err(output.status.to_string()),
        (false, error) => Err(error.to_owned()),
    }
}

/// Runs a case in up to four ways, until a run succeeds. The first two runs get all inputs at run time: first with one
/// plan for any shape, then with a plan for the shapes of the inputs. The third run has all inputs except the first as
/// constants, and the fourth run has all inputs as constants. This is realistic, because weights, axes and shapes are
/// initializers in real models. Returns the error of the first run if all four runs fail.
fn attempt(case: &Path) -> Result<(), String> {
    std::panic::set_hook(Box::new(|_| {}));
    let attempt =
        |given, runtime| match catch_unwind(AssertUnwindSafe(|| run(case, given, runtime))) {
            Ok(result) => result.map_err(|error| format!("{error:#}")),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
                Err(format!("panic: {text}"))
            }
        };
    attempt(usize::MAX, Runtime::Symbolic).or_else(|error| {
        attempt(usize::MAX, Runtime::Dynamic)
            .or_else(|_| attempt(1, Runtime::Symbolic))
            .or_else(|_| attempt(0, Runtime::Symbolic))
            .map_err(|_| error)
    })
}

#[derive(Clone, Copy)]
enum Runtime {
    /// One plan for any shape.
    Symbolic,
    /// A plan for the shapes of the inputs.
    Dynamic,
}

/// Runs a case. The first `given` inputs are given at run time, and all other inputs are constants.
fn run(case: &Path, given: usize, runtime: Runtime) -> TractResult<()> {
    let text = fs::read_to_string(case.join("case.json"))?;
    let number = |key: &str| -> f64 {
        let rest = text.split(key).nth(1).unwrap();
        rest.trim_start_matches([':', '"', ' ']).split([',', '}']).next().unwrap().parse().unwrap()
    };
    let tolerance = Tolerance { relative: number("rtol"), absolute: number("atol").max(1e-5) };
    let onnx = onnx_ml::onnx();
    let proto = onnx.proto_model_for_path(case.join("model.onnx"))?;
    let data_sets = data_sets(case);
    ensure!(!data_sets.is_empty(), "expected at least one data set");
    for data in data_sets {
        let mut inputs = tensors(&data, "input")?;
        let mut proto = proto.clone();
        make_constant(&mut proto, &data, given..inputs.len());
        lower_operators(&mut proto)?;
        inputs.truncate(given);
        let inputs = inputs.into_iter().map(TValue::from).collect();
        let found = match runtime {
            Runtime::Symbolic => {
                let typed = onnx.model_for_proto_model(&proto)?.into_typed()?.into_decluttered()?;
                onnx_ml::optimize(typed)?.into_runnable()?.run(inputs)?
            }
            Runtime::Dynamic => DynamicModel::new(proto)?.run(inputs)?,
        };
        let expected = tensors(&data, "output")?;
        let (count, expected_count) = (found.len(), expected.len());
        ensure!(count == expected_count, "expected {expected_count} outputs, found {count}");
        for (found, expected) in found.iter().zip(&expected) {
            compare(found, expected, tolerance)?;
        }
    }
    Ok(())
}

/// Turns inputs of the graph into initializers.
fn make_constant(proto: &mut ModelProto, data: &Path, inputs: Range<usize>) {
    let graph = proto.graph.as_mut().unwrap();
    for index in inputs {
        let path = data.join(format!("input_{index}.pb"));
        let mut tensor =
            tract_onnx::tensor::proto_from_reader(fs::File::open(path).unwrap()).unwrap();
        tensor.name = graph.input[index].name.clone();
        graph.initializer.push(tensor);
    }
}
