//! From ONNX bytes to answers.

use crate::constants;
use crate::error::{LoadError, RunError};
use crate::external_data;
use crate::golden;
use crate::graph;
use crate::json_text;
use crate::limits;
use crate::metadata::{FEATURES, GoldenRow, Metadata};
use crate::phases::Phases;
use crate::rows::Rows;
use crate::signature::{Signature, TensorSpec};
use crate::tensors::{Tensor, Tensors};
use crate::value::{Mismatch, Value, excerpt, listed};
use onnx_ml::{Expected, RefusedValue, label_outputs, maps, may_refuse, row_wise, zip_map};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::matmul::optimized::OptMatMul;
use tract_onnx::tract_hir::internal::{AxisOp, Factoid, InferenceFact, ShapeFactoid};

/// Bytes of an inner value that are computed at once, where rows are independent: what stays in the
/// second-level cache of most processors.
const CACHED: usize = 512 << 10;

/// A first run that takes longer does so for the model's sake, not because its code is read in.
const COLD: Duration = Duration::from_millis(2);

/// What a model is, beside its plan.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Parts {
    pub signature: Signature,
    /// Of each output, what it gives the indices of.
    pub labels: Vec<Option<Arc<[String]>>>,
    /// Rows that the graph takes, or runs on best, at once.
    pub most: usize,
    #[serde(with = "json_text")]
    pub golden: Vec<GoldenRow>,
}

/// A model that has answered at least once.
pub struct Model {
    parts: Parts,
    plan: Arc<TypedRunnableModel>,
    /// Whether what has run once can run again.
    reusable: bool,
    /// Whether a run may fail for one value.
    refuses: bool,
    latency: Duration,
    phases: Phases,
}

impl Model {
    /// Reads, checks, optimises and warms up a model, and checks it with its golden rows.
    ///
    /// # Errors
    ///
    /// Where the bytes are no ONNX model or one that cannot be served; see [`LoadError`].
    pub fn load(bytes: &[u8]) -> Result<Model, LoadError> {
        Model::load_guarded(bytes, None)
    }

    /// As [`Model::load`], with weights that may be in files beside `path`, the model's own.
    ///
    /// # Errors
    ///
    /// As [`Model::load`], and as [`external_data::embed`].
    pub fn load_beside(bytes: &[u8], path: &Path) -> Result<Model, LoadError> {
        Model::load_guarded(bytes, Some(path))
    }

    fn load_guarded(bytes: &[u8], path: Option<&Path>) -> Result<Model, LoadError> {
        guarded(|| Model::load_unguarded(bytes, path))
            .unwrap_or_else(|panic| Err(LoadError::Plan(format!("the runtime panicked: {panic}"))))
    }

