//! Loads a model, warms it up and runs it.

use crate::constants;
use crate::error::{LoadError, RunError};
use crate::example::example_rows;
use crate::external_data;
use crate::features;
use crate::golden;
use crate::graph;
use crate::independence;
use crate::json_text;
use crate::limits;
use crate::metadata::{AXES, GoldenRow, Metadata};
use crate::panics::catch_panic;
use crate::phases::Phases;
use crate::plan::{can_reuse_state, infer_types, plan_error};
use crate::scores::set_score_meaning;
use crate::signature::{Signature, TensorSpec};
use crate::tensor::Tensor;
use crate::tensors::Tensors;
use crate::value::{Mismatch, excerpt, quoted_list};
use onnx_ml::label_outputs::{self, LabelOutput};
use onnx_ml::maps::{self, MapInput};
use onnx_ml::zip_map::{self, ZipMap};
use onnx_ml::{Expected, InvalidValue, may_reject, row_wise};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::fmt;
use std::iter::{once, repeat_n};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tract_onnx::pb::{GraphProto, ModelProto};
use tract_onnx::prelude::*;

/// Maximum size, in bytes, of the largest intermediate tensor of a run. A tensor of this size stays in the
/// second-level cache of most processors. If the rows of a model are independent of each other, larger
/// batches are split into several runs.
const MAX_BATCH_BYTES: usize = 512 << 10;

/// If the first run is faster than this, the latency is measured with a second run. Paging in code may
/// take most of a short first run.
const COLD_LATENCY: Duration = Duration::from_millis(2);

/// Everything about a model except its plan. A prepared model contains it in serialized form.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Parts {
    pub signature: Signature,
    /// An entry for each output. If the graph computes indices of labels for the output, the entry is the
    /// list of labels.
    pub labels: Vec<Option<Arc<[String]>>>,
    /// Maximum number of rows in a run. Either the graph accepts no more rows, or it runs faster with this
    /// limit.
    pub max_rows: usize,
    #[serde(with = "json_text")]
    pub golden: Vec<GoldenRow>,
}

/// A model that is loaded, checked and warm.
pub struct Model {
    parts: Parts,
    plan: Arc<TypedRunnableModel>,
    /// True if a thread can use one state of the plan for several runs.
    reuses_state: bool,
    /// True if an operator may reject a value of a row.
    may_reject: bool,
    /// Duration of a run with one row, measured during the load.
    latency: Duration,
    phases: Phases,
}

impl Model {
    /// Reads, checks, optimizes and warms up a model, and checks it against its golden rows.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are not an ONNX model, or if the model cannot be served.
    /// [`LoadError`] lists the reasons.
    pub fn load(bytes: &[u8]) -> Result<Model, LoadError> {
        Model::load_guarded(bytes, None)
    }

    /// Loads a model whose weights may be in separate files. The files are beside `path`, the path of the
    /// model.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Model::load`] and [`external_data::embed`].
    pub fn load_beside(bytes: &[u8], path: &Path) -> Result<Model, LoadError> {
        Model::load_guarded(bytes, Some(path))
    }

    /// Loads a model. A panic of tract becomes an error.
    fn load_guarded(bytes: &[u8], path: Option<&Path>) -> Result<Model, LoadError> {
        catch_panic(|| Model::load_unguarded(bytes, path))
            .unwrap_or_else(|panic| Err(LoadError::Plan(format!("the runtime panicked: {panic}"))))
    }

    fn load_unguarded(bytes: &[u8], path: Option<&Path>) -> Result<Model, LoadError> {
        let mut phases = Phases::begin();
        let source = Source::read(bytes, path)?;
        let graph = graph::graph(&source.proto)?;
        let (inputs, fixed_rows) = graph::inputs(graph, &source.metadata.axes)?;
        source.check_stated_axes(graph, &inputs)?;
        phases.end("parse");
        let batched = Model::prepare(&source, inputs.clone(), fixed_rows, phases.clone());
        if fixed_rows == Some(1) {
            return batched;
        }
        // A graph that declares a batch may still accept only single rows, for example if it was traced with
        // one row. Rows of a fixed batch may depend on each other: the whole batch is then one row.
        batched.or_else(|error| {
            let is_of_batch = matches!(
                error,
                LoadError::Plan(_) | LoadError::WarmUp(_) | LoadError::Output { .. }
            );
            if !is_of_batch {
                return Err(error);
            }
            let alone = |input: TensorSpec| one_row(input, fixed_rows);
            let inputs = inputs.into_iter().map(alone).collect();
            Model::prepare(&source, inputs, Some(1), phases).map_err(|_| error)
        })
    }

