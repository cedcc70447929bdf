//! Chains of element-wise operators.

use super::{Random, compare_model};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::logic::{self, Iff};
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::sigmoid;

#[test]
fn chains_agree_with_their_operators() {
    let mut random = Random(0x0c0f_fee7);
    for rows in [1, 2, 63, 64, 65, 200] {
        for _ in 0..20 {
            let mut model = TypedModel::default();
            let shape = [rows, 1 + random.below(3)];
            let mut values: Vec<OutletId> = ["x", "y"]
                .map(|name| model.add_source(name, f32::fact(shape)).expect("a source"))
                .into();
            for index in 0..1 + random.below(90) {
                let name = format!("node.{index}");
                let value = link(&mut model, &name, &values, &mut random);
                values.push(value.expect("values of one shape fit"));
            }
            let last: Vec<OutletId> = values.iter().rev().take(2).copied().collect();
            model.select_output_outlets(&last).expect("the outputs exist");
            let inputs = [(); 2].map(|()| random.tensor(DatumType::F32, &shape));
            compare_model(model, &inputs);
        }
    }
}

/// Returns a value computed from two earlier ones, or from one and a constant.
fn link(
    model: &mut TypedModel,
    name: &str,
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
    match random.below(10) {
        0 => wire("", Box::new(math::add()), &[a, b]),
        1 => wire("", Box::new(math::sub()), &[a, b]),
        2 => wire("", Box::new(math::max()), &[a, b]),
        3 => wire("", Box::new(math::min()), &[a, b]),
        4 => wire("", Box::new(sigmoid()), &[a]),
        5 => wire("", Box::new(math::abs()), &[a]),
        6 => wire("", Box::new(math::neg()), &[a]),
        7 => {
            let holds = wire(".holds", Box::new(TypedBinOp(comparison, None)), &[a, b])?;
            wire("", Box::new(cast(f32::datum_type())), &[holds])
        }
        8 => {
            let holds = wire(".holds", Box::new(TypedBinOp(comparison, None)), &[a, b])?;
            wire("", Box::new(Iff), &[holds, b, a])
        }
        _ => {
            let squashed = wire(".squashed", Box::new(sigmoid()), &[a])?;
            wire("", Box::new(math::mul()), &[squashed, b])
        }
    }
}
