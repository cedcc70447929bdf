//! Serialization of optimized models. A model that was serialized at build time starts without
//! parsing and optimizing ONNX.
//!
//! [`write()`] and [`read()`] must be from the same build of this crate, because the format has no version. Weights are
//! stored separately from the graph. A model that [`read()`] returns borrows its weights from the block of weights. The
//! address of the block should be a multiple of 64. Otherwise the weights are copied, or are slower to load.
//!
//! [`read()`] takes the list of the functions that read the model's operators ([`Reader`]). A
//! binary with one model lists only the readers of that model, so that the linker drops the code of
//! all other operators.

pub mod operators;
mod parameters;
mod tract_operators;

use crate::encoding::fields::{datum_type, tensor_value};
use crate::encoding::weights;
use crate::passes::fast;
use operators::Reader;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::HashSet;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::source::TypedSource;
use tract_onnx::tract_hir::internal::*;

/// The serialized graph. `'b` is the lifetime of the bytes from which the graph was read.
#[derive(Debug, Deserialize, Serialize)]
struct Prepared<'b> {
    /// Nodes in evaluation order.
    #[serde(borrow)]
    nodes: Vec<Node<'b>>,
    /// Index in `nodes` of each input of the model.
    inputs: Vec<usize>,
    /// Each output of the model: the index in `nodes` of the node that computes the output, and the index among the
    /// outputs of that node.
    outputs: Vec<(usize, usize)>,
}

/// A node of the graph.
#[derive(Debug, Deserialize, Serialize)]
struct Node<'b> {
    name: String,
    /// Each input: the index of the node that computes the input, and the index among the outputs of that node.
    inputs: Vec<(usize, usize)>,
    #[serde(borrow)]
    content: Content<'b>,
}

/// The operator of a node, or the input or constant that the node stands for.
#[derive(Debug, Deserialize, Serialize)]
enum Content<'b> {
    /// An input of the model.
    Source {
        #[serde(with = "datum_type")]
        datum_type: DatumType,
        /// Dimensions, formatted as strings.
        shape: Vec<String>,
    },
    Constant(#[serde(with = "tensor_value")] Tensor),
    /// Index of the operator's reader in [`Written::readers`], and the bytes that the reader takes.
    Operator(usize, #[serde(borrow)] Cow<'b, [u8]>),
}

/// A serialized model.
#[derive(Debug)]
pub struct Written {
    /// Nodes and edges, with all parameters except the weights.
    pub graph: Vec<u8>,
    /// Block of all weights. `graph` contains the positions of the weights in this block.
    pub weights: Vec<u8>,
    /// The readers of the model's operators, without duplicates. Pass a list in the same order to
    /// [`read()`].
    pub readers: Vec<Reader>,
}

/// Serializes a model returned by [`optimize`](crate::optimize).
///
/// # Errors
///
/// Returns an error if an operator or a constant of the model is not serializable.
pub fn write(model: &TypedModel) -> TractResult<Written> {
    let mut readers = vec![];
    let (graph, weights) = weights::written(|| graph(model, &mut readers));
    Ok(Written { graph: graph?, weights, readers })
}

/// Serializes the graph, and appends the readers that it needs to `readers`.
fn graph(model: &TypedModel, readers: &mut Vec<Reader>) -> TractResult<Vec<u8>> {
    let mut order = model.eval_order()?;
    let read: HashSet<usize> = order.iter().copied().collect();
    // The evaluation order does not contain inputs that no node reads.
    order.extend(model.inputs.iter().map(|input| input.node).filter(|id| !read.contains(id)));
    let mut indices = vec![0; model.nodes.len()];
    let mut nodes = Vec::with_capacity(order.len());
    for (index, id) in order.into_iter().enumerate() {
        indices[id] = index;
        let node = model.node(id);
        let content = content(node, readers)?.with_context(|| {
            format!("expected a serializable operator, found {} ({})", node.name, node.op.name())
        })?;
        let inputs = node.inputs.iter().map(|input| (indices[input.node], input.slot)).collect();
        nodes.push(Node { name: node.name.clone(), inputs, content });
    }
    let prepared = Prepared {
        nodes,
        inputs: model.inputs.iter().map(|input| indices[input.node]).collect(),
        outputs: model.outputs.iter().map(|output| (indices[output.node], output.slot)).collect(),
    };
    Ok(postcard::to_allocvec(&prepared)?)
}

/// Returns the content of a node, or `None` if it is not serializable.
fn content(node: &TypedNode, readers: &mut Vec<Reader>) -> TractResult<Option<Content<'static>>> {
    if let Some(source) = node.op_as::<TypedSource>() {
        let shape = source.fact.shape.iter().map(|dim| dim.to_string()).collect();
        return Ok(Some(Content::Source { datum_type: source.fact.datum_type, shape }));
    }
    if let Some(constant) = node.op_as::<Const>() {
        let tensor = constant.val().as_ref().clone();
        return Ok(tensor_value::is_supported(&tensor).then_some(Content::Constant(tensor)));
    }
    let op = node.op.as_ref();
    // An operator with a fast path is serialized as tract's operator, without the fast path. The
    // reader adds the fast path again.
    let unoptimized = tract_operators::unoptimized(op);
    let wrapped = fast::tract_operator(op).or(unoptimized.as_ref().map(|op| op as &dyn TypedOp));
    let Some((operator, bytes)) = operators::serialize(wrapped.unwrap_or(op)) else {
        return Ok(None);
    };
    let reader = if wrapped.is_some() { operator.fast } else { operator.read };
    let position = readers.iter().position(|other| other.name == reader.name);
    let index = position.unwrap_or_else(|| {
        readers.push(reader);
        readers.len() - 1
    });
    Ok(Some(Content::Operator(index, bytes?.into())))
}

