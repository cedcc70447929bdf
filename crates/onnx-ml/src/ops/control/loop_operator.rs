//! [Loop](https://onnx.ai/onnx/operators/onnx__Loop.html): runs a subgraph repeatedly.
//!
//! Loop-carried values may change their dimensions between iterations, but not their rank. A loop
//! fails after 131,072 iterations or if its values exceed 1 GiB.

mod iterated;

use crate::operator::kernel::Built;
use crate::ops::control::subgraph::{Runnable, Subgraph};
use crate::ops::control::subgraph_op::SubgraphOp;
use crate::passes::integer_outputs;
use iterated::Iterated;
use std::collections::HashMap;
use tract_onnx::model::{ParsingContext, optional_inputs, optional_outputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_hir::internal::*;

pub fn loop_operator(context: &ParsingContext, node: &NodeProto) -> Built {
    let body = Subgraph::parse(context, node.get_attr("body")?)?;
    let mut positions = optional_inputs(node);
    let mut next = || positions.next().flatten();
    let (trips, condition) = (next(), next());
    let carried = node.input.len().saturating_sub(2);
    let present = node.input.iter().skip(2).all(|name| !name.is_empty());
    node.expect(present, || "an initial value for all that is carried".to_owned())?;
    let (expected, found) = (2 + carried, body.inputs() - body.outer.len());
    node.expect_attr("body", found == expected, || {
        format!("a graph of {expected} inputs, found {found}")
    })?;
    let (expected, found) = (1 + node.output.len(), body.outputs());
    node.expect_attr("body", found == expected && found > carried, || {
        format!("a graph of {expected} outputs, found {found}")
    })?;
    let slots = optional_outputs(node).take(node.output.len()).collect();
    let outer = body.outer.clone();
    Ok((Box::new(Loop { body, trips, condition, carried, slots }), outer))
}

#[derive(Debug, Clone)]
struct Loop {
    body: Subgraph,
    /// Index of the input with the maximum trip count.
    trips: Option<usize>,
    /// Index of the input with the initial condition.
    condition: Option<usize>,
    /// Number of loop-carried values.
    carried: usize,
    /// Position of each of the loop's outputs among the node's outputs, if the node has it.
    slots: Vec<Option<usize>>,
}

impl PartialEq for Loop {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Eq for Loop {}

impl Loop {
    /// Returns the index of the first loop-carried input.
    fn first(&self) -> usize {
        [self.trips, self.condition].iter().flatten().count()
    }

    /// Returns the fact of the body's iteration number or condition.
    fn scalar(&self, input: usize, datum_type: DatumType) -> TractResult<TypedFact> {
        match self.body.declared_rank(input)? {
            Some(1) => Ok(datum_type.fact([1])),
            _ => Ok(datum_type.scalar_fact()),
        }
    }

    /// Returns the body's outputs for the given inputs. Dimensions of loop-carried values that
    /// change are left open.
    fn known_outputs(&self, inputs: &[InferenceFact]) -> TractResult<TVec<InferenceFact>> {
        let first = self.first();
        let mut facts: TVec<InferenceFact> = tvec!(
            self.scalar(0, i64::datum_type())?.into(),
            self.scalar(1, bool::datum_type())?.into()
        );
        facts.extend(inputs[first..].iter().cloned());
        for fact in &mut facts[2..2 + self.carried] {
            *fact = integers(fact).without_value();
        }
        loop {
            let outputs = self.body.infer(&facts)?;
            let mut changed = false;
            for index in 0..self.carried {
                let (fact, output) = (&mut facts[2 + index], &outputs[1 + index]);
                changed |= open_where_different(&mut fact.shape, &output.shape);
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

/// Replaces dimensions (`TDim`) by integers.
fn integers(fact: &InferenceFact) -> InferenceFact {
    match fact.datum_type.concretize() {
        Some(datum_type) if datum_type.is_tdim() => {
            fact.clone().without_datum_type().with_datum_type(i64::datum_type())
        }
        _ => fact.clone(),
    }
}

/// Opens the dimensions that differ; returns `true` if there are any.
fn open_where_different(shape: &mut ShapeFactoid, after: &ShapeFactoid) -> bool {
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
        // The body can only be analyzed once all its inputs are known.
        let known =
            |fact: &InferenceFact| fact.datum_type.is_concrete() && fact.shape.rank().is_concrete();
        if inputs.iter().all(known) {
            let found = self.known_outputs(&inputs)?;
            for (index, (slot, mut fact)) in self.slots.iter().zip(found).enumerate() {
                let Some(slot) = slot else { continue };
                fact = integers(&fact).without_value();
                if index >= self.carried
                    && let Some(rank) = fact.shape.rank().concretize()
                {
                    let each = fact.shape.dims().take(rank as usize).cloned();
                    let dims = std::iter::once(GenericFactoid::Any).chain(each).collect();
                    fact = fact.with_shape(ShapeFactoid::closed(dims));
                }
                outputs[*slot].unify_with(&fact)?;
            }
        }
        Ok((inputs, outputs, observed.into_iter().cloned().collect()))
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.slots.iter().flatten().count())
    }

    fn to_typed(
        &self,
        _: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let mut inputs: TVec<OutletId> = node.inputs.iter().map(|input| mapping[input]).collect();
        let first = self.first();
        let carried = first..first + self.carried;
        for input in &mut inputs[carried.clone()] {
            if target.outlet_fact(*input)?.datum_type.is_tdim() {
                let name = target.unique_name(format!("{}.integers", node.name));
                *input = target.wire_node(name, cast(i64::datum_type()), &[*input])?[0];
            }
        }
        let facts = inputs.iter().map(|input| target.outlet_fact(*input).cloned());
        let facts = facts.collect::<TractResult<TVec<TypedFact>>>()?;
        let (body, outputs) = self.typed(&facts, target)?;
        let iterated = Iterated {
            body: Runnable::new(body)?,
            trips: self.trips,
            condition: self.condition,
            first,
            carried: self.carried,
            slots: self.slots.clone(),
        };
        target.wire_node(&node.name, SubgraphOp { run: iterated, outputs }, &inputs)
    }

    as_op!();
}

impl Loop {
    /// Returns the body and the facts of the node's outputs. A dimension that changes gets one
    /// symbol inside the body and another for the result.
    fn typed(
        &self,
        inputs: &[TypedFact],
        target: &TypedModel,
    ) -> TractResult<(TypedModel, TVec<TypedFact>)> {
        let first = self.first();
        let symbol = || TDim::from(target.symbols.new_with_prefix("loop"));
        let mut facts =
            tvec!(self.scalar(0, i64::datum_type())?, self.scalar(1, bool::datum_type())?);
        facts.extend(inputs[first..].iter().cloned());
        for fact in &mut facts[2..2 + self.carried] {
            *fact = fact.datum_type.fact(fact.shape.clone());
        }
        let mut changing: Vec<TVec<bool>> =
            facts[2..2 + self.carried].iter().map(|fact| tvec!(false; fact.rank())).collect();
        let body = loop {
            let mut body = self.body.typed(&facts)?;
            integer_outputs::cast_dimensions(&mut body)?;
            let mut again = false;
            for (index, changing) in changing.iter_mut().enumerate() {
                let (fact, output) = (&mut facts[2 + index], body.output_fact(1 + index)?);
                let (before, after) = (fact.datum_type, output.datum_type);
                ensure!(before == after, "expected to carry {before:?}, found {after:?}");
                let (rank, found) = (fact.rank(), output.rank());
                ensure!(rank == found, "expected to carry rank {rank}, found {found}");
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
        for (index, slot) in self.slots.iter().enumerate() {
            if slot.is_none() {
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
                None => {
                    let own = |dim: &TDim| facts.iter().any(|fact| fact.shape.contains(dim));
                    let each = found.shape.iter().map(|dim| {
                        if dim.to_usize().is_ok() || own(dim) { dim.clone() } else { symbol() }
                    });
                    std::iter::once(symbol()).chain(each).collect()
                }
            };
            outputs.push(found.datum_type.fact(dims));
        }
        Ok((body, outputs))
    }
}
