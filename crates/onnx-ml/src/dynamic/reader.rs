//! Reads a graph of ONNX, and computes the values that depend on constants only.

use crate::dynamic::cache::Cache;
use crate::dynamic::context::Context;
use crate::dynamic::graph::{Graph, Node, ValueId};
use crate::dynamic::typing::{Input, is_interpreted, is_random};
use crate::dynamic::value::integers;
use crate::encoding::sharing;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tract_onnx::pb::tensor_shape_proto::dimension;
use tract_onnx::pb::{GraphProto, NodeProto, ValueInfoProto, tensor_proto, type_proto};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

impl Graph {
    /// Reads a graph. If the graph is a subgraph, `outer` are the names that it may capture from the outer graph.
    ///
    /// # Errors
    ///
    /// Returns an error if a node reads a value that does not exist, or if a constant is invalid.
    pub fn new(context: &Context, proto: GraphProto, outer: &[&str]) -> TractResult<Graph> {
        let mut reader = Reader { context, ids: HashMap::new(), constants: HashMap::new() };
        for tensor in &proto.initializer {
            let id = reader.define(&tensor.name);
            let tensor = context.parsing().load_tensor(tensor)?.into_arc_tensor();
            reader.constants.insert(id, sharing::tensor(tensor));
        }
        let mut inputs = vec![];
        for input in &proto.input {
            if !reader.ids.contains_key(&input.name) {
                inputs.push(reader.define(&input.name));
            }
        }
        let captured = captured(&proto, outer);
        for name in &captured {
            inputs.push(reader.define(name));
        }
        let mut nodes = vec![];
        for (index, node) in proto.node.into_iter().enumerate() {
            let name = node_name(&node, index);
            let node = reader.node(node).with_context(|| name.clone())?;
            if !reader.fold(&node) {
                nodes.push(node);
            }
        }
        let declared = proto.output.iter().map(declared).collect();
        let outputs = proto.output.iter().map(|output| reader.id(&output.name));
        let outputs: Vec<ValueId> = outputs.collect::<TractResult<_>>()?;
        let (values, constants) = (reader.ids.len(), reader.constants);
        remove_unused(&mut nodes, &outputs);
        let mut end = vec![0; values];
        for (index, node) in nodes.iter().enumerate() {
            node.reads().for_each(|id| end[id] = index + 1);
        }
        outputs.iter().for_each(|id| end[*id] = nodes.len() + 1);
        let cache = Cache::default();
        Ok(Graph { nodes, inputs, captured, outputs, declared, constants, end, cache })
    }
}

/// Returns the names in `outer` that a subgraph uses, each once, in order of first use.
fn captured(graph: &GraphProto, outer: &[&str]) -> Vec<String> {
    let mut names = vec![];
    free_names(graph, &mut names);
    let mut seen = HashSet::new();
    names.retain(|name| outer.contains(&name.as_str()) && seen.insert(name.clone()));
    names
}

/// Appends to `names` the names that a graph or its subgraphs use but do not define.
fn free_names(graph: &GraphProto, names: &mut Vec<String>) {
    let initializers = graph.initializer.iter().map(|tensor| &tensor.name);
    let inputs = graph.input.iter().map(|input| &input.name);
    let mut defined: HashSet<&String> = initializers.chain(inputs).collect();
    for node in &graph.node {
        let mut used: Vec<String> = node.input.clone();
        for body in node.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs)) {
            free_names(body, &mut used);
        }
        names.extend(used.into_iter().filter(|name| !name.is_empty() && !defined.contains(name)));
        defined.extend(&node.output);
    }
    let outputs = graph.output.iter().map(|output| &output.name);
    names.extend(outputs.filter(|name| !defined.contains(name)).cloned());
}

/// Returns a node's name for a message.
fn node_name(node: &NodeProto, index: usize) -> String {
    let name = if node.name.is_empty() { node.output.first() } else { Some(&node.name) };
    match name {
        Some(name) => format!("node `{name}` ({})", node.op_type),
        None => format!("node {index} ({})", node.op_type),
    }
}

