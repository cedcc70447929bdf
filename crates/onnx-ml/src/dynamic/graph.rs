//! A graph of ONNX: nodes in evaluation order. Values have indices instead of names.

use crate::dynamic::block::Block;
use crate::dynamic::cache::Cache;
use std::collections::HashMap;
use std::sync::Arc;
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// Index of a value in a [`Graph`].
pub type ValueId = usize;

/// A graph, or a subgraph of a node.
#[derive(Debug)]
pub struct Graph {
    /// Nodes whose outputs depend on the inputs, in evaluation order. Nodes that depend only on constants are not in
    /// the list: their outputs are in `constants`.
    pub nodes: Vec<Node>,
    /// The inputs without an initializer, followed by the captured values of the outer graph.
    pub inputs: Vec<ValueId>,
    /// Names of the captured values, which are the last inputs.
    pub captured: Vec<String>,
    pub outputs: Vec<ValueId>,
    /// Type and shape that the graph declares for each output. `None` if the graph declares no shape. A dynamic axis
    /// has length 0.
    pub declared: Vec<Option<(DatumType, Vec<usize>)>>,
    /// Initializers, and values that depend only on initializers and other constants.
    pub constants: HashMap<ValueId, Arc<Tensor>>,
    /// For each value, the index of the last node that reads the value, plus 1. The entry of an output of the graph is
    /// the number of nodes plus 1. The entry of a value that nothing reads is 0.
    pub end: Vec<usize>,
    /// The blocks, with their plans, that exist.
    pub cache: Cache<Block>,
}

/// A node of a [`Graph`].
#[derive(Debug)]
pub struct Node {
    /// Name and operator, for messages.
    pub name: String,
    pub proto: NodeProto,
    /// The inputs. `None` for an optional input that the node omits.
    pub inputs: Vec<Option<ValueId>>,
    /// The outputs. `None` for an output that the node omits.
    pub outputs: Vec<Option<ValueId>>,
    /// Subgraphs of the node, by attribute. Empty if tract runs the node (see `typing::is_interpreted`).
    pub bodies: Vec<(String, Graph)>,
    /// Names and indices of the values of this graph that the node's subgraphs use.
    pub captures: Vec<(String, ValueId)>,
}

impl Node {
    /// Returns the values that the node and its subgraphs read.
    pub fn reads(&self) -> impl Iterator<Item = ValueId> {
        let captures = self.captures.iter().map(|(_, id)| *id);
        self.inputs.iter().flatten().copied().chain(captures)
    }

    /// Returns the subgraph in the attribute `name`.
    ///
    /// # Errors
    ///
    /// Returns an error if the node has no such attribute.
    pub fn body(&self, name: &str) -> TractResult<&Graph> {
        let body = self.bodies.iter().find(|(attribute, _)| attribute == name);
        let (_, graph) = body.with_context(|| format!("expected the attribute `{name}`"))?;
        Ok(graph)
    }
}
