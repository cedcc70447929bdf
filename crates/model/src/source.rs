//! A decoded ONNX file, and the ways in which it may be served.

use crate::constants;
use crate::error::LoadError;
use crate::external_data;
use crate::features;
use crate::graph;
use crate::limits;
use crate::metadata::{AXES, GoldenRow, Metadata};
use crate::phases::Phases;
use crate::plan::{infer_types, plan_error};
use crate::probe;
use crate::runner::Runner;
use crate::signature::{Signature, Task, TensorSpec};
use onnx_ml::dynamic::{DynamicModel, SEQUENCE_OPERATORS};
use onnx_ml::label_outputs::{self, LabelOutput};
use onnx_ml::maps::{self, MapInput};
use onnx_ml::zip_map::{self, ZipMap};
use onnx_ml::{lower_operators, row_wise, sequence_outputs};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use tract_onnx::pb::{GraphProto, ModelProto};
use tract_onnx::prelude::*;

/// Maximum size of the largest intermediate tensor of a run, in bytes. A tensor of this size stays in the second-level
/// cache of most processors. A batch that would exceed this size is split into several runs, if the rows of the model
/// are independent of each other.
const MAX_BATCH_BYTES: usize = 512 << 10;

/// A decoded ONNX file. Values of types that tract lacks, such as maps, have been replaced by tensors. The fields after
/// `metadata` describe what was replaced.
pub(crate) struct Source {
    proto: ModelProto,
    metadata: Metadata,
    zip_maps: Vec<ZipMap>,
    maps: Vec<MapInput>,
    label_outputs: Vec<LabelOutput>,
}

impl Source {
    /// Decodes an ONNX file. `path` is the path of the file, and separate files with weights are in the same folder or
    /// below it. If `path` is `None`, the ONNX file must contain all weights.
    pub(crate) fn read(bytes: &[u8], path: Option<&Path>) -> Result<Source, LoadError> {
        let mut proto = graph::decode(bytes)?;
        if let Some(path) = path {
            external_data::read_external(&mut proto, path)?;
        }
        constants::visit(&mut proto, &mut constants::check)?;
        lower_operators(&mut proto).map_err(|error| plan_error(&error))?;
        let metadata = Metadata::read(&proto)?;
        let zip_maps = zip_map::lower(&mut proto);
        sequence_outputs::lower(&mut proto);
        let maps = maps::lower(&mut proto);
        let label_outputs = label_outputs::lower(&mut proto);
        let unsupported = graph::unsupported(&proto);
        if !unsupported.is_empty() {
            return Err(LoadError::Unsupported(unsupported));
        }
        limits::check_nodes(graph::graph(&proto)?)?;
        Ok(Source { proto, metadata, zip_maps, maps, label_outputs })
    }

    fn graph(&self) -> Result<&GraphProto, LoadError> {
        graph::graph(&self.proto)
    }

