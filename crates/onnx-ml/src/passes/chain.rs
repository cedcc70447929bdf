//! Fuses groups of connected element-wise operators into one node. The node applies all operators
//! to a block of elements before it reads the next block, so that intermediate values stay in the
//! cache and only the result is allocated as a tensor. The interpreter is
//! [`element_wise_chain`](crate::kernels::element_wise_chain).

use crate::encoding::fields::datum_type;
use crate::kernels::element_wise_chain::{Elements, Function, Program, Run, Step};
use crate::kernels::simd::vectorized;
use crate::operator::adapter::wire;
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::tensor;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap, HashSet};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::logic::{self, Iff};
use tract_onnx::tract_core::ops::{math, nn};
use tract_onnx::tract_hir::internal::*;

/// Maximum number of operators in a chain. With this limit, the blocks of all intermediate values
/// of a chain fit in the L1 cache.
const MAX_LENGTH: usize = 64;

/// Replaces chains of two or more element-wise operators, and cubes.
///
/// A chain is built from its last node backwards, in reverse evaluation order. A node joins the chain if all nodes that
/// read the node's output are in the chain, because the fused node has one output.
///
/// # Errors
///
/// Returns an error if the model is invalid.
pub fn fuse(model: &mut TypedModel) -> TractResult<()> {
    let order = model.eval_order()?;
    // Position of each node in the evaluation order. A chain is a sorted set of positions, so that its nodes are in
    // evaluation order.
    let positions: HashMap<usize, usize> = order.iter().copied().zip(0..).collect();
    let outputs: HashSet<usize> = model.outputs.iter().map(|output| output.node).collect();
    // Nodes that belong to a chain. A chain of one node is replaced only if the node is a cube.
    let mut assigned: HashSet<usize> = HashSet::new();
    let mut patches = vec![];
    for (position, last) in order.iter().enumerate().rev() {
        if assigned.contains(last) || function(model, *last).is_none() {
            continue;
        }
        let shape = &model.node(*last).outputs[0].fact.shape;
        let mut chain = BTreeSet::new();
        let mut candidates = BTreeSet::from([position]);
        while let Some(position) = candidates.pop_last()
            && chain.len() < MAX_LENGTH
        {
            let node = model.node(order[position]);
            let inside = |next: &InletId| {
                positions.get(&next.node).is_some_and(|position| chain.contains(position))
            };
            let joins = |output: &Outlet<TypedFact>| {
                output.fact.shape == *shape
                    && output.successors.iter().all(inside)
                    && !outputs.contains(&node.id)
                    && !assigned.contains(&node.id)
                    && function(model, node.id).is_some()
            };
            if node.id == *last || node.outputs.first().is_some_and(joins) {
                chain.insert(position);
                let inputs = node.inputs.iter();
                candidates.extend(inputs.filter_map(|input| positions.get(&input.node)));
            }
        }
        let chain: Vec<usize> = chain.into_iter().map(|position| order[position]).collect();
        assigned.extend(&chain);
        // tract computes a cube with a general power function, which is slow.
        let is_cube = function(model, *last) == Some(Function::Cube);
        if chain.len() > 1 || is_cube {
            patches.extend(patch(model, &chain)?);
        }
    }
    for patch in patches {
        patch.apply(model)?;
    }
    model.compact()
}

