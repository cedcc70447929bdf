//! Runs graphs whose shapes tract cannot express with symbols.
//!
//! tract analyzes a graph once, with a symbol for each dynamic axis. It rejects a graph if a shape
//! cannot be expressed with symbols: a product of two dynamic axes, a shape that the graph casts to
//! 32-bit integers, a shape that depends on values, or branches of different rank. When a request
//! arrives, all dimensions of its inputs are numbers. So a [`DynamicModel`] makes plans when a
//! request arrives:
//!
//! 1. `build` walks the nodes in order and infers the type of each node from the shapes of this
//!    request, as numbers. Shapes that the graph computes become constants. The nodes that `build`
//!    has walked form a block. The block has one plan of tract, optimized like any other graph.
//! 2. A block ends before a node that cannot be part of a plan. The shapes of the node's outputs
//!    depend on values (`NonZero`, a computed `Slice`), or tract cannot run the node (`If`, `Loop`,
//!    operators on sequences). `run` runs the block's plan, evaluates the node with the values of
//!    its inputs, and continues with a block for the shapes that result.
//! 3. `cache` keeps the blocks, by the shapes for which they were made.
//!
//! A graph in which all nodes can be part of a plan has one block for each combination of input
//! shapes. Weights that are equal in several plans are stored once. `serialized` serializes the
//! graph and its constants.

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

/// How often a [`DynamicModel`] found a plan in its cache, and how often it made a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlanCounts {
    /// Number of times that a plan for the shapes of a run existed.
    pub hits: u64,
    /// Number of times that a plan for the shapes of a run was made.
    pub misses: u64,
}

impl DynamicModel {
    /// Reads the graph of `model`, and computes the values that depend only on constants.
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

    /// Computes the outputs. `inputs` are the inputs of the graph that have no initializer. If an output is a sequence,
    /// its elements are stacked along a new first axis.
    ///
    /// # Errors
    ///
    /// Returns an error if an operator rejects the inputs. Also returns an error if an output is a sequence that is
    /// empty or whose elements have different shapes.
    pub fn run(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let inputs = inputs.into_iter().map(Value::Tensor).collect();
        let outputs = run::run(&self.context, &self.graph, inputs)?;
        outputs.into_iter().map(Value::into_output).collect()
    }

    /// Returns how often a plan for the shapes of a run existed, and how often a plan was made.
    pub fn plan_counts(&self) -> PlanCounts {
        let Counters { hits, misses } = &self.context.counters;
        PlanCounts { hits: hits.load(Relaxed), misses: misses.load(Relaxed) }
    }
}

#[cfg(test)]
mod tests;
