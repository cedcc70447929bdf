//! Makes the plan for the next nodes of a graph, for the shapes of a run.

use crate::dynamic::block::{Block, Plan};
use crate::dynamic::cache::{Key, KnownValue};
use crate::dynamic::context::Context;
use crate::dynamic::graph::{Graph, Node, ValueId};
use crate::dynamic::typing::{Input, check_outputs, is_interpreted, is_random};
use crate::dynamic::value::{Value, integers};
use crate::dynamic::values::{Slot, Values};
use crate::encoding::sharing;
use crate::ops::control::subgraph::inline;
use crate::passes;
use std::collections::HashMap;
use std::sync::Arc;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::konst::Const;

/// Maximum size of a constant that is part of a [`Key`], in bytes. A larger tensor is not treated as a constant: it
/// becomes an input of the plan.
const MAX_KEY_BYTES: usize = 1024;

/// Makes the block that begins with the node at index `start`. The block ends before the first node whose output shapes
/// cannot be inferred without the values of the node's inputs. The block shares its weights with the blocks that exist.
pub fn build(context: &Context, graph: &Graph, values: &Values, start: usize) -> Block {
    let make = || build_unshared(context, graph, values, start);
    let (block, bytes) = context.weights.share(make);
    Block { bytes, ..block }
}

/// Makes the block like [`build`]. The size of the block's weights is not set.
fn build_unshared(context: &Context, graph: &Graph, values: &Values, start: usize) -> Block {
    let mut builder = Builder { context, model: TypedModel::default(), nodes: 0, inputs: vec![] };
    let mut wires = HashMap::new();
    for (id, value) in values.iter() {
        if let Some(wire) = builder.wire_value(id, value) {
            wires.insert(id, wire);
        }
    }
    let end = builder.wire_nodes(graph, &mut wires, start);
    let computed =
        wires.into_iter().filter(|(id, _)| values.get(*id).is_none() && graph.end[*id] > end);
    let (mut constants, mut outputs) = (vec![], vec![]);
    for (id, wire) in computed {
        match wire {
            Wire::Constant(tensor) => constants.push((id, tensor)),
            Wire::Outlet(outlet) => outputs.push((id, outlet)),
        }
    }
    outputs.sort_unstable();
    match builder.plan(&outputs) {
        Ok(plan) => Block { plan, constants, end, bytes: 0 },
        // tract cannot make a plan. A block without nodes makes the caller evaluate the node at `start` alone.
        Err(_) => Block { plan: None, constants: vec![], end: start, bytes: 0 },
    }
}

/// Returns the key of the block at `start`.
pub fn key(start: usize, values: &Values) -> Key {
    let known = |value: &Value, constant: bool| {
        let Value::Tensor(tensor) = value else { return KnownValue::Other };
        let (datum_type, shape) = (tensor.datum_type(), tensor.shape().into());
        if constant
            && is_small(tensor)
            && let Ok(view) = tensor.try_as_plain_ram()
        {
            return KnownValue::Constant(datum_type, shape, view.as_bytes().into());
        }
        KnownValue::Shape(datum_type, shape)
    };
    let values = values.iter().map(|(_, slot)| known(&slot.value, slot.constant)).collect();
    Key { start, values }
}

/// Returns whether a tensor is small enough to be part of a [`Key`].
fn is_small(tensor: &Tensor) -> bool {
    tensor.datum_type().is_copy() && tensor.len() * tensor.datum_type().size_of() <= MAX_KEY_BYTES
}

/// A value while a block is made.
#[derive(Debug, Clone)]
enum Wire {
    /// The value depends on shapes only.
    Constant(Arc<Tensor>),
    /// The value is computed in each run.
    Outlet(OutletId),
}

/// The state of [`build`].
struct Builder<'c> {
    context: &'c Context,
    model: TypedModel,
    /// Number of nodes that have been added. The number is part of the name of a node, to make names unique.
    nodes: usize,
    /// The values of the graph that are the inputs of `model`.
    inputs: Vec<ValueId>,
}