/// Returns the type and the shape that a graph declares for an output. A dynamic axis has length 0.
fn declared(output: &ValueInfoProto) -> Option<(DatumType, Vec<usize>)> {
    let type_proto::Value::TensorType(tensor) = output.r#type.as_ref()?.value.as_ref()?;
    let datum_type = tensor_proto::DataType::try_from(tensor.elem_type).ok()?;
    let dims = tensor.shape.as_ref()?.dim.iter().map(|dim| match dim.value {
        Some(dimension::Value::DimValue(len)) => usize::try_from(len).unwrap_or(0),
        _ => 0,
    });
    Some((DatumType::try_from(datum_type).ok()?, dims.collect()))
}

/// Removes nodes whose outputs nothing reads.
fn remove_unused(nodes: &mut Vec<Node>, outputs: &[ValueId]) {
    let mut used: HashSet<ValueId> = outputs.iter().copied().collect();
    let mut keep = vec![false; nodes.len()];
    for (keep, node) in keep.iter_mut().zip(&*nodes).rev() {
        *keep = node.outputs.iter().flatten().any(|id| used.contains(id));
        if *keep {
            used.extend(node.reads());
        }
    }
    let mut keep = keep.into_iter();
    nodes.retain(|_| keep.next().unwrap_or(true));
}

/// The state of [`Graph::new`].
struct Reader<'c> {
    context: &'c Context,
    ids: HashMap<String, ValueId>,
    constants: HashMap<ValueId, Arc<Tensor>>,
}

impl Reader<'_> {
    /// Returns the index of a new value.
    fn define(&mut self, name: &str) -> ValueId {
        let id = self.ids.len();
        *self.ids.entry(name.to_owned()).or_insert(id)
    }

    /// Returns the index of the value with this name.
    ///
    /// # Errors
    ///
    /// Returns an error if no value with this name has been defined.
    fn id(&self, name: &str) -> TractResult<ValueId> {
        let id = self.ids.get(name).copied();
        id.with_context(|| {
            format!(
                "value `{name}`: expected an input, an initializer or an output of an earlier node, \
                 found none"
            )
        })
    }

    /// Converts a node.
    fn node(&mut self, mut proto: NodeProto) -> TractResult<Node> {
        let name = node_name(&proto, 0);
        let optional = |id: &String| if id.is_empty() { Ok(None) } else { self.id(id).map(Some) };
        let inputs = proto.input.iter().map(optional).collect::<TractResult<_>>()?;
        let outer: Vec<&str> = self.ids.keys().map(String::as_str).collect();
        let mut bodies = vec![];
        if is_interpreted(&proto.op_type) {
            for attribute in &mut proto.attribute {
                if let Some(graph) = attribute.g.take() {
                    bodies.push((attribute.name.clone(), Graph::new(self.context, graph, &outer)?));
                }
            }
        }
        // tract runs the node. Subgraphs of the node, such as the body of `Scan`, may capture these names.
        let mut captures: Vec<(String, ValueId)> = vec![];
        for (_, body) in &bodies {
            for name in &body.captured {
                captures.push((name.clone(), self.id(name)?));
            }
        }
        for graph in proto.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs)) {
            for name in captured(graph, &outer) {
                let id = self.id(&name)?;
                captures.push((name, id));
            }
        }
        let outputs = proto.output.iter();
        let outputs = outputs.map(|name| (!name.is_empty()).then(|| self.define(name))).collect();
        Ok(Node { name, proto, inputs, outputs, bodies, captures })
    }

    /// Computes the outputs of a node, if all its inputs are constants. Returns `false` if the outputs cannot be
    /// computed here. If the node fails, the error is not reported: the node is run with the graph, which may never
    /// reach the node.
    fn fold(&mut self, node: &Node) -> bool {
        let op = node.proto.op_type.as_str();
        if is_interpreted(op) || is_random(op) {
            return false;
        }
        let constant = |id: ValueId| self.constants.get(&id).cloned().map(Input::Constant);
        let Some(inputs) = node.inputs_from(constant) else { return false };
        let Ok(outputs) = node.evaluate(self.context, &inputs) else { return false };
        for (id, value) in node.outputs.iter().flatten().zip(outputs) {
            let Ok(value) = integers(value.into_arc_tensor()) else { return false };
            self.constants.insert(*id, sharing::tensor(value));
        }
        true
    }
}
