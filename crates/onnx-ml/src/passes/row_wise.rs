//! Detection of row-wise models, in which each output row depends only on the input row with the
//! same index. Such a model can run on a few rows at a time, so that intermediate values stay in
//! the cache.

use std::collections::HashSet;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::array::TypedConcat;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::cnn::{Conv, Deconv, MaxPool, SumPool};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::nn::resize::Resize;
use tract_onnx::tract_core::ops::nn::{Reduce, Softmax};
use tract_onnx::tract_hir::internal::*;

/// Returns the size of one row of the largest tensor of a row-wise model, in bytes. Returns `None` if this function
/// cannot prove that the model is row-wise. `model` must be decluttered.
///
/// # Errors
///
/// Returns an error if the model is invalid.
pub fn row_bytes(model: &TypedModel) -> TractResult<Option<usize>> {
    let Some(batch) = batch(model)? else { return Ok(None) };
    // Values that have one row for each row of the inputs. All other values are constants.
    let mut rows: HashSet<OutletId> = HashSet::new();
    let mut largest = 0;
    for id in model.eval_order()? {
        let node = model.node(id);
        let varies = node.inputs.iter().any(|input| rows.contains(input));
        if varies && !is_row_wise(model, node, &rows)? {
            return Ok(None);
        }
        let is_source = node.inputs.is_empty() && model.inputs.contains(&id.into());
        for (slot, output) in node.outputs.iter().enumerate() {
            let fact = &output.fact;
            if !(varies || is_source) {
                let has_fixed_shape = fact.shape.iter().all(|dim| dim.as_i64().is_some());
                if !has_fixed_shape || fact.datum_type.is_tdim() {
                    return Ok(None);
                }
                continue;
            }
            let row = fact.shape.get(1..).unwrap_or_default();
            let elements: Option<usize> = row.iter().map(|dim| dim.to_usize().ok()).product();
            let (Some(elements), true) = (elements, fact.shape.first() == Some(&batch)) else {
                return Ok(None);
            };
            largest = largest.max(elements * fact.datum_type.size_of());
            rows.insert(OutletId::new(id, slot));
        }
    }
    Ok(model.outputs.iter().all(|output| rows.contains(output)).then_some(largest))
}

/// Returns the symbol for the size of the batch: the first dimension of the first input, if it is a
/// symbol.
fn batch(model: &TypedModel) -> TractResult<Option<TDim>> {
    let Some(first) = model.inputs.first() else { return Ok(None) };
    let length = model.outlet_fact(*first)?.shape.first().cloned();
    Ok(length.filter(|length| matches!(length, TDim::Sym(_))))
}

/// Returns `true` if each output row of the node depends only on the row with the same index of the node's inputs.
/// Inputs that are not in `rows` are constants.
fn is_row_wise(
    model: &TypedModel,
    node: &TypedNode,
    rows: &HashSet<OutletId>,
) -> TractResult<bool> {
    if node.op_is::<MaxPool>() || node.op_is::<SumPool>() {
        let pool = node.op_as::<MaxPool>().map(|op| &op.pool_spec);
        let pool = pool.or(node.op_as::<SumPool>().map(|op| &op.pool_spec));
        return Ok(pool.is_some_and(|pool| pool.data_format.has_n()));
    }
    if let Some(op) = node.op_as::<Resize>() {
        let scales = op.optional_scales_input.and_then(|input| node.inputs.get(input));
        let Some(scales) = scales.map(|scales| model.outlet_fact(*scales)).transpose()? else {
            return Ok(false);
        };
        let Some(scales) = &scales.konst else { return Ok(false) };
        let scales = scales.cast_to::<f32>()?;
        return Ok(scales.try_as_plain_ram()?.as_slice::<f32>()?.first() == Some(&1.0));
    }
    if let Some(op) = node.op_as::<Softmax>() {
        return Ok(!op.axes.contains(&0));
    }
    let has_axes_mapping = node.op_is::<AxisOp>()
        || node.op_is::<Cast>()
        || node.op_is::<Conv>()
        || node.op_is::<Deconv>()
        || node.op_is::<EinSum>()
        || node.op_is::<ElementWiseOp>()
        || node.op_is::<Reduce>()
        || node.op_is::<TypedBinOp>()
        || node.op_is::<TypedConcat>();
    if !has_axes_mapping {
        return Ok(false);
    }
    // For each axis of an output, tract's mapping lists the corresponding axes of the inputs. The
    // first axis of the output must correspond to the first axis of each input in `rows`, and to no
    // axis of other inputs (or to an axis of length 1).
    let (inputs, outputs) = model.node_facts(node.id)?;
    let mapping = node.op.axes_mapping(&inputs, &outputs)?;
    let Ok(axis) = mapping.axis((InOut::Out(0), 0)) else { return Ok(false) };
    let outputs_follow = axis.outputs.iter().all(|axes| **axes == [0]);
    let inputs_follow = node.inputs.iter().enumerate().all(|(slot, input)| {
        let axes = &axis.inputs[slot];
        if rows.contains(input) {
            **axes == [0]
        } else {
            axes.iter().all(|axis| inputs[slot].shape[*axis].is_one())
        }
    });
    Ok(outputs_follow && inputs_follow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::tract_core::ops::math;
    use tract_onnx::tract_core::ops::nn::{Reducer, SoftmaxKind};

    /// Returns [`row_bytes`] of a model that multiplies `[N, 3, 4]` by a constant of shape
    /// `constant` and then applies `op`.
    fn bytes(constant: &[usize], op: impl Into<Box<dyn TypedOp>>) -> Option<usize> {
        let mut model = TypedModel::default();
        let batch: TDim = model.symbols.sym("N").into();
        let shape = [batch, 3.to_dim(), 4.to_dim()];
        let x = model.add_source("x", f32::fact(shape)).expect("a source");
        let factor = Tensor::zero::<f32>(constant).expect("a tensor");
        let factor = model.add_const("factor", factor).expect("a constant");
        let x = model.wire_node("product", math::mul(), &[x, factor]).expect("the inputs fit");
        let y = model.wire_node("op", op, &x).expect("the inputs fit");
        model.select_output_outlets(&y).expect("the output is there");
        row_bytes(&model).expect("a model")
    }

    #[test]
    fn detects_row_wise_models() {
        let softmax = |axis| {
            let kind = SoftmaxKind::Softmax;
            Softmax { axes: tvec!(axis), quant_output_dt: None, kind }
        };
        let sum = |axis| Reduce { axes: tvec!(axis), reducer: Reducer::Sum };
        assert_eq!(bytes(&[1, 3, 1], softmax(1)), Some(48));
        assert_eq!(bytes(&[1, 1, 1], softmax(0)), None);
        assert_eq!(bytes(&[1, 3, 4], sum(2)), Some(48));
        assert_eq!(bytes(&[1, 3, 4], sum(0)), None);
        assert_eq!(bytes(&[1, 1, 1], AxisOp::Move(2, 1)), Some(48));
        assert_eq!(bytes(&[1, 1, 1], AxisOp::Move(0, 1)), None);
        assert_eq!(bytes(&[1, 1, 1], AxisOp::Add(1)), Some(48));
        assert_eq!(bytes(&[1, 1, 1], AxisOp::Add(0)), None);
    }
}
