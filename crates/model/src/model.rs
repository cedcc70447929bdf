//! Loads a model, warms it up and runs it.

use crate::error::{LoadError, RunError};
use crate::example::example_rows;
use crate::golden;
use crate::independence;
use crate::json_text;
use crate::metadata::GoldenRow;
use crate::panics::catch_panic;
use crate::phases::Phases;
use crate::runner::{Panicked, Runner};
use crate::scores::set_score_meaning;
use crate::signature::{Signature, TensorSpec};
use crate::source::{Ready, Shapes, Source, batches};
use crate::tensor::Tensor;
use crate::tensors::Tensors;
use crate::value::{Mismatch, excerpt, quoted_list};
use onnx_ml::dynamic::PlanCounts;
use onnx_ml::{Expected, InvalidValue};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::iter::{once, repeat_n};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tract_onnx::prelude::*;

/// If the first run takes less time than this, the latency is measured with a second run. Loading code into memory may
/// take most of the time of a short first run.
const COLD_LATENCY: Duration = Duration::from_millis(2);

/// Everything about a model except its plan. A prepared model contains these parts in serialized form.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Parts {
    pub signature: Signature,
    /// An entry for each output. If the graph computes indices of labels for the output, the entry is the list of
    /// labels. Otherwise the entry is `None`.
    pub labels: Vec<Option<Arc<[String]>>>,
    /// Maximum number of rows in a run. Either the graph accepts no more rows, or it computes large batches faster in
    /// several runs.
    pub max_rows: usize,
    #[serde(with = "json_text")]
    pub golden: Vec<GoldenRow>,
}

/// A model that is loaded, checked and warm.
pub struct Model {
    parts: Parts,
    runner: Runner,
    /// True if an operator may reject a value of a row.
    may_reject: bool,
    /// Duration of a run with one row, measured during the load.
    latency: Duration,
    phases: Phases,
}

impl Model {
    /// Reads, checks, optimizes and warms up a model, and checks the model against its golden rows.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are not an ONNX model, or if the model cannot be served.
    /// [`LoadError`] lists the reasons.
    pub fn load(bytes: &[u8]) -> Result<Model, LoadError> {
        Model::load_guarded(bytes, None)
    }

    /// Loads a model whose weights may be in separate files. `path` is the path of the model file, and the separate
    /// files are in the same folder or below it.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Model::load`] and `external_data::embed`.
    pub fn load_beside(bytes: &[u8], path: &Path) -> Result<Model, LoadError> {
        Model::load_guarded(bytes, Some(path))
    }

    /// Loads a model. A panic of tract becomes an error.
    fn load_guarded(bytes: &[u8], path: Option<&Path>) -> Result<Model, LoadError> {
        catch_panic(|| Model::load_unguarded(bytes, path))
            .unwrap_or_else(|panic| Err(LoadError::Plan(format!("the runtime panicked: {panic}"))))
    }

    /// Loads a model. Tries each combination of input specifications (number of axes, batch axes, fixed number of rows)
    /// and [`Shapes`] until the model works.
    ///
    /// # Errors
    ///
    /// Returns the error of the first combination if no combination works. Returns an error at once if other
    /// combinations cannot avoid it, such as invalid metadata.
    fn load_unguarded(bytes: &[u8], path: Option<&Path>) -> Result<Model, LoadError> {
        let mut phases = Phases::begin();
        let source = Source::read(bytes, path)?;
        phases.end("parse");
        let mut candidates = vec![];
        for rank in source.ranks()? {
            let (inputs, fixed_rows) = source.inputs(*rank)?;
            candidates.extend(batches(inputs, fixed_rows));
        }
        let mut error = None;
        for (inputs, fixed_rows) in candidates {
            for shapes in source.shapes() {
                let inputs = inputs.clone();
                let prepare =
                    || Model::prepare(&source, inputs, fixed_rows, *shapes, phases.clone());
                let model = catch_panic(prepare).unwrap_or_else(|panic| {
                    Err(LoadError::Plan(format!("the runtime panicked: {panic}")))
                });
                match model {
                    Ok(model) => return Ok(model),
                    Err(
                        other @ (LoadError::Plan(_)
                        | LoadError::WarmUp(_)
                        | LoadError::Output { .. }),
                    ) => error = error.or(Some(other)),
                    Err(error) => return Err(error),
                }
            }
        }
        Err(error.unwrap_or_else(|| LoadError::Plan("expected a graph with inputs".into())))
    }

