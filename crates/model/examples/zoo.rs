//! Loads, checks and times models for `tests/zoo/compare.py`. That program compares the times with the times of ONNX
//! Runtime.
//!
//! Each line of the standard input is a command. The response to a command is one line: `ok …`, or
//! `error …`.
//!
//! ```text
//! load FOLDER            loads the model of the folder, and prints two times: the time to load the model,
//!                        and the time to read the model in prepared form. If the model cannot be
//!                        serialized, the second time is `-`. The next commands use the prepared model, or
//!                        else the loaded model
//! check TOLERANCE        runs all data sets of the folder and compares the outputs
//! time NUMBER SECONDS    runs data set NUMBER for SECONDS, and prints the median time
//!
//! All times are in nanoseconds.
//! ```

#[path = "../tests/case/mod.rs"]
mod case;
#[path = "../../onnx-ml/tests/case/protobuf.rs"]
mod protobuf;

use case::{Outcome, case_rows, compare, from_tract, inputs};
use ml_app_model::Model;
use musl_mem as _;
use protobuf::{data_sets, tensors};
use std::fs;
use std::hint::black_box;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The server's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> io::Result<()> {
    let mut zoo = Zoo::default();
    for line in io::stdin().lock().lines() {
        let response = match zoo.execute(&line?) {
            Ok(result) => format!("ok {result}"),
            Err(error) => format!("error {}", error.to_string().replace('\n', " ")),
        };
        writeln!(io::stdout(), "{response}")?;
    }
    Ok(())
}

#[derive(Default)]
struct Zoo {
    folder: PathBuf,
    model: Option<Model>,
}

impl Zoo {
    fn execute(&mut self, line: &str) -> Outcome<String> {
        let (command, rest) =
            line.split_once(' ').ok_or("expected a command with arguments, found none")?;
        match command {
            "load" => self.load(rest),
            "check" => self.check(rest.parse()?),
            "time" => {
                let (number, seconds) =
                    rest.split_once(' ').ok_or("expected two arguments, found one")?;
                self.time(number.parse()?, Duration::from_secs_f64(seconds.parse()?))
            }
            other => Err(format!("expected load, check or time, found {other}").into()),
        }
    }

    fn load(&mut self, folder: &str) -> Outcome<String> {
        self.model = None;
        self.folder = folder.into();
        let path = self.folder.join("model.onnx");
        let start = Instant::now();
        let model = Model::load_beside(&fs::read(&path)?, &path)?;
        let loaded = start.elapsed().as_nanos();
        let Ok(prepared) = model.prepared() else {
            self.model = Some(model);
            return Ok(format!("{loaded} -"));
        };
        drop(model);
        let start = Instant::now();
        self.model = Some(prepared.read()?);
        Ok(format!("{loaded} {}", start.elapsed().as_nanos()))
    }

    fn check(&self, tolerance: f64) -> Outcome<String> {
        let model = self.model()?;
        for (number, data_set) in data_sets(&self.folder).iter().enumerate() {
            let case_inputs = from_tract(&tensors(data_set, "input")?)?;
            let rows = case_rows(model.signature(), &case_inputs)?;
            let found = model.run(inputs(model.signature(), &case_inputs, rows)?)?;
            let expected = from_tract(&tensors(data_set, "output")?)?;
            if found.tensors().len() != expected.len() {
                let (expected, found) = (expected.len(), found.tensors().len());
                return Err(format!("expected {expected} outputs, found {found}").into());
            }
            for (index, (found, expected)) in found.tensors().iter().zip(&expected).enumerate() {
                compare(found, expected, tolerance)
                    .map_err(|error| format!("data set {number}, output {index}: {error}"))?;
            }
        }
        Ok(String::new())
    }

    fn time(&self, number: usize, budget: Duration) -> Outcome<String> {
        /// Number of warm-up runs, which are not counted, and minimum number of counted runs.
        const MIN_RUNS: usize = 3;
        let model = self.model()?;
        let data_sets = data_sets(&self.folder);
        let data_set = data_sets.get(number).ok_or_else(|| format!("unknown data set {number}"))?;
        let case_inputs = from_tract(&tensors(data_set, "input")?)?;
        let rows = case_rows(model.signature(), &case_inputs)?;
        let inputs = inputs(model.signature(), &case_inputs, rows)?;
        let mut times = vec![];
        let begin = Instant::now();
        while times.len() < 2 * MIN_RUNS || begin.elapsed() < budget {
            let inputs = inputs.clone();
            let start = Instant::now();
            black_box(model.run(inputs)?);
            times.push(start.elapsed());
        }
        let counted = &mut times[MIN_RUNS..];
        counted.sort_unstable();
        Ok(counted[counted.len() / 2].as_nanos().to_string())
    }

    fn model(&self) -> Outcome<&Model> {
        self.model.as_ref().ok_or_else(|| "expected a loaded model, found none".into())
    }
}
