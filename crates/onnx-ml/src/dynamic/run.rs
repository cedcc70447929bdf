//! Runs a graph block by block.

use crate::dynamic::build::{build, key};
use crate::dynamic::context::Context;
use crate::dynamic::control::Call;
use crate::dynamic::graph::{Graph, Node, ValueId};
use crate::dynamic::sequences;
use crate::dynamic::typing::{Input, check_outputs, is_interpreted};
use crate::dynamic::value::{Value, integers};
use crate::dynamic::values::Values;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// Computes the outputs of a graph. `inputs` includes the captured values.
///
/// # Errors
///
/// Returns an error if the number of inputs is wrong, or if an operator rejects its inputs.
pub fn run(context: &Context, graph: &Graph, inputs: Vec<Value>) -> TractResult<Vec<Value>> {
    let (expected, found) = (graph.inputs.len(), inputs.len());
    ensure!(expected == found, "expected {expected} inputs, found {found}");
    let mut values = Values::default();
    for (id, value) in graph.inputs.iter().zip(inputs) {
        values.insert(*id, value);
    }
    let mut start = 0;
    loop {
        values.drop_unused(&graph.end, start);
        let make = || build(context, graph, &values, start);
        let block = graph.cache.get(key(start, &values), &context.counters, make);
        block.run(&mut values)?;
        let Some(node) = graph.nodes.get(block.end) else { break };
        let outputs = evaluate(context, graph, &values, node).with_context(|| node.name.clone())?;
        for (id, value) in node.outputs.iter().zip(outputs) {
            if let Some(id) = id {
                values.insert(*id, value);
            }
        }
        start = block.end + 1;
    }
    graph.outputs.iter().map(|id| value(graph, &values, *id)).collect()
}

/// Returns the value with index `id`: a value that exists in this run, or a constant of the graph.
fn value(graph: &Graph, values: &Values, id: ValueId) -> TractResult<Value> {
    match (values.get(id), graph.constants.get(&id)) {
        (Some(value), _) => Ok(value.clone()),
        (None, Some(constant)) => Ok(Value::Tensor(Arc::clone(constant).into_tvalue())),
        (None, None) => bail!("expected value {id}, found none"),
    }
}

/// Computes the outputs of a node from the values of its inputs. If the node omits an output, the value of this output
/// is arbitrary.
fn evaluate(
    context: &Context,
    graph: &Graph,
    values: &Values,
    node: &Node,
) -> TractResult<Vec<Value>> {
    let value = |id: ValueId| value(graph, values, id);
    if is_interpreted(&node.proto.op_type) {
        let inputs = node.inputs.iter().map(|id| id.map(value).transpose());
        let inputs = inputs.collect::<TractResult<Vec<_>>>()?;
        let captures = node.captures.iter().map(|(name, id)| Ok((name.as_str(), value(*id)?)));
        let captures = captures.collect::<TractResult<Vec<_>>>()?;
        if !Call::supports(&node.proto.op_type) {
            return sequences::evaluate(node, &inputs);
        }
        let run = |body: &Graph, inputs: Vec<Value>| run(context, body, inputs);
        return Call { run: &run, node, captures: &captures, inputs: &inputs }.outputs();
    }
    let tensors = node.reads().map(|id| value(id)?.into_tensor());
    let tensors = tensors.collect::<TractResult<Vec<TValue>>>()?;
    let outputs = evaluate_tensors(context, node, &tensors)?;
    // The operator of tract has no output where the node omits the output.
    let mut outputs = outputs.into_iter();
    let mut next = |id: &Option<ValueId>| match id {
        Some(_) => {
            let output = outputs.next().context("expected an output, found none")?;
            Ok(Value::Tensor(integers(output.into_arc_tensor())?.into_tvalue()))
        }
        None => Ok(Value::Optional(None)),
    };
    node.outputs.iter().map(&mut next).collect()
}

/// Runs an operator of tract. The operator may need the values of some inputs to determine the shapes of its outputs.
fn evaluate_tensors(
    context: &Context,
    node: &Node,
    inputs: &[TValue],
) -> TractResult<TVec<TValue>> {
    // Integers and a few floats can be shapes, limits, indices or scales, which determine the shape of an output. All
    // other tensors are data.
    let decides_shape = |tensor: &TValue| {
        !tensor.datum_type().is_float() || tensor.rank() < 2 && tensor.len() <= MAX_PARAMETERS
    };
    let (mut facts, mut sources) = (vec![], tvec!());
    for tensor in inputs {
        if decides_shape(tensor) {
            facts.push(Input::Constant(tensor.clone().into_arc_tensor()));
        } else {
            facts.push(Input::Fact(tensor.datum_type(), tensor.shape().into()));
            sources.push(tensor.clone());
        }
    }
    let run = |inputs: &[Input], sources| {
        let model = node.typed(context, inputs)?;
        check_outputs(&model)?;
        model.into_runnable()?.run(sources)
    };
    run(&facts, sources).or_else(|error| {
        let constant = |tensor: &TValue| Input::Constant(tensor.clone().into_arc_tensor());
        let all: Vec<Input> = inputs.iter().map(constant).collect();
        run(&all, tvec!()).map_err(|_| error)
    })
}

/// Maximum number of elements in a tensor of floats that may determine a shape. An example of such a tensor are the
/// scales of `Resize`.
const MAX_PARAMETERS: usize = 16;