    /// Prepares the graph to run, and makes the first predictions.
    fn prepare(
        source: &Source,
        inputs: Vec<TensorSpec>,
        fixed_rows: Option<usize>,
        shapes: Shapes,
        mut phases: Phases,
    ) -> Result<Model, LoadError> {
        let mut signature = source.signature(inputs, fixed_rows)?;
        let Ready { runner, max_rows } = source.runner(&mut signature, shapes, &mut phases)?;
        let labels = signature.outputs.iter().map(|output| source.labels(output)).collect();
        let golden = source.golden().to_vec();
        let mut model = Model::new(Parts { signature, labels, max_rows, golden }, runner, phases);
        // Runs two rows, so that a graph that cannot process several rows fails here and not at the first request.
        let outputs = model.run(example_rows(model.signature(), 2)?)?;
        set_score_meaning(&mut model.parts.signature, &outputs);
        if fixed_rows.is_some_and(|rows| rows > 1) {
            independence::check(model.signature(), |inputs| model.run_batch(inputs))?;
        }
        model.warm_up()?;
        Ok(model)
    }

    pub(crate) fn new(parts: Parts, runner: Runner, phases: Phases) -> Model {
        let may_reject = runner.may_reject();
        Model { parts, runner, may_reject, latency: Duration::ZERO, phases }
    }

