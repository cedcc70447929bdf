//! A loop whose body is fully typed and ready to run.

use crate::operator::kernel::elements;
use crate::ops::control::subgraph::Runnable;
use crate::ops::control::subgraph_op::RunSubgraphs;
use std::collections::HashMap;
use tract_onnx::tract_hir::internal::*;

pub const MOST_ITERATIONS: u64 = 1 << 17;

/// Maximum size of the loop-carried values and of the scan outputs, in bytes.
pub const MAX_BYTES: usize = 1 << 30;

#[derive(Debug, Clone)]
pub struct Iterated {
    pub body: Runnable,
    pub trips: Option<usize>,
    pub condition: Option<usize>,
    pub first: usize,
    pub carried: usize,
    pub slots: Vec<Option<usize>>,
}

impl RunSubgraphs for Iterated {
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
        let mut goes_on = match self.condition {
            Some(index) => scalar::<bool>(&inputs[index])?,
            None => true,
        };
        let (carried, outer) = inputs[self.first..].split_at(self.carried);
        let mut carried: TVec<TValue> = carried.into();
        let mut gathered: Vec<Vec<Tensor>> = vec![vec![]; self.slots.len() - self.carried];
        let mut bytes = 0;
        let mut state = self.body.plan.spawn()?;
        let mut iteration = 0;
        while goes_on && trips.is_none_or(|trips| iteration < trips) {
            ensure!(
                iteration < MOST_ITERATIONS,
                "expected an end within {MOST_ITERATIONS} iterations, found none"
            );
            let mut own =
                tvec!(self.counted(0, tensor0(iteration as i64))?, self.counted(1, tensor0(true))?);
            own.extend(carried);
            own.extend(outer.iter().cloned());
            let mut found = state.run(own).with_context(|| format!("iteration {iteration}"))?;
            let each = found.drain(1 + self.carried..);
            for (gathered, value) in gathered.iter_mut().zip(each) {
                let mut value = value.into_tensor();
                value.insert_axis(0)?;
                bytes += size(&value);
                gathered.push(value);
            }
            goes_on = scalar::<bool>(&found[0])?;
            carried = found.drain(1..).collect();
            let bytes = bytes + carried.iter().map(|value| size(value)).sum::<usize>();
            ensure!(
                bytes <= MAX_BYTES,
                "expected values of at most {MAX_BYTES} bytes, found {bytes}"
            );
            iteration += 1;
        }
        let gathered = gathered.iter().enumerate().map(|(index, each)| {
            let slot = self.slots[self.carried + index];
            match slot {
                Some(slot) if each.is_empty() => Ok(empty(&outputs[slot], context)?.into_tvalue()),
                _ if each.is_empty() => Ok(tensor0(0i64).into_tvalue()),
                _ => Ok(Tensor::stack_tensors(0, each)?.into_tvalue()),
            }
        });
        let gathered = gathered.collect::<TractResult<TVec<TValue>>>()?;
        let outputs = carried.into_iter().chain(gathered);
        let wanted = outputs.zip(&self.slots).filter(|(_, slot)| slot.is_some());
        Ok(wanted.map(|(output, _)| output).collect())
    }

    fn with_symbols(&self, values: &HashMap<Symbol, TDim>) -> TractResult<Iterated> {
        Ok(Iterated { body: self.body.with_symbols(values)?, ..self.clone() })
    }
}

impl Iterated {
    /// Returns the value of the body's iteration number or condition.
    fn counted(&self, input: usize, mut value: Tensor) -> TractResult<TValue> {
        if self.body.model.input_fact(input)?.rank() == 1 {
            value.insert_axis(0)?;
        }
        Ok(value.into_tvalue())
    }
}

fn scalar<T: Datum + Copy>(value: &TValue) -> TractResult<T> {
    let found = elements::<T>(value)?;
    ensure!(found.len() == 1, "expected a scalar, found shape {:?}", value.shape());
    Ok(found.try_as_plain_ram()?.as_slice::<T>()?[0])
}

fn size(tensor: &Tensor) -> usize {
    tensor.len() * tensor.datum_type().size_of()
}

/// Returns a scan output of zero iterations.
fn empty(fact: &TypedFact, context: &EvalContext) -> TractResult<Tensor> {
    let dims =
        fact.shape.iter().skip(1).map(|dim| dim.eval(context.symbols).to_usize().unwrap_or(0));
    let shape: TVec<usize> = std::iter::once(0).chain(dims).collect();
    Tensor::zero_dt(fact.datum_type, &shape)
}
