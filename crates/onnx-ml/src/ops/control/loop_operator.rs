//! [Loop](https://onnx.ai/onnx/operators/onnx__Loop.html): runs a subgraph repeatedly.
//!
//! The inputs are an optional maximum trip count, an optional condition, and the initial values of
//! the loop-carried values. Each iteration of the body returns the condition for the next
//! iteration, the new loop-carried values, and one element of each scan output. The outputs are the
//! final loop-carried values and the scan outputs, whose first axis is the iteration.
//!
//! A loop-carried value may have different dimensions in each iteration, but always has the same
//! rank. A loop fails after 131,072 iterations, or if its values exceed 1 GiB.

mod iterated;

use crate::operator::adapter::Built;
use crate::ops::control::subgraph::{Runnable, Subgraph};
use crate::ops::control::subgraph_op::SubgraphOp;
use crate::passes::integer_outputs;
use iterated::RunnableLoop;
pub(crate) use iterated::{MAX_BYTES, MAX_ITERATIONS};
use std::collections::HashMap;
use tract_onnx::model::{ParsingContext, optional_inputs, optional_outputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_hir::internal::*;

/// Builds the operator.
pub fn loop_operator(context: &ParsingContext, node: &NodeProto) -> Built {
    let body = Subgraph::parse(context, node.get_attr("body")?)?;
    let mut input_indices = optional_inputs(node);
    let mut next = || input_indices.next().flatten();
    let (trips, condition) = (next(), next());
    let carried = node.input.len().saturating_sub(2);
    let omitted = node.input.iter().skip(2).position(|name| name.is_empty());
    node.expect(omitted.is_none(), || {
        let index = omitted.unwrap_or_default();
        format!("an initial value for each loop-carried value, found none for value {index}")
    })?;
    let (expected, found) = (2 + carried, body.input_count() - body.outer.len());
    node.expect_attr("body", found == expected, || {
        format!("a graph with {expected} inputs, found {found}")
    })?;
    let (expected, found) = (1 + node.output.len(), body.output_count());
    node.expect_attr("body", found == expected && found > carried, || {
        format!("a graph with {expected} outputs, found {found}")
    })?;
    let output_indices = optional_outputs(node).take(node.output.len()).collect();
    let outer = body.outer.clone();
    Ok((Box::new(Loop { body, trips, condition, carried, output_indices }), outer))
}

/// The operator before its inputs are known. Indices of inputs do not count the inputs that the
/// node omits.
#[derive(Debug, Clone)]
struct Loop {
    body: Subgraph,
    /// Index of the input with the maximum trip count.
    trips: Option<usize>,
    /// Index of the input with the initial condition.
    condition: Option<usize>,
    /// Number of loop-carried values.
    carried: usize,
    /// For each output of the loop, the index of this output among the node's outputs. `None` if the node omits the
    /// output.
    output_indices: Vec<Option<usize>>,
}

/// Two operators are never equal, as for [`SubgraphOp`].
impl PartialEq for Loop {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Eq for Loop {}

impl Loop {
    /// Returns the index of the first loop-carried input.
    fn first_carried(&self) -> usize {
        [self.trips, self.condition].iter().flatten().count()
    }

    /// Returns the fact of the body's input at index `input`: the iteration number or the
    /// condition. Both are scalars, but the body may declare them as vectors of one element.
    fn scalar(&self, input: usize, datum_type: DatumType) -> TractResult<TypedFact> {
        match self.body.declared_rank(input)? {
            Some(1) => Ok(datum_type.fact([1])),
            _ => Ok(datum_type.scalar_fact()),
        }
    }

    /// Infers the facts of the loop-carried values and of the elements of the scan outputs, from
    /// the inputs of the loop.
    ///
    /// Starts from the dimensions of the initial values. If an iteration would change a dimension, the dimension
    /// becomes unknown, and the body is analyzed again. This is repeated until no dimension changes.
    fn infer_outputs(&self, inputs: &[InferenceFact]) -> TractResult<TVec<InferenceFact>> {
        let first_carried = self.first_carried();
        // Facts of the body's inputs: the iteration number, the condition, the loop-carried values,
        // and the values of the outer graph.
        let mut facts: TVec<InferenceFact> = tvec!(
            self.scalar(0, i64::datum_type())?.into(),
            self.scalar(1, bool::datum_type())?.into()
        );
        facts.extend(inputs[first_carried..].iter().cloned());
        for fact in &mut facts[2..2 + self.carried] {
            *fact = integers(fact).without_value();
        }
        loop {
            // The first output is the condition; the loop-carried values follow.
            let outputs = self.body.infer(&facts)?;
            let mut changed = false;
            for index in 0..self.carried {
                let (fact, output) = (&mut facts[2 + index], &outputs[1 + index]);
                changed |= forget_changed_dims(&mut fact.shape, &output.shape);
            }
            if !changed {
                return Ok(facts[2..2 + self.carried]
                    .iter()
                    .cloned()
                    .chain(outputs[1 + self.carried..].iter().cloned())
                    .collect());
            }
        }
    }
}

/// Returns `fact` with integers instead of dimensions (`TDim`) as the type.
fn integers(fact: &InferenceFact) -> InferenceFact {
    match fact.datum_type.concretize() {
        Some(datum_type) if datum_type.is_tdim() => {
            fact.clone().without_datum_type().with_datum_type(i64::datum_type())
        }
        _ => fact.clone(),
    }
}

/// Compares `shape` with `after`, the shape after one iteration. Each dimension that differs becomes
/// unknown in `shape`. If the ranks differ, the whole shape becomes unknown. Returns `true` if
/// `shape` changed.
fn forget_changed_dims(shape: &mut ShapeFactoid, after: &ShapeFactoid) -> bool {
    let (Some(rank), Some(found)) = (shape.rank().concretize(), after.rank().concretize()) else {
        return false;
    };
    if rank != found {
        *shape = ShapeFactoid::open(tvec!());
        return true;
    }
    let mut changed = false;
    let dims = shape.dims().zip(after.dims()).map(|(dim, after)| {
        let differs = dim.concretize().is_some() && after.concretize() != dim.concretize();
        changed |= differs;
        if differs { GenericFactoid::Any } else { dim.clone() }
    });
    let dims = dims.collect();
    *shape = ShapeFactoid::closed(dims);
    changed
}

impl Op for Loop {
    fn name(&self) -> StaticName {
        "Loop".into()
    }

    not_a_typed_op!();
}

impl EvalOp for Loop {
    not_out_of_plan!();
}

impl InferenceOp for Loop {
    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(TVec<InferenceFact>, TVec<InferenceFact>, TVec<InferenceFact>)> {
        let inputs: TVec<InferenceFact> = inputs.into_iter().cloned().collect();
        let mut outputs: TVec<InferenceFact> = outputs.into_iter().cloned().collect();
        // The body can only be analyzed once type and rank of all its inputs are known.
        let is_known =
            |fact: &InferenceFact| fact.datum_type.is_concrete() && fact.shape.rank().is_concrete();
        if inputs.iter().all(is_known) {
            let found = self.infer_outputs(&inputs)?;
            for (index, (output, mut fact)) in self.output_indices.iter().zip(found).enumerate() {
                let Some(output) = output else { continue };
                fact = integers(&fact).without_value();
                // A scan output has an additional first axis, the iteration.
                if index >= self.carried
                    && let Some(rank) = fact.shape.rank().concretize()
                {
                    let element_dims = fact.shape.dims().take(rank as usize).cloned();
                    let dims = std::iter::once(GenericFactoid::Any).chain(element_dims).collect();
                    fact = fact.with_shape(ShapeFactoid::closed(dims));
                }
                outputs[*output].unify_with(&fact)?;
            }
        }
        Ok((inputs, outputs, observed.into_iter().cloned().collect()))
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.output_indices.iter().flatten().count())
    }

    fn to_typed(
        &self,
        _: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let mut inputs: TVec<OutletId> = node.inputs.iter().map(|input| mapping[input]).collect();
        let first_carried = self.first_carried();
        let carried = first_carried..first_carried + self.carried;
        for input in &mut inputs[carried.clone()] {
            if target.outlet_fact(*input)?.datum_type.is_tdim() {
                let name = target.unique_name(format!("{}.integers", node.name));
                *input = target.wire_node(name, cast(i64::datum_type()), &[*input])?[0];
            }
        }
        let facts = inputs.iter().map(|input| target.outlet_fact(*input).cloned());
        let facts = facts.collect::<TractResult<TVec<TypedFact>>>()?;
        let (body, outputs) = self.typed(&facts, target)?;
        let runnable = RunnableLoop {
            body: Runnable::new(body)?,
            trips: self.trips,
            condition: self.condition,
            first_carried,
            carried: self.carried,
            output_indices: self.output_indices.clone(),
        };
        target.wire_node(&node.name, SubgraphOp { run: runnable, outputs }, &inputs)
    }

    as_op!();
}

impl Loop {
    /// Returns the typed body and the facts of the node's outputs. `inputs` are the facts of the
    /// node's inputs.
    ///
    /// Like [`Loop::infer_outputs`], this function analyzes the body again until the dimensions of
    /// the loop-carried values no longer change. A dimension that changes between iterations gets
    /// one symbol in the body, and a different symbol in the output, because the last iteration may
    /// change it once more.
    fn typed(
        &self,
        inputs: &[TypedFact],
        target: &TypedModel,
    ) -> TractResult<(TypedModel, TVec<TypedFact>)> {
        let first_carried = self.first_carried();
        let symbol = || TDim::from(target.symbols.new_with_prefix("loop"));
        // Facts of the body's inputs, in the order of [`Loop::infer_outputs`].
        let mut facts =
            tvec!(self.scalar(0, i64::datum_type())?, self.scalar(1, bool::datum_type())?);
        facts.extend(inputs[first_carried..].iter().cloned());
        for fact in &mut facts[2..2 + self.carried] {
            *fact = fact.datum_type.fact(fact.shape.clone());
        }
        // For each loop-carried value, `true` for each axis whose dimension changes.
        let mut changing: Vec<TVec<bool>> =
            facts[2..2 + self.carried].iter().map(|fact| tvec!(false; fact.rank())).collect();
        let body = loop {
            let mut body = self.body.typed(&facts)?;
            integer_outputs::cast_dimensions(&mut body)?;
            let mut again = false;
            for (index, changing) in changing.iter_mut().enumerate() {
                let (fact, output) = (&mut facts[2 + index], body.output_fact(1 + index)?);
                let (before, after) = (fact.datum_type, output.datum_type);
                ensure!(
                    before == after,
                    "expected the loop-carried value {index} to stay {before:?}, found {after:?}"
                );
                let (rank, found) = (fact.rank(), output.rank());
                ensure!(
                    rank == found,
                    "expected the loop-carried value {index} to keep rank {rank}, found {found}"
                );
                for (axis, changing) in changing.iter_mut().enumerate() {
                    if !*changing && fact.shape[axis] != output.shape[axis] {
                        *changing = true;
                        again = true;
                        fact.shape.set(axis, symbol());
                    }
                }
            }
            if !again {
                break body;
            }
        };
        let mut outputs = tvec!();
        for (index, output) in self.output_indices.iter().enumerate() {
            if output.is_none() {
                continue;
            }
            let found = body.output_fact(1 + index)?;
            let dims: TVec<TDim> = match changing.get(index) {
                Some(changing) => found
                    .shape
                    .iter()
                    .zip(changing)
                    .map(|(dim, changing)| if *changing { symbol() } else { dim.clone() })
                    .collect(),
                // The dimensions of a scan output are the number of iterations and the dimensions of an element. If a
                // dimension contains a symbol that only the body knows, the dimension becomes a new symbol.
                None => {
                    let is_input_dim =
                        |dim: &TDim| facts.iter().any(|fact| fact.shape.contains(dim));
                    let element_dims = found.shape.iter().map(|dim| {
                        if dim.to_usize().is_ok() || is_input_dim(dim) {
                            dim.clone()
                        } else {
                            symbol()
                        }
                    });
                    std::iter::once(symbol()).chain(element_dims).collect()
                }
            };
            outputs.push(found.datum_type.fact(dims));
        }
        Ok((body, outputs))
    }
}