/// Deserializes a model that [`write()`] serialized.
///
/// # Errors
///
/// Returns an error if `graph` and `weights` are not from [`write()`] of the same build, or if a
/// reader is missing.
pub fn read(graph: &[u8], weights: &'static [u8], readers: &[Reader]) -> TractResult<TypedModel> {
    weights::read(weights, || model(graph, readers))
}

fn model(graph: &[u8], readers: &[Reader]) -> TractResult<TypedModel> {
    let Prepared { nodes, inputs, outputs } = postcard::from_bytes(graph)?;
    let mut model = TypedModel::default();
    let mut wires: Vec<TVec<OutletId>> = Vec::with_capacity(nodes.len());
    for Node { name, inputs, content } in nodes {
        let inputs: TVec<OutletId> = inputs
            .iter()
            .map(|(index, slot)| wires.get(*index)?.get(*slot).copied())
            .collect::<Option<_>>()
            .with_context(|| {
                format!("{name}: expected inputs from earlier nodes, found {inputs:?}")
            })?;
        let outputs = match content {
            Content::Source { datum_type, shape } => {
                let dims = shape.iter().map(|dim| parse_tdim(&model.symbols, dim));
                let shape = dims.collect::<TractResult<ShapeFact>>()?;
                tvec!(model.add_source(name, datum_type.fact(shape))?)
            }
            Content::Constant(tensor) => tvec!(model.add_const(name, tensor)?),
            Content::Operator(index, bytes) => {
                let reader = readers.get(index).with_context(|| {
                    format!("{name}: expected reader {index}, found {} readers", readers.len())
                })?;
                let op = (reader.read)(&bytes, &model.symbols)
                    .with_context(|| format!("{name}: {}", reader.name))?;
                add(&mut model, name, op, &inputs)?
            }
        };
        wires.push(outputs);
    }
    let wire = |(index, slot): (usize, usize)| {
        let wire = wires.get(index).and_then(|outputs| outputs.get(slot)).copied();
        wire.with_context(|| format!("expected an output of a node, found {slot} of node {index}"))
    };
    let inputs =
        inputs.into_iter().map(|index| wire((index, 0))).collect::<TractResult<Vec<_>>>()?;
    let outputs = outputs.into_iter().map(wire).collect::<TractResult<Vec<_>>>()?;
    model.set_input_outlets(&inputs)?;
    model.select_output_outlets(&outputs)?;
    Ok(model)
}

/// Adds a node like [`TypedModel::wire_node`], but does not search for a node with the same name.
/// With the search, adding all nodes would take time proportional to the square of the number of nodes.
fn add(
    model: &mut TypedModel,
    name: String,
    op: Box<dyn TypedOp>,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    let facts = {
        let inputs = inputs.iter().map(|input| model.outlet_fact(*input));
        op.output_facts(&inputs.collect::<TractResult<TVec<_>>>()?).with_context(|| name.clone())?
    };
    let outputs = facts.len();
    let id = model.add_node(name, op, facts)?;
    for (slot, input) in inputs.iter().enumerate() {
        model.add_edge(*input, InletId::new(id, slot))?;
    }
    Ok((0..outputs).map(|slot| OutletId::new(id, slot)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_that_no_node_reads_is_an_input_of_the_read_model() -> TractResult<()> {
        let mut model = TypedModel::default();
        for name in ["first", "second", "third"] {
            model.add_source(name, f32::fact([2]))?;
        }
        let second = model.inputs[1];
        model.select_output_outlets(&[second])?;
        let Written { graph, weights, readers } = write(&model)?;
        let read = read(&graph, weights.leak(), &readers)?;
        let inputs = [[1_f32, 2.0], [3.0, 4.0], [5.0, 6.0]].map(|input| tensor1(&input).into());
        let outputs = read.into_runnable()?.run(inputs.into_iter().collect())?;
        assert_eq!(*outputs[0], tensor1(&[3_f32, 4.0]));
        Ok(())
    }
}