/// Returns the function that a node applies to each element, or `None` if the node cannot be part
/// of a chain. Each input must have the shape of the output, or be a constant whose elements are
/// all equal.
fn function(model: &TypedModel, id: usize) -> Option<Function> {
    let node = model.node(id);
    let [output] = &*node.outputs else { return None };
    let types = [f32::datum_type(), bool::datum_type()];
    if !types.contains(&output.fact.datum_type) {
        return None;
    }
    let inputs = model.node_input_facts(id).ok()?;
    let is_cast = node.op_is::<Cast>();
    let is_supported = |fact: &&TypedFact| {
        let has_type =
            types.contains(&fact.datum_type) || is_cast && fact.datum_type == i64::datum_type();
        has_type && (fact.shape == output.fact.shape || constant(fact).is_some())
    };
    let varies = inputs.iter().any(|fact| constant(fact).is_none());
    if !varies || !inputs.iter().all(is_supported) || output.fact.konst.is_some() {
        return None;
    }
    if let Some(cast) = node.op_as::<Cast>() {
        let to_bool = cast.to == bool::datum_type();
        return Some(if to_bool { Function::NotZero } else { Function::Identity });
    }
    if node.op_is::<Iff>() {
        return Some(Function::Choose);
    }
    if let Some(op) = node.op_as::<TypedBinOp>() {
        let floats = inputs.iter().all(|fact| fact.datum_type == f32::datum_type());
        return if op.1.is_some() { None } else { binary_function(op, floats) };
    }
    let op = node.op_as::<ElementWiseOp>()?;
    if op.1.is_some() { None } else { unary_function(op) }
}

/// Returns the function of a binary operator. `floats` is `true` if both inputs are floats;
/// booleans support fewer functions.
fn binary_function(op: &TypedBinOp, floats: bool) -> Option<Function> {
    let op = &op.0;
    Some(match () {
        () if op.downcast_ref::<logic::And>().is_some() => Function::And,
        () if op.downcast_ref::<logic::Or>().is_some() => Function::Or,
        () if op.downcast_ref::<logic::CompEq>().is_some() => Function::Equal,
        () if op.downcast_ref::<logic::CompNE>().is_some() => Function::NotEqual,
        () if !floats => return None,
        () if op.downcast_ref::<math::Add>().is_some() => Function::Add,
        () if op.downcast_ref::<math::Sub>().is_some() => Function::Sub,
        () if op.downcast_ref::<math::Mul>().is_some() => Function::Mul,
        () if op.downcast_ref::<math::Div>().is_some() => Function::Div,
        () if op.downcast_ref::<math::Max>().is_some() => Function::Max,
        () if op.downcast_ref::<math::Min>().is_some() => Function::Min,
        () if op.downcast_ref::<logic::CompLT>().is_some() => Function::Less,
        () if op.downcast_ref::<logic::CompLTE>().is_some() => Function::LessOrEqual,
        () if op.downcast_ref::<logic::CompGT>().is_some() => Function::Greater,
        () if op.downcast_ref::<logic::CompGTE>().is_some() => Function::GreaterOrEqual,
        () => return None,
    })
}

/// Returns the function of an operator of one input.
fn unary_function(op: &ElementWiseOp) -> Option<Function> {
    let op = &op.0;
    Some(match () {
        () if op.is::<logic::Not>() => Function::Not,
        () if op.is::<math::Abs>() => Function::Abs,
        () if op.is::<math::Ceil>() => Function::Ceil,
        () if op.is::<math::Exp>() => Function::Exp,
        () if op.is::<math::Floor>() => Function::Floor,
        () if op.is::<math::Ln>() => Function::Ln,
        () if op.is::<math::Neg>() => Function::Neg,
        () if op.is::<math::Recip>() => Function::Recip,
        () if op.is::<math::Sqrt>() => Function::Sqrt,
        () if op.is::<math::Square>() => Function::Square,
        () if let Some(op) = op.downcast_ref::<math::PowConst>() => match op.exponent {
            3.0 => Function::Cube,
            _ => return None,
        },
        () if op.is::<nn::Sigmoid>() => Function::Sigmoid,
        () => return None,
    })
}

/// Returns the element of a constant whose elements are all equal, or `None` for other facts.
fn constant(fact: &TypedFact) -> Option<f32> {
    let value = match (&fact.konst, &fact.uniform) {
        (Some(value), _) if value.len() == 1 => value,
        (_, Some(value)) => value,
        _ => return None,
    };
    let is_supported = [f32::datum_type(), bool::datum_type()].contains(&value.datum_type());
    let number = value.cast_to::<f32>().ok().filter(|_| is_supported)?;
    number.try_as_plain_ram().ok()?.as_slice::<f32>().ok()?.first().copied()
}