    /// Measures the latency of a prediction for one row, and checks the golden rows.
    pub(crate) fn warm_up(&mut self) -> Result<(), LoadError> {
        let inputs = example_rows(self.signature(), 1)?;
        let timed = |inputs| {
            let start = Instant::now();
            self.run(inputs).map(|_| start.elapsed())
        };
        let mut latency = timed(inputs.clone())?;
        if latency < COLD_LATENCY {
            latency = timed(inputs)?;
        }
        self.latency = latency;
        self.phases.end("warm-up");
        if !self.parts.golden.is_empty() {
            golden::check(self.signature(), &self.parts.golden, |inputs| self.run(inputs))?;
            self.phases.end("golden");
        }
        Ok(())
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    pub(crate) fn runner(&self) -> &Runner {
        &self.runner
    }

    /// Returns how often a plan for a request's shapes existed, and how often a plan was made. Returns `None` if a
    /// single plan serves all shapes.
    pub fn plan_counts(&self) -> Option<PlanCounts> {
        self.runner.plan_counts()
    }

    pub fn signature(&self) -> &Signature {
        &self.parts.signature
    }

    /// Returns the duration of a prediction for one row, measured during the load.
    pub fn latency(&self) -> Duration {
        self.latency
    }

    /// Returns the number of golden rows. The model reproduced all of them during the load.
    pub fn golden_rows(&self) -> usize {
        self.parts.golden.len()
    }

    /// Returns the phases of the load and their durations.
    pub fn phases(&self) -> &Phases {
        &self.phases
    }

    /// Computes the outputs for all rows of `inputs`. The outputs are in the signature's order.
    ///
    /// # Errors
    ///
    /// Returns an error if the graph fails on these values, for example because an index is out of range. Also returns
    /// an error if an output does not have the shape of the signature.
    pub fn run(&self, inputs: Tensors) -> Result<Tensors, RunError> {
        let max_rows = self.parts.max_rows;
        if inputs.rows() <= max_rows {
            return self.run_batch(inputs);
        }
        let mut parts = vec![];
        for rows in inputs.chunks(self.signature(), max_rows) {
            let first_row = parts.len() * max_rows;
            parts.push(self.run_batch(rows).map_err(|error| match error {
                RunError::Rejected { row, mismatch } => {
                    RunError::Rejected { row: first_row + row, mismatch }
                }
                error => error,
            })?);
        }
        Tensors::concat(self.signature(), parts).ok_or_else(|| {
            RunError::Failed(
                "expected the rows of an output to have one shape, found several shapes".into(),
            )
        })
    }

    /// Runs the plan once. If `inputs` has fewer rows than a run must have, repeats the last row and drops the outputs
    /// of the repeated rows.
    fn run_batch(&self, inputs: Tensors) -> Result<Tensors, RunError> {
        let rows = inputs.rows();
        let run_rows = self.signature().fixed_rows.unwrap_or(rows);
        let inputs = if rows < run_rows {
            inputs.padded(&self.signature().inputs, run_rows)
        } else {
            inputs
        };
        let inputs = inputs.into_tensors().into_iter();
        let inputs: TVec<TValue> = inputs.map(|tensor| tensor.into_tract().into()).collect();
        let retained_inputs = self.may_reject.then(|| inputs.clone());
        let outputs = self.runner.run(inputs).map_err(|error| {
            let rejected_inputs = retained_inputs.filter(|_| mismatch(&error).is_some());
            let rejected = rejected_inputs.and_then(|inputs| self.find_rejected_row(&inputs, rows));
            rejected.unwrap_or_else(|| match error.downcast::<Panicked>() {
                Ok(Panicked(message)) => RunError::Panicked(message),
                Err(error) => RunError::Failed(format!("{error:#}")),
            })
        })?;
        let outputs = outputs
            .into_iter()
            .zip(self.parts.signature.outputs.iter().zip(&self.parts.labels))
            .map(|(value, (spec, labels))| {
                let output = from_tract(value, spec, labels.as_ref(), run_rows)?;
                Ok(match spec.batch_axis {
                    Some(axis) if rows < run_rows => output.slice(axis, 0..rows),
                    _ => output,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Tensors::new(rows, outputs))
    }

    /// Bisects the batch to find a row that an operator rejects. The operator itself cannot name the row, because the
    /// rows may be on any axis of the operator's input. At the end a single row remains. Returns `None` if the operator
    /// does not reject this row when the row runs alone.
    fn find_rejected_row(&self, inputs: &[TValue], rows: usize) -> Option<RunError> {
        let Signature { inputs: specs, fixed_rows, .. } = self.signature();
        let mismatch_in = |rows: &Range<usize>| {
            let specs = inputs.iter().zip(specs);
            let part = |(input, spec): (&TValue, &TensorSpec)| {
                let Some(axis) = spec.batch_axis else { return Ok(input.clone()) };
                let part = input.slice(axis, rows.start, rows.end)?;
                let padding = fixed_rows.map_or(0, |count| count - rows.len());
                let last = input.slice(axis, rows.end - 1, rows.end)?;
                let parts: Vec<_> = once(&part).chain(repeat_n(&last, padding)).collect();
                tract_onnx::prelude::Tensor::stack_tensors(axis, &parts).map(TValue::from)
            };
            let parts = specs.map(part).collect::<TractResult<_>>();
            mismatch(&parts.and_then(|parts| self.runner.run(parts)).err()?)
        };
        let mut range = 0..rows;
        while range.len() > 1 {
            let middle = range.start + range.len() / 2;
            let first = range.start..middle;
            range = if mismatch_in(&first).is_some() { first } else { middle..range.end };
        }
        mismatch_in(&range).map(|mismatch| RunError::Rejected { row: range.start, mismatch })
    }
}

/// Returns what an operator expected and found, if the error is that the operator rejected a value.
fn mismatch(error: &TractError) -> Option<Mismatch> {
    let InvalidValue { expected, found } = InvalidValue::cause(error)?;
    let expected = match expected {
        Expected::OneOf(names) => {
            format!("one of {}", quoted_list(names.iter().map(|name| excerpt(name))))
        }
        expected => expected.to_string(),
    };
    Some(Mismatch::new(expected, format!("`{}`", excerpt(found))))
}

/// Checks the shape of an output against the signature, and converts the output. `rows` is the number of rows in the
/// run. `labels` are the labels if the graph computes indices of labels for this output.
fn from_tract(
    value: TValue,
    spec: &TensorSpec,
    labels: Option<&Arc<[String]>>,
    rows: usize,
) -> Result<Tensor, RunError> {
    let error = |reason: String| RunError::Output { output: spec.name.clone(), reason };
    let shape = value.shape();
    let fits = |(axis, (declared, found)): (usize, (&Option<usize>, &usize))| {
        let declared = if spec.batch_axis == Some(axis) { Some(rows) } else { *declared };
        declared.is_none_or(|len| len == *found)
    };
    if shape.len() != spec.shape.len() || !spec.shape.iter().zip(shape).enumerate().all(fits) {
        return Err(error(format!("expected {rows} rows of {spec}, found shape {shape:?}")));
    }
    Tensor::from_tract(value.into_tensor(), spec.datatype, labels.cloned())
        .map_err(|cause| error(format!("{cause:#}")))
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("signature", self.signature()).finish_non_exhaustive()
    }
}
