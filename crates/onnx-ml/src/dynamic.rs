//! Runs graphs whose shapes tract cannot express with symbols.
//!
//! tract analyzes a graph once, with a symbol for each dynamic axis. It rejects a graph if a shape
//! cannot be expressed with symbols: a product of two dynamic axes, a shape that passes through
//! 32-bit integers, a shape that depends on values, or branches of different rank. All dimensions
//! are numbers when a request arrives, so a [`DynamicModel`] makes its plans then:
//!
//! 1. `build` walks the nodes in order and types each node with the shapes of this request, as
//!    numbers. Shapes that the graph computes become constants. The nodes so far are one plan of
//!    tract, optimized like any other graph.
//! 2. If the shape of an output depends on values (`NonZero`, a computed `Slice`), or if a node has
//!    no tensors (`If`, `Loop`, sequences), the plan ends before that node. `run` runs the plan,
//!    evaluates the node with its values, and continues with a new plan for the shapes that result.
//! 3. `cache` keeps the plans by the shapes that they were made for.
//!
//! Equal weights of the plans exist once. `serialized` serializes the graph and its constants.
//!
//! A graph without such nodes is one plan for each combination of input shapes.

mod block;
mod build;
mod cache;
mod context;
mod control;
mod graph;
mod reader;
mod run;
mod sequences;
mod serialized;
mod typing;
mod value;
mod values;

use context::{Context, Counters};
use graph::Graph;
pub use sequences::OPERATORS as SEQUENCE_OPERATORS;
pub use serialized::Written;
use std::sync::atomic::Ordering::Relaxed;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use value::Value;

/// A model that makes a plan for each combination of input shapes.
#[derive(Debug)]
pub struct DynamicModel {
    context: Context,
    graph: Graph,
}

/// The plans of a [`DynamicModel`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlanCounts {
    /// Number of times that a plan for the shapes existed.
    pub hits: u64,
    /// Number of times that a plan had to be made.
    pub misses: u64,
}

impl DynamicModel {
    /// Reads the graph of `model`, and computes what depends on constants only.
    ///
    /// # Errors
    ///
    /// Returns an error if the graph uses a value that no node computes, or if a constant is
    /// invalid.
    pub fn new(model: ModelProto) -> TractResult<DynamicModel> {
        let (context, graph) = Context::new(model)?;
        let (graph, _) = context.weights.share(|| Graph::new(&context, graph, &[]));
        Ok(DynamicModel { context, graph: graph? })
    }

    /// Serializes the model without its plans.
    ///
    /// # Errors
    ///
    /// Returns an error if a constant is not serializable.
    pub fn write(&self) -> TractResult<Written> {
        serialized::write(&self.context, &self.graph)
    }

    /// Reads a model that [`DynamicModel::write`] serialized. The constants are copied once, because
    /// a tensor of tract owns its elements.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are not from [`DynamicModel::write`] of the same build.
    pub fn read(graph: &[u8], weights: &'static [u8]) -> TractResult<DynamicModel> {
        let (context, graph) = serialized::read(graph, weights)?;
        Ok(DynamicModel { context, graph })
    }

    /// Computes the outputs. `inputs` are the inputs of the graph that have no initializer. The elements
    /// of an output that is a sequence are stacked along a new first axis.
    ///
    /// # Errors
    ///
    /// Returns an error if an operator rejects the inputs, or if an output is empty or its elements have
    /// different shapes.
    pub fn run(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let inputs = inputs.into_iter().map(Value::Tensor).collect();
        let outputs = run::run(&self.context, &self.graph, inputs)?;
        outputs.into_iter().map(Value::into_output).collect()
    }

    /// Returns how often a plan existed, and how often one had to be made.
    pub fn plan_counts(&self) -> PlanCounts {
        let Counters { hits, misses } = &self.context.counters;
        PlanCounts { hits: hits.load(Relaxed), misses: misses.load(Relaxed) }
    }
}

#[cfg(test)]
mod tests;
