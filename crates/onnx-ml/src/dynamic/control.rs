//! Operators with subgraphs: `If`, `Loop` and `SequenceMap`.

use crate::dynamic::graph::{Graph, Node};
use crate::dynamic::value::Value;
use crate::ops::control::loop_operator::{MAX_BYTES, MAX_ITERATIONS};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// A function that computes the outputs of a graph from its inputs, which include the captured values.
type Run<'r> = &'r dyn Fn(&Graph, Vec<Value>) -> TractResult<Vec<Value>>;

/// A node with subgraphs, and the values that the node reads in one run.
pub struct Call<'c> {
    pub run: Run<'c>,
    pub node: &'c Node,
    /// Names and values of the outer graph that the subgraphs capture.
    pub captures: &'c [(&'c str, Value)],
    /// Inputs of the node. `None` for an input that the node omits.
    pub inputs: &'c [Option<Value>],
}

impl Call<'_> {
    /// Returns whether [`Call::outputs`] supports the operator.
    pub fn supports(op_type: &str) -> bool {
        matches!(op_type, "If" | "Loop" | "SequenceMap")
    }

    /// Computes the outputs of the node.
    ///
    /// # Errors
    ///
    /// Returns an error if the node is invalid, or if a subgraph fails.
    pub fn outputs(&self) -> TractResult<Vec<Value>> {
        match self.node.proto.op_type.as_str() {
            "If" => self.run_if(),
            "Loop" => self.run_loop(),
            "SequenceMap" => self.run_sequence_map(),
            other => bail!("expected an operator with subgraphs, found {other}"),
        }
    }

    /// Runs a subgraph. `inputs` are the subgraph's own inputs, without the captured values.
    fn run_body(&self, body: &Graph, mut inputs: Vec<Value>) -> TractResult<Vec<Value>> {
        for name in &body.captured {
            let value = self.captures.iter().find(|(captured, _)| captured == name);
            let (_, value) =
                value.with_context(|| format!("expected a value `{name}`, found none"))?;
            inputs.push(value.clone());
        }
        (self.run)(body, inputs)
    }

    /// Returns the input at `index`. Returns `None` if the node omits the input.
    fn optional(&self, index: usize) -> Option<&Value> {
        self.inputs.get(index).and_then(Option::as_ref)
    }

    /// Returns the input at `index`.
    fn input(&self, index: usize) -> TractResult<&Value> {
        self.optional(index).with_context(|| format!("expected input {index}, found none"))
    }

    /// Runs [If](https://onnx.ai/onnx/operators/onnx__If.html).
    fn run_if(&self) -> TractResult<Vec<Value>> {
        let condition = self.input(0)?.scalar::<bool>()?;
        let branch = self.node.body(if condition { "then_branch" } else { "else_branch" })?;
        self.run_body(branch, vec![])
    }

    /// Runs [Loop](https://onnx.ai/onnx/operators/onnx__Loop.html).
    fn run_loop(&self) -> TractResult<Vec<Value>> {
        let body = self.node.body("body")?;
        let trips = self.optional(0).map(Value::scalar::<i64>).transpose()?;
        let mut condition =
            self.optional(1).map(Value::scalar::<bool>).transpose()?.unwrap_or(true);
        let carried = self.inputs.iter().skip(2).cloned().collect::<Option<Vec<_>>>();
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
            let outputs = self.run_body(body, inputs);
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
    fn run_sequence_map(&self) -> TractResult<Vec<Value>> {
        let body = self.node.body("body")?;
        let first = self.input(0)?.sequence()?;
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
            let inputs = self.inputs.iter().map(element).collect::<TractResult<_>>()?;
            let found = self.run_body(body, inputs)?;
            outputs.iter_mut().zip(found).for_each(|(output, value)| output.push(value));
        }
        Ok(outputs.into_iter().map(Value::Sequence).collect())
    }
}
