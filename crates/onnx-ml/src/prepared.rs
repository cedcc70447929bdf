//! Optimized models as bytes, which run without parsing, analyzing and optimizing ONNX again.
//!
//! [`write()`] and [`read()`] must be from the same build of this crate: the format has no version.
//! Weights are stored separately and used in place, best at an address that is a multiple of 64.
//! The operators' readers are separate too, so that the linker drops the code of operators that a
//! binary does not name.

pub mod operators;
mod parameters;
mod tract_operators;

use crate::encoding::fields::{datum_type, tensor_value};
use crate::encoding::weights;
use crate::passes::fast;
use operators::Reader;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::source::TypedSource;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Deserialize, Serialize)]
struct Prepared<'b> {
    /// Nodes in evaluation order.
    #[serde(borrow)]
    nodes: Vec<Node<'b>>,
    /// Indices of the input nodes.
    inputs: Vec<usize>,
    /// Node index and output slot of each output.
    outputs: Vec<(usize, usize)>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Node<'b> {
    name: String,
    inputs: Vec<(usize, usize)>,
    #[serde(borrow)]
    content: Content<'b>,
}

#[derive(Debug, Deserialize, Serialize)]
enum Content<'b> {
    Source {
        #[serde(with = "datum_type")]
        datum_type: DatumType,
        /// Dimensions in the text form of `TDim`.
        shape: Vec<String>,
    },
    Constant(#[serde(with = "tensor_value")] Tensor),
    /// Index of the operator's reader, and the bytes for it.
    Operator(usize, #[serde(borrow)] Cow<'b, [u8]>),
}

/// A serialized model.
#[derive(Debug)]
pub struct Written {
    pub graph: Vec<u8>,
    pub weights: Vec<u8>,
    /// Readers of the operators in the model.
    pub readers: Vec<Reader>,
}

/// Serializes a model returned by [`optimize`](crate::optimize).
///
/// # Errors
///
/// Returns an error if an operator of the model is not serializable.
pub fn write(model: &TypedModel) -> TractResult<Written> {
    let mut readers = vec![];
    let (graph, weights) = weights::written(|| graph(model, &mut readers));
    Ok(Written { graph: graph?, weights, readers })
}

fn graph(model: &TypedModel, readers: &mut Vec<Reader>) -> TractResult<Vec<u8>> {
    let order = model.eval_order()?;
    let mut indices = vec![0; model.nodes.len()];
    let mut nodes = Vec::with_capacity(order.len());
    for (index, id) in order.into_iter().enumerate() {
        indices[id] = index;
        let node = model.node(id);
        let content = content(node, readers)?.with_context(|| {
            format!("{} of node {} cannot be serialized", node.op.name(), node.name)
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

fn content(node: &TypedNode, readers: &mut Vec<Reader>) -> TractResult<Option<Content<'static>>> {
    if let Some(source) = node.op_as::<TypedSource>() {
        let shape = source.fact.shape.iter().map(|dim| dim.to_string()).collect();
        return Ok(Some(Content::Source { datum_type: source.fact.datum_type, shape }));
    }
    if let Some(constant) = node.op_as::<Const>() {
        let tensor = constant.val().as_ref().clone();
        return Ok(tensor_value::is_known(&tensor).then_some(Content::Constant(tensor)));
    }
    let op = node.op.as_ref();
    let unoptimized = tract_operators::unoptimized(op);
    let slow = fast::slow(op).or(unoptimized.as_ref().map(|op| op as &dyn TypedOp));
    let Some((operator, bytes)) = operators::of(slow.unwrap_or(op)) else { return Ok(None) };
    let reader = if slow.is_some() { operator.fast } else { operator.read };
    let known = readers.iter().position(|known| known.name == reader.name);
    let index = known.unwrap_or_else(|| {
        readers.push(reader);
        readers.len() - 1
    });
    Ok(Some(Content::Operator(index, bytes?.into())))
}

/// Reads a model that was [`Written`].
///
/// # Errors
///
/// Returns an error if the bytes are not from [`write()`] of the same build.
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
            .with_context(|| format!("{name}: expected its inputs before it"))?;
        let outputs = match content {
            Content::Source { datum_type, shape } => {
                let dims = shape.iter().map(|dim| parse_tdim(&model.symbols, dim));
                let shape = dims.collect::<TractResult<ShapeFact>>()?;
                tvec!(model.add_source(name, datum_type.fact(shape))?)
            }
            Content::Constant(tensor) => tvec!(model.add_const(name, tensor)?),
            Content::Operator(index, bytes) => {
                let reader = readers.get(index).context("expected a reader of each operator")?;
                let op = (reader.read)(&bytes, &model.symbols)
                    .with_context(|| format!("{name}: {}", reader.name))?;
                add(&mut model, name, op, &inputs)?
            }
        };
        wires.push(outputs);
    }
    let wire = |(index, slot): (usize, usize)| {
        let wire = wires.get(index).and_then(|outputs| outputs.get(slot)).copied();
        wire.context("expected an output of a node")
    };
    let inputs =
        inputs.into_iter().map(|index| wire((index, 0))).collect::<TractResult<Vec<_>>>()?;
    let outputs = outputs.into_iter().map(wire).collect::<TractResult<Vec<_>>>()?;
    model.set_input_outlets(&inputs)?;
    model.select_output_outlets(&outputs)?;
    Ok(model)
}

/// Adds a node like [`TypedModel::wire_node`], but without the search for a node of equal name.
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