impl Builder<'_> {
    /// Adds a value that exists before the block. Returns `None` if the value is not a tensor.
    fn wire_value(&mut self, id: ValueId, slot: &Slot) -> Option<Wire> {
        let Value::Tensor(tensor) = &slot.value else { return None };
        if slot.constant && is_small(tensor) {
            return Some(Wire::Constant(tensor.clone().into_arc_tensor()));
        }
        let fact = tensor.datum_type().fact(tensor.shape());
        let outlet = self.model.add_source(format!("input_{id}"), fact).ok()?;
        self.inputs.push(id);
        Some(Wire::Outlet(outlet))
    }

    /// Adds the nodes of `graph` from index `start` on. Returns the index of the first node that
    /// cannot be added.
    fn wire_nodes(
        &mut self,
        graph: &Graph,
        wires: &mut HashMap<ValueId, Wire>,
        start: usize,
    ) -> usize {
        for (index, node) in graph.nodes.iter().enumerate().skip(start) {
            let wire = |id: ValueId| {
                let constant = || graph.constants.get(&id).cloned().map(Wire::Constant);
                wires.get(&id).cloned().or_else(constant)
            };
            let inputs: Option<Vec<Wire>> = node.reads().map(wire).collect();
            let outputs = inputs.and_then(|inputs| self.wire_node(node, &inputs).ok().flatten());
            let Some(outputs) = outputs else { return index };
            wires.extend(node.outputs.iter().flatten().copied().zip(outputs));
        }
        graph.nodes.len()
    }

    /// Adds a node. Returns `None` if the shapes of its outputs depend on values.
    fn wire_node(&mut self, node: &Node, inputs: &[Wire]) -> TractResult<Option<Vec<Wire>>> {
        if is_interpreted(&node.proto.op_type) {
            return self.wire_branch(node, inputs);
        }
        let input = |wire: &Wire| match wire {
            Wire::Constant(tensor) => Ok(Input::Constant(Arc::clone(tensor))),
            Wire::Outlet(outlet) => {
                let fact = self.model.outlet_fact(*outlet)?;
                let shape = fact.shape.as_concrete();
                let shape = shape.ok_or_else(|| TractError::msg("expected a known shape"))?;
                Ok(Input::Fact(fact.datum_type, shape.into()))
            }
        };
        let facts = inputs.iter().map(input).collect::<TractResult<Vec<_>>>()?;
        let typed = node.typed(self.context, &facts)?;
        check_outputs(&typed)?;
        if inputs.iter().all(|wire| matches!(wire, Wire::Constant(_)))
            && !is_random(&node.proto.op_type)
        {
            let outputs = typed.into_runnable()?.run(tvec!())?;
            let outputs = outputs
                .into_iter()
                .map(|output| Ok(Wire::Constant(integers(output.into_arc_tensor())?)));
            return outputs.collect::<TractResult<_>>().map(Some);
        }
        for index in 0..typed.outputs.len() {
            if typed.output_fact(index)?.shape.as_concrete().is_none() {
                return Ok(None);
            }
        }
        let outlets = inputs.iter().filter_map(|wire| match wire {
            Wire::Constant(_) => None,
            Wire::Outlet(outlet) => Some(*outlet),
        });
        self.nodes += 1;
        let prefix = self.nodes.to_string();
        let outlets = inline(&typed, &prefix, &mut self.model, &outlets.collect::<Vec<_>>())?;
        let mut outputs = vec![];
        for (index, outlet) in outlets.into_iter().enumerate() {
            let fact = self.model.outlet_fact(outlet)?;
            outputs.push(match &fact.konst {
                Some(value) => Wire::Constant(integers(Arc::clone(value))?),
                None if fact.datum_type.is_tdim() => {
                    let name = format!("{prefix}.integers_{index}");
                    let cast = cast(i64::datum_type());
                    Wire::Outlet(self.model.wire_node(name, cast, &[outlet])?[0])
                }
                None => Wire::Outlet(outlet),
            });
        }
        Ok(Some(outputs))
    }

    /// Adds the nodes of a branch, if `node` is an `If` whose condition is a constant. Returns `None` if `node` is not
    /// such an `If`, or if a node of the branch cannot be added.
    fn wire_branch(&mut self, node: &Node, inputs: &[Wire]) -> TractResult<Option<Vec<Wire>>> {
        let ("If", Some(Wire::Constant(condition))) = (node.proto.op_type.as_str(), inputs.first())
        else {
            return Ok(None);
        };
        let condition = Value::Tensor(Arc::clone(condition).into_tvalue()).scalar::<bool>()?;
        let branch = node.body(if condition { "then_branch" } else { "else_branch" })?;
        let captures = node.captures.iter().zip(&inputs[1..]);
        let captures: HashMap<&str, &Wire> =
            captures.map(|((name, _), wire)| (name.as_str(), wire)).collect();
        let names = branch.captured.iter().map(String::as_str).zip(&branch.inputs);
        let wires = names.filter_map(|(name, id)| Some((*id, (*captures.get(name)?).clone())));
        let mut wires: HashMap<ValueId, Wire> = wires.collect();
        if self.wire_nodes(branch, &mut wires, 0) < branch.nodes.len() {
            return Ok(None);
        }
        let output = |id: &ValueId| {
            let constant = || branch.constants.get(id).cloned().map(Wire::Constant);
            wires.get(id).cloned().or_else(constant)
        };
        Ok(branch.outputs.iter().map(output).collect())
    }

    /// Makes the plan that computes `outputs`. Returns `None` if `outputs` is empty.
    fn plan(mut self, outputs: &[(ValueId, OutletId)]) -> TractResult<Option<Plan>> {
        if outputs.is_empty() {
            return Ok(None);
        }
        let outlets: Vec<OutletId> = outputs.iter().map(|(_, outlet)| *outlet).collect();
        self.model.select_output_outlets(&outlets)?;
        let mut model = passes::optimize(self.model.into_decluttered()?)?;
        share_constants(&mut model)?;
        let runnable = model.into_runnable()?;
        let outputs = outputs.iter().map(|(id, _)| *id).collect();
        Ok(Some(Plan { runnable, inputs: self.inputs, outputs }))
    }
}

/// Replaces each constant of `model` by an equal constant of an existing plan, if there is one.
fn share_constants(model: &mut TypedModel) -> TractResult<()> {
    for node in &mut model.nodes {
        let Some(constant) = node.op_as::<Const>() else { continue };
        let value = Arc::clone(constant.val());
        let shared = sharing::tensor(Arc::clone(&value));
        if Arc::ptr_eq(&shared, &value) {
            continue;
        }
        let is_plain = constant.exotic_fact().is_none();
        let fact = &mut node.outputs[0].fact;
        if fact.konst.is_some() {
            fact.konst = Some(Arc::clone(&shared));
        }
        let exotic = if is_plain { None } else { fact.exotic_fact.clone() };
        node.op = Box::new(Const::new_with_opt_exotic_fact(shared, exotic)?);
    }
    Ok(())
}