    fn load_unguarded(bytes: &[u8], path: Option<&Path>) -> Result<Model, LoadError> {
        let mut phases = Phases::begin();
        let mut proto = graph::decode(bytes)?;
        if let Some(path) = path {
            external_data::take_in(&mut proto, path)?;
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
        let graph = graph::graph(&proto)?;
        limits::check_nodes(graph)?;
        let inputs = graph::inputs(graph)?;
        let single = inputs.iter().any(|input| input.shape[0] == Some(1));
        phases.end("parse");
        let typed = typed(&proto, &inputs, single).map_err(|error| plan_error(&error))?;
        phases.end("type");
        let outputs = graph::outputs(graph, &typed, &label_outputs)?;
        let row_bytes = row_wise::row_bytes(&typed).map_err(|error| plan_error(&error))?;
        let most = match row_bytes {
            _ if single => 1,
            Some(bytes) => (CACHED / bytes.max(1)).max(1),
            None => usize::MAX,
        };
        let plan = onnx_ml::optimize(typed)
            .and_then(|typed| typed.into_runnable())
            .map_err(|error| plan_error(&error))?;
        phases.end("optimise");
        let labels_of = |output: &TensorSpec| {
            let mut labels = label_outputs.iter();
            Some(labels.find(|labels| labels.output == output.name)?.labels.clone().into())
        };
        let labels = outputs.iter().map(labels_of).collect();
        let features = graph::features(graph, &inputs, &maps, metadata.features)?;
        let signature = Signature {
            name: graph::name(graph),
            version: proto.model_version.max(1).to_string(),
            description: [&proto.doc_string, &graph.doc_string]
                .into_iter()
                .find(|text| !text.trim().is_empty())
                .map(|text| text.trim().to_owned()),
            task: graph::task(&proto, &outputs, &zip_maps, &label_outputs),
            inputs,
            outputs,
            features,
            class_meanings: metadata.classes,
            metrics: metadata.metrics,
            by_name: OnceLock::new(),
        };
        let parts = Parts { signature, labels, most, golden: metadata.golden };
        let mut model = Model::new(parts, plan, phases)?;
        // Some graphs take one row only.
        let outputs = model.run(model.example(2)?)?;
        model.parts.signature.name_scores(&outputs);
        model.warm_up()?;
        Ok(model)
    }

    pub(crate) fn new(
        parts: Parts,
        plan: Arc<TypedRunnableModel>,
        phases: Phases,
    ) -> Result<Model, LoadError> {
        let (reusable, refuses) = (reusable(&plan)?, may_refuse(plan.model()));
        Ok(Model { parts, plan, reusable, refuses, latency: Duration::ZERO, phases })
    }
    /// Answers a first row, and the golden ones.
    pub(crate) fn warm_up(&mut self) -> Result<(), LoadError> {
        let inputs = self.example(1)?;
        let timed = |inputs| {
            let start = Instant::now();
            self.run(inputs).map(|_| start.elapsed())
        };
        let mut latency = timed(inputs.clone())?;
        if latency < COLD {
            latency = timed(inputs)?;
        }
        self.latency = latency;
        self.phases.end("warm-up");
        if !self.parts.golden.is_empty() {
            golden::check(self, &self.parts.golden)?;
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

    /// What one row took, warm where that matters.
    pub fn latency(&self) -> Duration {
        self.latency
    }

    /// How many golden rows it has, and has reproduced.
    pub fn golden_rows(&self) -> usize {
        self.parts.golden.len()
    }

    /// What the load took.
    pub fn phases(&self) -> &Phases {
        &self.phases
    }

    /// The outputs for all rows of `inputs`, in the signature's order.
    ///
    /// # Errors
    ///
    /// Where the graph fails on these values, as an index out of range does.
    pub fn run(&self, inputs: Tensors) -> Result<Tensors, RunError> {
        if inputs.rows() <= self.parts.most {
            return self.run_batch(inputs);
        }
        let mut parts = vec![];
        for rows in inputs.chunks(self.parts.most) {
            let before = parts.len() * self.parts.most;
            parts.push(self.run_batch(rows).map_err(|error| match error {
                RunError::Refused { row, mismatch } => {
                    RunError::Refused { row: before + row, mismatch }
                }
                error => error,
            })?);
        }
        Tensors::concat(&parts)
            .ok_or_else(|| RunError::Failed("rows whose outputs differ in shape".into()))
    }

    fn run_batch(&self, inputs: Tensors) -> Result<Tensors, RunError> {
        let rows = inputs.rows();
        let inputs = inputs.into_tensors().into_iter();
        let inputs: TVec<TValue> = inputs.map(|tensor| tensor.into_tract().into()).collect();
        let kept = self.refuses.then(|| inputs.clone());
        let outputs = self.evaluate(inputs).map_err(|error| {
            let refusal = kept.filter(|_| mismatch(&error).is_some());
            let refusal = refusal.and_then(|inputs| self.refusal(&inputs, rows));
            refusal.unwrap_or_else(|| match error.downcast::<Panicked>() {
                Ok(Panicked(text)) => RunError::Panicked(text),
                Err(error) => RunError::Failed(format!("{error:#}")),
            })
        })?;
        let outputs = outputs
            .into_iter()
            .zip(self.parts.signature.outputs.iter().zip(&self.parts.labels))
            .map(|(value, (spec, labels))| from_tract(value, spec, labels.as_ref(), rows))
            .collect::<Result<_, _>>()?;
        Ok(Tensors::new(rows, outputs))
    }

    fn evaluate(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let run = || -> TractResult<TVec<TValue>> {
            let mut state = match STATE.take() {
                Some(state) if Arc::ptr_eq(state.plan(), &self.plan) => state,
                _ => self.plan.spawn()?,
            };
            let outputs = state.run(inputs)?;
            if self.reusable {
                STATE.set(Some(state));
            }
            Ok(outputs)
        };
        guarded(run).unwrap_or_else(|panic| Err(Panicked(panic).into()))
    }

    /// The first row that is refused when it is asked alone: what an operator was given may have its
    /// rows elsewhere. None, where it is the rows together that are refused.
    fn refusal(&self, inputs: &[TValue], rows: usize) -> Option<RunError> {
        let refused = |rows: &Range<usize>| {
            let part = |input: &TValue| input.slice(0, rows.start, rows.end).map(TValue::from);
            let parts = inputs.iter().map(part).collect::<TractResult<_>>();
            mismatch(&parts.and_then(|parts| self.evaluate(parts)).err()?)
        };
        let mut range = 0..rows;
        while range.len() > 1 {
            let middle = range.start + range.len() / 2;
            let first = range.start..middle;
            range = if refused(&first).is_some() { first } else { middle..range.end };
        }
        refused(&range).map(|mismatch| RunError::Refused { row: range.start, mismatch })
    }

    /// Rows of the features' examples.
    fn example(&self, count: usize) -> Result<Tensors, LoadError> {
        let mut rows = Rows::new(self.signature());
        for row in 0..count {
            rows.add_row();
            for (index, feature) in self.signature().features.iter().enumerate() {
                let filled = match &feature.typical {
                    value if feature.is_scalar() => rows.set(row, index, example_value(value)),
                    array @ Json::Array(_) => push_example(&mut rows, index, 0, array),
                    element => rows.fill(index, example_value(element)),
                };
                filled.map_err(|mismatch| LoadError::Metadata {
                    key: FEATURES,
                    reason: format!("`{}`: example: {mismatch}", feature.name),
                })?;
            }
        }
        rows.finish().map_err(|mismatch| LoadError::Plan(mismatch.to_string()))
    }
}

thread_local! {
    /// What runs the model that ran last on this thread, ready for the next run.
    static STATE: Cell<Option<TypedSimpleState>> = const { Cell::new(None) };
}

fn typed(proto: &ModelProto, inputs: &[TensorSpec], single: bool) -> TractResult<TypedModel> {
    let mut model = onnx_ml::onnx().with_ignore_value_info(true).model_for_proto_model(proto)?;
    let batch: TDim = if single { 1.to_dim() } else { model.symbols.sym("N").into() };
    for (index, input) in inputs.iter().enumerate() {
        let declared = model.input_fact(index)?.clone();
        let mut dims: TVec<TDim> = tvec!(batch.clone());
        for (axis, len) in input.shape.iter().enumerate().skip(1) {
            let named = declared.shape.dim(axis).and_then(|dim| dim.concretize());
            dims.push(match (len, named) {
                (Some(len), _) => len.to_dim(),
                (None, Some(symbol)) => symbol,
                (None, None) => model.symbols.new_with_prefix("d").into(),
            });
        }
        let mut fact = InferenceFact::default().with_shape(ShapeFactoid::from(dims));
        fact.datum_type = declared.datum_type;
        model.set_input_fact(index, fact)?;
    }
    let mut model = model.into_typed()?;
    if !single {
        rows_first(&mut model, &batch)?;
    }
    model.into_decluttered()
}

/// Outputs `[1, N]` become `[N]`, as `ArrayFeatureExtractor` gives the labels of some classifiers; those
/// `[M, N, …]` become `[N, M, …]`, as forests give the probabilities of several labels, and recurrent
/// networks their states.
fn rows_first(model: &mut TypedModel, batch: &TDim) -> TractResult<()> {
    let mut outlets = model.output_outlets()?.to_vec();
    for (index, outlet) in outlets.iter_mut().enumerate() {
        let shape = &model.outlet_fact(*outlet)?.shape;
        let mut rows = shape.iter().enumerate().filter(|(_, dim)| *dim == batch);
        let moved = match (rows.next(), rows.next()) {
            (Some((1, _)), None) if shape.rank() == 2 && shape[0].is_one() => AxisOp::Rm(0),
            (Some((axis @ 1.., _)), None) => AxisOp::Move(axis, 0),
            _ => continue,
        };
        let name = format!("output_{index}.rows");
        *outlet = model.wire_node(name, moved, &[*outlet])?[0];
    }
    model.select_output_outlets(&outlets)
}

/// Whether the operators keep nothing from run to run: neither a state, nor what tract's products
/// want to find in the thread when a state ends, which is too late where the thread does.
fn reusable(plan: &Arc<TypedRunnableModel>) -> Result<bool, LoadError> {
    let state = plan.spawn().map_err(|error| plan_error(&error))?;
    let mut nodes = plan.model().nodes().iter();
    let keeps = |node: &TypedNode| node.op_is::<OptMatMul>();
    Ok(state.op_states.iter().all(Option::is_none) && !nodes.any(keeps))
}

/// What an operator expected and found, if it is that for which a run failed.
fn mismatch(error: &TractError) -> Option<Mismatch> {
    let RefusedValue { expected, found } = RefusedValue::cause(error)?;
    let expected = match expected {
        Expected::OneOf(names) => {
            format!("one of {}", listed(names.iter().map(|name| excerpt(name))))
        }
        expected => expected.to_string(),
    };
    Some(Mismatch::new(expected, format!("`{}`", excerpt(found))))
}

#[derive(Debug, thiserror::Error)]
#[error("the runtime panicked: {0}")]
struct Panicked(String);

pub(crate) fn plan_error(error: &TractError) -> LoadError {
    LoadError::Plan(format!("{error:#}"))
}

/// tract panics on some values and some graphs; neither may end the process.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panic_text(panic.as_ref()))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no text".into())
}

pub(crate) fn example_value(example: &Json) -> Value<'_> {
    match example {
        Json::Bool(flag) => Value::Bool(*flag),
        Json::String(text) => Value::String(text),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::Integer(integer.into()),
            (None, Some(number)) => Value::Number(number),
            (None, None) => Value::Missing,
        },
        Json::Null | Json::Array(_) | Json::Object(_) => Value::Missing,
    }
}