    /// Infers the types of the graph, optimizes it and makes the first predictions.
    fn prepare(
        source: &Source,
        inputs: Vec<TensorSpec>,
        fixed_rows: Option<usize>,
        mut phases: Phases,
    ) -> Result<Model, LoadError> {
        let graph = graph::graph(&source.proto)?;
        let (typed, rows) =
            infer_types(&source.proto, &inputs, fixed_rows).map_err(|error| plan_error(&error))?;
        phases.end("type");
        let outputs =
            graph::outputs(graph, &typed, &source.label_outputs, &rows, &source.metadata.axes)?;
        let has_rows = outputs.iter().all(|output| output.batch_axis.is_some());
        let row_bytes = row_wise::row_bytes(&typed).map_err(|error| plan_error(&error))?;
        let max_rows = match (fixed_rows, row_bytes) {
            (Some(rows), _) => rows,
            (None, Some(bytes)) if has_rows => (MAX_BATCH_BYTES / bytes.max(1)).max(1),
            (None, _) => usize::MAX,
        };
        let plan = onnx_ml::optimize(typed)
            .and_then(|typed| typed.into_runnable())
            .map_err(|error| plan_error(&error))?;
        phases.end("optimise");
        let labels = outputs.iter().map(|output| source.labels(output)).collect();
        let signature = source.signature(graph, inputs, outputs, fixed_rows)?;
        let golden = source.metadata.golden.clone();
        let mut model = Model::new(Parts { signature, labels, max_rows, golden }, plan, phases)?;
        // Uses two rows, so that a graph that cannot process several rows fails here and not at the first
        // request.
        let outputs = model.run(example_rows(model.signature(), 2)?)?;
        set_score_meaning(&mut model.parts.signature, &outputs);
        if fixed_rows.is_some_and(|rows| rows > 1) {
            independence::check(model.signature(), |inputs| model.run_batch(inputs))?;
        }
        model.warm_up()?;
        Ok(model)
    }

