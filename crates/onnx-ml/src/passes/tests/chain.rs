//! Chains of element-wise operators.

use super::{Random, compare_within};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::logic::{self, Iff};
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::sigmoid;
use tract_onnx::tract_hir::internal::Approximation;

/// Operators whose results are defined exactly. Chains of these operators may contain comparisons,
/// because no difference in rounding can change the result of a comparison.
const EXACT: [Link; 8] =
    [Link::Add, Link::Sub, Link::Max, Link::Min, Link::Abs, Link::Neg, Link::Compare, Link::Select];

/// Operators that include approximations. The results of approximations may differ in the last bits. This list contains
/// no comparisons, because a comparison could turn such a difference into a difference of 1.
const SMOOTH: [Link; 8] = [
    Link::Add,
    Link::Sub,
    Link::Max,
    Link::Min,
    Link::Abs,
    Link::Neg,
    Link::Sigmoid,
    Link::SigmoidTimes,
];

/// A link of a chain: one or two operators.
#[derive(Debug, Clone, Copy)]
enum Link {
    Add,
    Sub,
    Max,
    Min,
    Abs,
    Neg,
    Compare,
    Select,
    Sigmoid,
    SigmoidTimes,
}

#[test]
fn chains_match_tract() {
    let mut random = Random(0x0c0f_fee7);
    let cases = [(EXACT, Approximation::Exact), (SMOOTH, Approximation::Approximate)];
    for (links, approximation) in cases {
        for rows in [1, 2, 63, 64, 65, 200] {
            for _ in 0..10 {
                let (model, inputs) = chain(rows, &links, &mut random);
                compare_within(approximation, model, &inputs);
            }
        }
    }
}

/// Returns a model of up to 90 links in a chain, and its inputs. A link is one or two operators.
fn chain(rows: usize, links: &[Link], random: &mut Random) -> (TypedModel, [Tensor; 2]) {
    let mut model = TypedModel::default();
    let shape = [rows, 1 + random.below(3)];
    let mut values: Vec<OutletId> =
        ["x", "y"].map(|name| model.add_source(name, f32::fact(shape)).expect("a source")).into();
    for index in 0..1 + random.below(90) {
        let link = links[random.below(links.len())];
        let value = add_link(&mut model, &format!("node.{index}"), link, &values, random);
        values.push(value.expect("values of one shape fit"));
    }
    let last: Vec<OutletId> = values.iter().rev().take(2).copied().collect();
    model.select_output_outlets(&last).expect("the outputs exist");
    (model, [(); 2].map(|()| random.tensor(DatumType::F32, &shape)))
}

/// Adds a link whose operands are earlier values or constants. Returns the output.
fn add_link(
    model: &mut TypedModel,
    name: &str,
    link: Link,
    values: &[OutletId],
    random: &mut Random,
) -> TractResult<OutletId> {
    let a = values[values.len() - 1 - random.below(values.len().min(4))];
    let b = match random.below(3) {
        0 => {
            let number = random.tensor(DatumType::F32, &[1, 1]);
            model.add_const(format!("{name}.constant"), number)?
        }
        _ => values[random.below(values.len())],
    };
    let comparison = match random.below(3) {
        0 => logic::comp_lt(),
        1 => logic::comp_gte(),
        _ => logic::comp_eq(),
    };
    let mut wire = |suffix: &str, op: Box<dyn TypedOp>, inputs: &[OutletId]| {
        TractResult::Ok(model.wire_node(format!("{name}{suffix}"), op, inputs)?[0])
    };
    match link {
        Link::Add => wire("", Box::new(math::add()), &[a, b]),
        Link::Sub => wire("", Box::new(math::sub()), &[a, b]),
        Link::Max => wire("", Box::new(math::max()), &[a, b]),
        Link::Min => wire("", Box::new(math::min()), &[a, b]),
        Link::Sigmoid => wire("", Box::new(sigmoid()), &[a]),
        Link::Abs => wire("", Box::new(math::abs()), &[a]),
        Link::Neg => wire("", Box::new(math::neg()), &[a]),
        Link::Compare => {
            let holds = wire(".holds", Box::new(TypedBinOp(comparison, None)), &[a, b])?;
            wire("", Box::new(cast(f32::datum_type())), &[holds])
        }
        Link::Select => {
            let holds = wire(".holds", Box::new(TypedBinOp(comparison, None)), &[a, b])?;
            wire("", Box::new(Iff), &[holds, b, a])
        }
        Link::SigmoidTimes => {
            let squashed = wire(".squashed", Box::new(sigmoid()), &[a])?;
            wire("", Box::new(math::mul()), &[squashed, b])
        }
    }
}
