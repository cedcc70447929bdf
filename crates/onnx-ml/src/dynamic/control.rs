//! Operators with subgraphs: `If`, `Loop` and `SequenceMap`.

use crate::dynamic::graph::{Graph, Node};
use crate::dynamic::value::Value;
use crate::ops::control::loop_operator::{MAX_BYTES, MAX_ITERATIONS};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// Values that subgraphs capture, by name.
type Captures<'c> = [(&'c str, Value)];

/// Computes the outputs of a graph from its inputs, which include the captured values.
type Run<'r> = &'r dyn Fn(&Graph, Vec<Value>) -> TractResult<Vec<Value>>;

/// Runs a subgraph with its own inputs and the values that it captures.
fn run_body(
    run: Run<'_>,
    body: &Graph,
    captures: &Captures<'_>,
    mut inputs: Vec<Value>,
) -> TractResult<Vec<Value>> {
    for name in &body.captured {
        let value = captures.iter().find(|(captured, _)| captured == name);
        let (_, value) = value.with_context(|| format!("expected a value `{name}`, found none"))?;
        inputs.push(value.clone());
    }
    run(body, inputs)
}

/// Returns the input at `index`.
fn input(inputs: &[Option<Value>], index: usize) -> TractResult<&Value> {
    let input = inputs.get(index).and_then(Option::as_ref);
    input.with_context(|| format!("expected input {index}, found none"))
}

/// Runs [If](https://onnx.ai/onnx/operators/onnx__If.html).
pub fn run_if(
    run: Run<'_>,
    node: &Node,
    captures: &Captures<'_>,
    inputs: &[Option<Value>],
) -> TractResult<Vec<Value>> {
    let condition = input(inputs, 0)?.scalar::<bool>()?;
    let branch = node.body(if condition { "then_branch" } else { "else_branch" })?;
    run_body(run, branch, captures, vec![])
}

/// Runs [Loop](https://onnx.ai/onnx/operators/onnx__Loop.html).
pub fn run_loop(
    run: Run<'_>,
    node: &Node,
    captures: &Captures<'_>,
    inputs: &[Option<Value>],
) -> TractResult<Vec<Value>> {
    let body = node.body("body")?;
    let limit = |index| inputs.get(index).and_then(Option::as_ref);
    let trips = limit(0).map(Value::scalar::<i64>).transpose()?;
    let mut condition = limit(1).map(Value::scalar::<bool>).transpose()?.unwrap_or(true);
    let carried = inputs.iter().skip(2).cloned().collect::<Option<Vec<_>>>();
    let mut carried = carried.context("expected a value for each loop-carried input")?;
    let count = carried.len();
    let scans = body.outputs.len().checked_sub(1 + count);
    let scans = scans.context("expected a body with an output for each loop-carried value")?;
    let mut scanned: Vec<Vec<Tensor>> = vec![vec![]; scans];
    let (mut iteration, mut scanned_bytes) = (0_u64, 0);
    while condition && trips.is_none_or(|trips| (iteration as i64) < trips) {
        ensure!(
            iteration < MAX_ITERATIONS,
            "expected the loop to end within {MAX_ITERATIONS} iterations, found more"
        );
        let scalars = [tensor0(iteration as i64), tensor0(true)];
        let scalars = scalars.into_iter().map(|scalar| Value::Tensor(scalar.into_tvalue()));
        let inputs = scalars.chain(std::mem::take(&mut carried)).collect();
        let outputs = run_body(run, body, captures, inputs);
        let mut outputs = outputs.with_context(|| format!("iteration {iteration}"))?;
        for (scanned, value) in scanned.iter_mut().zip(outputs.drain(1 + count..)) {
            let mut element = value.into_tensor()?.into_tensor();
            scanned_bytes += element.len() * element.datum_type().size_of();
            element.insert_axis(0)?;
            scanned.push(element);
        }
        condition = outputs[0].scalar::<bool>()?;
        carried = outputs.drain(1..).collect();
        let bytes = scanned_bytes + carried.iter().map(Value::size).sum::<usize>();
        ensure!(
            bytes <= MAX_BYTES,
            "expected values of at most {MAX_BYTES} bytes in a loop, found {bytes}"
        );
        iteration += 1;
    }
    for (elements, declared) in scanned.iter().zip(&body.declared[1 + count..]) {
        let stacked = match (elements.as_slice(), declared) {
            ([], Some((datum_type, shape))) => {
                Tensor::zero_dt(*datum_type, &[&[0], shape.as_slice()].concat())?
            }
            ([], None) => bail!("expected a declared shape for an output without elements"),
            (elements, _) => Tensor::stack_tensors(0, elements)?,
        };
        carried.push(Value::Tensor(stacked.into_tvalue()));
    }
    Ok(carried)
}

/// Runs [SequenceMap](https://onnx.ai/onnx/operators/onnx__SequenceMap.html).
pub fn run_sequence_map(
    run: Run<'_>,
    node: &Node,
    captures: &Captures<'_>,
    inputs: &[Option<Value>],
) -> TractResult<Vec<Value>> {
    let body = node.body("body")?;
    let first = input(inputs, 0)?.sequence()?;
    let mut outputs: Vec<Vec<Value>> = vec![vec![]; body.outputs.len()];
    for index in 0..first.len() {
        let element = |input: &Option<Value>| match input {
            Some(Value::Sequence(elements)) => {
                let (expected, found) = (first.len(), elements.len());
                let element = elements.get(index).cloned();
                element.with_context(|| format!("expected {expected} elements, found {found}"))
            }
            Some(tensor) => Ok(tensor.clone()),
            None => bail!("expected a value for each input"),
        };
        let inputs = inputs.iter().map(element).collect::<TractResult<_>>()?;
        let found = run_body(run, body, captures, inputs)?;
        outputs.iter_mut().zip(found).for_each(|(output, value)| output.push(value));
    }
    Ok(outputs.into_iter().map(Value::Sequence).collect())
}