    pub(crate) fn new(
        parts: Parts,
        plan: Arc<TypedRunnableModel>,
        phases: Phases,
    ) -> Result<Model, LoadError> {
        let (reuses_state, may_reject) = (can_reuse_state(&plan)?, may_reject(plan.model()));
        Ok(Model { parts, plan, reuses_state, may_reject, latency: Duration::ZERO, phases })
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

    pub(crate) fn plan(&self) -> &TypedRunnableModel {
        &self.plan
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
    /// Returns an error if the graph fails on these values, for example because an index is out of range.
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

    /// Runs the plan once. If the number of rows is fixed and `inputs` has fewer rows, repeats the last row
    /// and drops the surplus outputs.
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
        let outputs = self.evaluate(inputs).map_err(|error| {
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

    /// Runs the plan once. A panic of tract becomes an error.
    fn evaluate(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let run = || -> TractResult<TVec<TValue>> {
            let mut state = match STATE.take() {
                Some(state) if Arc::ptr_eq(state.plan(), &self.plan) => state,
                _ => self.plan.spawn()?,
            };
            let outputs = state.run(inputs)?;
            if self.reuses_state {
                STATE.set(Some(state));
            }
            Ok(outputs)
        };
        catch_panic(run).unwrap_or_else(|panic| Err(Panicked(panic).into()))
    }

    /// Bisects the batch for a row that an operator rejects when the row runs alone. The operator cannot
    /// name the row, because in its input the rows may be on a different axis. Returns `None` if the row
    /// that remains is accepted when it runs alone.
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
            mismatch(&parts.and_then(|parts| self.evaluate(parts)).err()?)
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

/// A decoded ONNX file, whose values of types that tract lacks have been replaced.
struct Source {
    proto: ModelProto,
    metadata: Metadata,
    zip_maps: Vec<ZipMap>,
    maps: Vec<MapInput>,
    label_outputs: Vec<LabelOutput>,
}

impl Source {
    /// Decodes an ONNX file. Weights in separate files are beside `path`.
    fn read(bytes: &[u8], path: Option<&Path>) -> Result<Source, LoadError> {
        let mut proto = graph::decode(bytes)?;
        if let Some(path) = path {
            external_data::read_external(&mut proto, path)?;
        }
        constants::visit(&mut proto, &mut constants::check)?;
        let metadata = Metadata::read(&proto)?;
        let zip_maps = zip_map::lower(&mut proto);
        let maps = maps::lower(&mut proto);
        let label_outputs = label_outputs::lower(&mut proto);
        let unsupported = graph::unsupported(&proto);
        if !unsupported.is_empty() {
            return Err(LoadError::Unsupported(unsupported));
        }
        limits::check_nodes(graph::graph(&proto)?)?;
        Ok(Source { proto, metadata, zip_maps, maps, label_outputs })
    }

    /// Checks that the metadata states axes only of inputs and outputs that exist.
    fn check_stated_axes(
        &self,
        graph: &GraphProto,
        inputs: &[TensorSpec],
    ) -> Result<(), LoadError> {
        let exists = |name: &str| {
            inputs.iter().any(|input| input.name == name)
                || graph.output.iter().any(|output| output.name == name)
        };
        match self.metadata.axes.keys().find(|name| !exists(name)) {
            None => Ok(()),
            Some(unknown) => Err(LoadError::Metadata {
                key: AXES,
                reason: format!("unknown input or output `{unknown}`"),
            }),
        }
    }

    /// Returns the labels of an output whose values are indices of its labels.
    fn labels(&self, output: &TensorSpec) -> Option<Arc<[String]>> {
        let mut labels = self.label_outputs.iter();
        Some(labels.find(|labels| labels.output == output.name)?.labels.clone().into())
    }

    fn signature(
        &self,
        graph: &GraphProto,
        inputs: Vec<TensorSpec>,
        outputs: Vec<TensorSpec>,
        fixed_rows: Option<usize>,
    ) -> Result<Signature, LoadError> {
        let Source { proto, metadata, zip_maps, maps, label_outputs } = self;
        let features = metadata.features.clone();
        Ok(Signature {
            name: graph::name(graph),
            version: proto.model_version.max(1).to_string(),
            description: [&proto.doc_string, &graph.doc_string]
                .into_iter()
                .find(|text| !text.trim().is_empty())
                .map(|text| text.trim().to_owned()),
            task: graph::task(proto, &outputs, zip_maps, label_outputs),
            features: features::features(graph, &inputs, fixed_rows, maps, features)?,
            inputs,
            outputs,
            fixed_rows,
            class_meanings: metadata.classes.clone(),
            metrics: metadata.metrics.clone(),
            by_name: OnceLock::new(),
        })
    }
}

/// Returns an input of which each run has one row. A dynamic batch gets length 1. If the batch has
/// `fixed_rows` rows, the whole input is one row.
fn one_row(mut input: TensorSpec, fixed_rows: Option<usize>) -> TensorSpec {
    match (fixed_rows, input.batch_axis) {
        (Some(_), _) => input.batch_axis = None,
        (None, Some(axis)) => input.shape[axis] = Some(1),
        (None, None) => {}
    }
    input
}

thread_local! {
    /// The state of the model that ran last on this thread. The next run of that model reuses it.
    static STATE: Cell<Option<TypedSimpleState>> = const { Cell::new(None) };
}

/// If the error is that an operator rejected a value, returns what the operator expected and found.
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

/// A panic of tract, with its message.
#[derive(Debug, thiserror::Error)]
#[error("the runtime panicked: {0}")]
struct Panicked(String);

/// Checks the shape of an output against the signature, and converts the output. `rows` is the number of
/// rows in the run.
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