pub(crate) fn push_example(
    rows: &mut Rows<'_>,
    feature: usize,
    axis: usize,
    example: &Json,
) -> Result<(), Mismatch> {
    let rank = rows.signature().features[feature].shape.len();
    match example {
        _ if axis == rank => rows.push(feature, example_value(example)),
        Json::Array(entries) => {
            rows.axis(feature, axis, entries.len())?;
            entries.iter().try_for_each(|entry| push_example(rows, feature, axis + 1, entry))
        }
        other => Err(Mismatch::new("an array", other.to_string())),
    }
}

fn from_tract(
    value: TValue,
    spec: &TensorSpec,
    labels: Option<&Arc<[String]>>,
    rows: usize,
) -> Result<Tensor, RunError> {
    let error = |reason: String| RunError::Output { output: spec.name.clone(), reason };
    let shape = value.shape();
    let declared = spec.shape.iter().zip(shape).skip(1);
    let fits = shape.len() == spec.shape.len()
        && shape.first() == Some(&rows)
        && declared.into_iter().all(|(declared, found)| declared.is_none_or(|len| len == *found));
    if !fits {
        return Err(error(format!("expected {rows} rows of {spec}, but found shape {shape:?}")));
    }
    Tensor::from_tract(value.into_tensor(), spec.datatype, labels.cloned())
        .map_err(|fault| error(format!("{fault:#}")))
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("signature", self.signature()).finish_non_exhaustive()
    }
}
