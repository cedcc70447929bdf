//! Optimised models as bytes, to be run without ONNX, analysis and optimisation before.
//!
//! [`write()`] and [`read()`] are for one build of this crate: the bytes have no version. The weights
//! are apart, to be used where they lie: best at an address that is a multiple of 64. So are the readers
//! of the operators: who names no others has no others' code.

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
    /// In an order in which they can run.
    #[serde(borrow)]
    nodes: Vec<Node<'b>>,
    /// Nodes.
    inputs: Vec<usize>,
    /// Nodes, and which of a node's outputs.
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
        /// As `TDim` writes itself.
        shape: Vec<String>,
    },
    Constant(#[serde(with = "tensor_value")] Tensor),
    /// The place of its reader, and what that reads.
    Operator(usize, #[serde(borrow)] Cow<'b, [u8]>),
}

/// A model as bytes.
#[derive(Debug)]
pub struct Written {
    pub graph: Vec<u8>,
    pub weights: Vec<u8>,
    /// What reads its operators.
    pub readers: Vec<Reader>,
}

/// A model that [`optimize`](crate::optimize) gave.
///
/// # Errors
///
/// Where an operator of the model is none of those that have a form as bytes.
pub fn write(model: &TypedModel) -> TractResult<Written> {
    let mut readers = vec![];
    let (graph, weights) = weights::written(|| graph(model, &mut readers));
    Ok(Written { graph: graph?, weights, readers })
}

fn graph(model: &TypedModel, readers: &mut Vec<Reader>) -> TractResult<Vec<u8>> {
    let order = model.eval_order()?;
    let mut places = vec![0; model.nodes.len()];
    let mut nodes = Vec::with_capacity(order.len());
    for (place, id) in order.into_iter().enumerate() {
        places[id] = place;
        let node = model.node(id);
        let content = content(node, readers)?.with_context(|| {
            format!("{} of node {} has no form as bytes", node.op.name(), node.name)
        })?;
        let inputs = node.inputs.iter().map(|input| (places[input.node], input.slot)).collect();
        nodes.push(Node { name: node.name.clone(), inputs, content });
    }
    let prepared = Prepared {
        nodes,
        inputs: model.inputs.iter().map(|input| places[input.node]).collect(),
        outputs: model.outputs.iter().map(|output| (places[output.node], output.slot)).collect(),
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
    let unoptimised = tract_operators::unoptimised(op);
    let slow = fast::slow(op).or(unoptimised.as_ref().map(|op| op as &dyn TypedOp));
    let Some((form, bytes)) = operators::of(slow.unwrap_or(op)) else { return Ok(None) };
    let reader = if slow.is_some() { form.fast } else { form.read };
    let known = readers.iter().position(|known| known.name == reader.name);
    let place = known.unwrap_or_else(|| {
        readers.push(reader);
        readers.len() - 1
    });
    Ok(Some(Content::Operator(place, bytes?.into())))
}

/// The model that was [`Written`].
///
/// # Errors
///
/// Where it was not by [`write()`], of this build.
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
            .map(|(place, slot)| wires.get(*place)?.get(*slot).copied())
            .collect::<Option<_>>()
            .with_context(|| format!("{name}: expected its inputs before it"))?;
        let outputs = match content {
            Content::Source { datum_type, shape } => {
                let dims = shape.iter().map(|dim| parse_tdim(&model.symbols, dim));
                let shape = dims.collect::<TractResult<ShapeFact>>()?;
                tvec!(model.add_source(name, datum_type.fact(shape))?)
            }
            Content::Constant(tensor) => tvec!(model.add_const(name, tensor)?),
            Content::Operator(place, bytes) => {
                let reader = readers.get(place).context("expected a reader of each operator")?;
                let op = (reader.read)(&bytes, &model.symbols)
                    .with_context(|| format!("{name}: {}", reader.name))?;
                add(&mut model, name, op, &inputs)?
            }
        };
        wires.push(outputs);
    }
    let wire = |(place, slot): (usize, usize)| {
        let wire = wires.get(place).and_then(|outputs| outputs.get(slot)).copied();
        wire.context("expected an output of a node")
    };
    let inputs =
        inputs.into_iter().map(|place| wire((place, 0))).collect::<TractResult<Vec<_>>>()?;
    let outputs = outputs.into_iter().map(wire).collect::<TractResult<Vec<_>>>()?;
    model.set_input_outlets(&inputs)?;
    model.select_output_outlets(&outputs)?;
    Ok(model)
}

/// [`TypedModel::wire_node`] without its search for equal names.
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