/// Returns a patch that replaces the nodes of a chain, in evaluation order, by one node. The output
/// of the last node is the output of the chain.
fn patch(model: &TypedModel, chain: &[usize]) -> TractResult<Option<TypedModelPatch>> {
    let mut inputs: Vec<OutletId> = vec![];
    let mut constants: Vec<f32> = vec![];
    for outlet in chain.iter().flat_map(|id| &model.node(*id).inputs) {
        match constant(model.outlet_fact(*outlet)?) {
            Some(number) if !constants.iter().any(|one| one.to_bits() == number.to_bits()) => {
                constants.push(number);
            }
            None if !chain.contains(&outlet.node) && !inputs.contains(outlet) => {
                inputs.push(*outlet);
            }
            _ => {}
        }
    }
    let variables = inputs.len() + constants.len();
    let steps: HashMap<usize, usize> = chain.iter().copied().zip(variables..).collect();
    // The registers are, in this order, the inputs, the constants and the results of the steps.
    let register = |outlet: &OutletId| -> TractResult<usize> {
        let found = match constant(model.outlet_fact(*outlet)?) {
            Some(number) => constants
                .iter()
                .position(|one| one.to_bits() == number.to_bits())
                .map(|index| inputs.len() + index),
            None => match steps.get(&outlet.node) {
                Some(step) => Some(*step),
                None => inputs.iter().position(|input| input == outlet),
            },
        };
        found.with_context(|| format!("expected an operand of the chain, found {outlet:?}"))
    };
    let mut program = Program { constants: constants.clone(), steps: vec![] };
    for id in chain {
        let mut operands = [0; 3];
        for (operand, outlet) in operands.iter_mut().zip(&model.node(*id).inputs) {
            *operand = register(outlet)?;
        }
        let function = function(model, *id).with_context(|| {
            format!("expected an element-wise operator, found {}", model.node(*id).name)
        })?;
        program.steps.push(Step { function, operands });
    }
    let Some(last) = chain.last().map(|last| model.node(*last)) else { return Ok(None) };
    let output = last.outputs[0].fact.datum_type;
    let mut patch = TypedModelPatch::default();
    let taps = patch.taps(model, &inputs)?;
    let wires = wire(&last.name, &mut patch, Chain { program, output }, &taps, 1)?;
    patch.shunt_outside(model, last.id.into(), wires[0])?;
    Ok(Some(patch))
}

/// The fused operator.
#[derive(Debug, Deserialize, Serialize)]
pub struct Chain {
    program: Program,
    #[serde(with = "datum_type")]
    /// Type of the output: `f32` or `bool`.
    output: DatumType,
}

impl Kernel for Chain {
    const NAME: &'static str = "Chain";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        Ok(tvec!(Fact::new(self.output, inputs[0].shape.iter().cloned())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let shape = inputs[0].shape();
        let mut elements = Vec::with_capacity(inputs.len());
        for input in inputs {
            ensure!(
                input.shape() == shape,
                "expected inputs of shape {shape:?}, found {:?}",
                input.shape()
            );
            let view = input.try_as_plain_ram()?;
            elements.push(match input.datum_type() {
                DatumType::Bool => Elements::Bool(view.as_slice()?),
                DatumType::I64 => Elements::I64(view.as_slice()?),
                _ => Elements::F32(view.as_slice()?),
            });
        }
        let run = Run { program: &self.program, inputs: &elements, len: inputs[0].len() };
        let result = vectorized(run);
        Ok(vec![match self.output {
            DatumType::Bool => tensor(shape, result.iter().map(|x| *x != 0.0).collect())?,
            _ => tensor(shape, result)?,
        }])
    }
}
