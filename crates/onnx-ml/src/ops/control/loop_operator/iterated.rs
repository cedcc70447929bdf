//! The execution of a loop. The body is typed and optimized.

use crate::operator::tensors::elements;
use crate::ops::control::subgraph::Runnable;
use crate::ops::control::subgraph_op::RunSubgraphs;
use std::collections::HashMap;
use tract_onnx::tract_hir::internal::*;

/// Maximum number of iterations. A loop with more iterations is considered endless.
pub const MAX_ITERATIONS: u64 = 1 << 17;

/// Maximum size of the loop-carried values and the scan outputs together, in bytes.
pub const MAX_BYTES: usize = 1 << 30;

/// A loop that is ready to run.
#[derive(Debug, Clone)]
pub struct RunnableLoop {
    /// The body of the loop. Its inputs are the iteration number, the condition, the loop-carried
    /// values and the values of the outer graph. Its outputs are the condition, the loop-carried
    /// values, and one element of each scan output.
    pub body: Runnable,
    /// Index of the input with the maximum trip count.
    pub trips: Option<usize>,
    /// Index of the input with the initial condition.
    pub condition: Option<usize>,
    /// Index of the first loop-carried input. Values of the outer graph follow the carried inputs.
    pub first_carried: usize,
    /// Number of loop-carried values.
    pub carried: usize,
    /// For each output of the loop, the index of this output among the node's outputs. `None` if the node omits the
    /// output. The loop-carried values come first, then the scan outputs.
    pub output_indices: Vec<Option<usize>>,
}

impl RunSubgraphs for RunnableLoop {
    const NAME: &'static str = "Loop";

    fn run(
        &self,
        context: &EvalContext,
        outputs: &[TypedFact],
        inputs: TVec<TValue>,
    ) -> TractResult<TVec<TValue>> {
        let trips = match self.trips {
            Some(index) => Some(scalar::<i64>(&inputs[index])?.max(0) as u64),
            None => None,
        };
        let mut condition = match self.condition {
            Some(index) => scalar::<bool>(&inputs[index])?,
            None => true,
        };
        let (carried, outer) = inputs[self.first_carried..].split_at(self.carried);
        let mut carried: TVec<TValue> = carried.into();
        // The elements of each scan output, one per iteration, and their size in bytes.
        let mut scanned: Vec<Vec<Tensor>> = vec![vec![]; self.output_indices.len() - self.carried];
        let mut scanned_bytes = 0;
        let mut state = self.body.plan.spawn()?;
        let mut iteration = 0;
        while condition && trips.is_none_or(|trips| iteration < trips) {
            ensure!(
                iteration < MAX_ITERATIONS,
                "expected the loop to end within {MAX_ITERATIONS} iterations, found more"
            );
            let mut inputs = tvec!(
                self.scalar_input(0, tensor0(iteration as i64))?,
                self.scalar_input(1, tensor0(true))?
            );
            inputs.extend(carried);
            inputs.extend(outer.iter().cloned());
            let outputs = state.run(inputs);
            let mut outputs = outputs.with_context(|| format!("iteration {iteration}"))?;
            let elements = outputs.drain(1 + self.carried..);
            for (scanned, value) in scanned.iter_mut().zip(elements) {
                let mut value = value.into_tensor();
                value.insert_axis(0)?;
                scanned_bytes += size(&value);
                scanned.push(value);
            }
            condition = scalar::<bool>(&outputs[0])?;
            carried = outputs.drain(1..).collect();
            let bytes = scanned_bytes + carried.iter().map(|value| size(value)).sum::<usize>();
            ensure!(
                bytes <= MAX_BYTES,
                "expected values of at most {MAX_BYTES} bytes in a loop, found {bytes}"
            );
            iteration += 1;
        }
        let scan_outputs = scanned.iter().enumerate().map(|(index, elements)| {
            match self.output_indices[self.carried + index] {
                Some(index) if elements.is_empty() => {
                    Ok(empty(&outputs[index], context)?.into_tvalue())
                }
                // The node omits the output, so the value does not matter.
                None if elements.is_empty() => Ok(tensor0(0i64).into_tvalue()),
                _ => Ok(Tensor::stack_tensors(0, elements)?.into_tvalue()),
            }
        });
        let scan_outputs = scan_outputs.collect::<TractResult<TVec<TValue>>>()?;
        let all_outputs = carried.into_iter().chain(scan_outputs).zip(&self.output_indices);
        let outputs = all_outputs.filter(|(_, index)| index.is_some());
        Ok(outputs.map(|(output, _)| output).collect())
    }

    fn with_symbols(&self, values: &HashMap<Symbol, TDim>) -> TractResult<RunnableLoop> {
        Ok(RunnableLoop { body: self.body.with_symbols(values)?, ..self.clone() })
    }
}

impl RunnableLoop {
    /// Returns the scalar `value` (the iteration number or the condition) with the rank that the
    /// body declares for its input at index `input`: a scalar, or a vector of one element.
    fn scalar_input(&self, input: usize, mut value: Tensor) -> TractResult<TValue> {
        if self.body.model.input_fact(input)?.rank() == 1 {
            value.insert_axis(0)?;
        }
        Ok(value.into_tvalue())
    }
}

/// Returns the only element of `value`.
fn scalar<T: Datum + Copy>(value: &TValue) -> TractResult<T> {
    let found = elements::<T>(value)?;
    ensure!(found.len() == 1, "expected a single element, found shape {:?}", value.shape());
    Ok(found.try_as_plain_ram()?.as_slice::<T>()?[0])
}

/// Returns the size of a tensor in bytes.
fn size(tensor: &Tensor) -> usize {
    tensor.len() * tensor.datum_type().size_of()
}

/// Returns a scan output of a loop without iterations. The first axis is empty. `fact` contains the element type and
/// the lengths of all other axes.
fn empty(fact: &TypedFact, context: &EvalContext) -> TractResult<Tensor> {
    let dims =
        fact.shape.iter().skip(1).map(|dim| dim.eval(context.symbols).to_usize().unwrap_or(0));
    let shape: TVec<usize> = std::iter::once(0).chain(dims).collect();
    Tensor::zero_dt(fact.datum_type, &shape)
}