    /// Returns the [`Shapes`] for which a plan of this graph can be made, in the order in which they are tried.
    pub(crate) fn shapes(&self) -> &'static [Shapes] {
        let mut nodes = self.proto.graph.iter().flat_map(|graph| &graph.node);
        if nodes.any(|node| SEQUENCE_OPERATORS.contains(&node.op_type.as_str())) {
            return &[Shapes::Known];
        }
        &[Shapes::Symbolic, Shapes::Known]
    }

    pub(crate) fn golden(&self) -> &[GoldenRow] {
        &self.metadata.golden
    }

    /// Returns the numbers of axes to try for inputs whose shapes the graph does not declare.
    pub(crate) fn ranks(&self) -> Result<&'static [usize], LoadError> {
        Ok(graph::ranks(self.graph()?))
    }

    /// Returns the inputs, and the fixed number of rows in a run. The number is `None` if the graph accepts any number
    /// of rows. If the graph does not declare the shape of an input, the input gets `rank` dynamic axes.
    pub(crate) fn inputs(
        &self,
        rank: usize,
    ) -> Result<(Vec<TensorSpec>, Option<usize>), LoadError> {
        let graph = self.graph()?;
        let (inputs, fixed_rows) = graph::inputs(graph, &self.metadata.axes, rank)?;
        self.check_stated_axes(graph, &inputs)?;
        Ok((inputs, fixed_rows))
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

    /// Returns the labels of an output if the graph computes indices of labels for the output. Otherwise returns
    /// `None`.
    pub(crate) fn labels(&self, output: &TensorSpec) -> Option<Arc<[String]>> {
        let mut labels = self.label_outputs.iter();
        Some(labels.find(|labels| labels.output == output.name)?.labels.clone().into())
    }

    /// Prepares the graph to run. Sets the outputs, the task and the examples of the signature.
    pub(crate) fn runner(
        &self,
        signature: &mut Signature,
        shapes: Shapes,
        phases: &mut Phases,
    ) -> Result<Ready, LoadError> {
        let graph = self.graph()?;
        let (ready, outputs) = match shapes {
            Shapes::Symbolic => self.plan(graph, signature, phases)?,
            Shapes::Known => self.dynamic_model(graph, signature, phases)?,
        };
        signature.task = graph::task(&self.proto, &outputs, &self.zip_maps, &self.label_outputs);
        signature.outputs = outputs;
        Ok(ready)
    }

    /// Makes the plan for all shapes.
    fn plan(
        &self,
        graph: &GraphProto,
        signature: &mut Signature,
        phases: &mut Phases,
    ) -> Result<(Ready, Vec<TensorSpec>), LoadError> {
        let fixed_rows = signature.fixed_rows;
        let (typed, rows) = infer_types(&self.proto, &signature.inputs, fixed_rows)
            .map_err(|error| plan_error(&error))?;
        phases.end("type");
        limits::check_values(&typed, fixed_rows)?;
        let outputs =
            graph::outputs(graph, &typed, &self.label_outputs, &rows, &self.metadata.axes)?;
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
        let runner = Runner::new(plan)?;
        // tract may have made a plan for the shapes of the example only.
        let observations = probe::observe(signature, fixed_rows, |inputs| runner.run(inputs))?;
        if !observations.runs_longer {
            let expected = "expected a plan for all shapes, found one for the smallest shapes only";
            return Err(LoadError::Plan(expected.into()));
        }
        Ok((Ready { runner, max_rows }, outputs))
    }

    /// Makes a [`DynamicModel`], which makes a plan for the shapes of each request.
    fn dynamic_model(
        &self,
        graph: &GraphProto,
        signature: &mut Signature,
        phases: &mut Phases,
    ) -> Result<(Ready, Vec<TensorSpec>), LoadError> {
        let fixed_rows = signature.fixed_rows;
        let model = DynamicModel::new(self.proto.clone()).map_err(|error| plan_error(&error))?;
        let runner = Runner::Dynamic(Box::new(model));
        phases.end("type");
        let observed = probe::observe(signature, fixed_rows, |inputs| runner.run(inputs))?;
        let outputs = graph::observed_outputs(
            graph,
            &observed.outputs,
            &self.label_outputs,
            fixed_rows,
            &self.metadata.axes,
        )?;
        phases.end("optimise");
        Ok((Ready { runner, max_rows: fixed_rows.unwrap_or(usize::MAX) }, outputs))
    }

    /// Returns the signature, without outputs and without a task.
    pub(crate) fn signature(
        &self,
        inputs: Vec<TensorSpec>,
        fixed_rows: Option<usize>,
    ) -> Result<Signature, LoadError> {
        let Source { proto, metadata, maps, .. } = self;
        let graph = self.graph()?;
        let features = metadata.features.clone();
        Ok(Signature {
            name: graph::name(graph),
            version: proto.model_version.max(1).to_string(),
            description: [&proto.doc_string, &graph.doc_string]
                .into_iter()
                .find(|text| !text.trim().is_empty())
                .map(|text| text.trim().to_owned()),
            task: Task::Other,
            features: features::features(graph, &inputs, fixed_rows, maps, features)?,
            inputs,
            outputs: vec![],
            fixed_rows,
            class_meanings: metadata.classes.clone(),
            metrics: metadata.metrics.clone(),
            by_name: OnceLock::new(),
        })
    }
}

/// A graph that is ready to run.
pub(crate) struct Ready {
    pub runner: Runner,
    /// Maximum number of rows in a run.
    pub max_rows: usize,
}

/// The shapes for which a plan is made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shapes {
    /// One plan is made for all shapes when the model is loaded. Symbols stand for the lengths of dynamic axes.
    Symbolic,
    /// A plan is made for the shapes of a request. All lengths are numbers.
    Known,
}

/// Returns the possible inputs and fixed numbers of rows, in the order in which they are tried.
///
/// The first entry is what the graph declares. The second entry is for graphs that declare a batch but do not accept
/// independent rows; each row then runs alone. A graph with a dynamic batch may accept only single rows, for example
/// because it was traced with one row. The rows of a fixed batch may depend on each other. The whole batch is then one
/// row.
pub(crate) fn batches(
    inputs: Vec<TensorSpec>,
    fixed_rows: Option<usize>,
) -> Vec<(Vec<TensorSpec>, Option<usize>)> {
    let declared = (inputs.clone(), fixed_rows);
    if fixed_rows == Some(1) {
        return vec![declared];
    }
    let alone = inputs.into_iter().map(|input| one_row(input, fixed_rows)).collect();
    vec![declared, (alone, Some(1))]
}

/// Returns the specification of an input for runs of one row. If the batch is dynamic, the batch axis gets length 1. If
/// the batch has `fixed_rows` rows, the whole input becomes one row without a batch axis.
fn one_row(mut input: TensorSpec, fixed_rows: Option<usize>) -> TensorSpec {
    match (fixed_rows, input.batch_axis) {
        (Some(_), _) => input.batch_axis = None,
        (None, Some(axis)) => input.shape[axis] = Some(1),
        (None, None) => {}
    }
    input
}
