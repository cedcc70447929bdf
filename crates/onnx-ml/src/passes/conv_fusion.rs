//! Finds convolutions with constant weights in a decluttered model, and fuses them with bias,
//! addition and activation nodes after them.

use super::conv::Conv;
use crate::operator::kernel::kernel_op;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops;
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_core::ops::cnn::{KernelFormat, PaddingSpec, PoolSpec};
use tract_onnx::tract_core::ops::downsample::Downsample;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::DataFormat;
use tract_onnx::tract_hir::internal::*;

/// Replaces convolutions with constant weights in a decluttered model.
///
/// # Errors
///
/// Returns an error if the model is invalid.
pub fn fuse(model: &mut TypedModel) -> TractResult<()> {
    for id in model.eval_order()? {
        let Some(found) = convolution(model, id)? else { continue };
        if model.outlet_fact(found.input)?.datum_type == f32::datum_type() {
            found.replace(model, id)?;
        }
    }
    Ok(())
}

/// A convolution found in the model.
struct Found {
    pool: PoolSpec,
    groups: usize,
    /// `[outputs, inputs of a group, height, width]`
    weights: Arc<Tensor>,
    bias: Vec<f32>,
    input: OutletId,
}

fn convolution(model: &TypedModel, id: usize) -> TractResult<Option<Found>> {
    let node = model.node(id);
    let [Outlet { fact, .. }] = node.outputs.as_slice() else { return Ok(None) };
    if fact.datum_type != f32::datum_type() || !(2..=4).contains(&fact.rank()) {
        return Ok(None);
    }
    match (node.op_as::<ops::cnn::Conv>(), node.op_as::<EinSum>()) {
        (Some(op), _) => spatial(model, node, op),
        (_, Some(op)) => pointwise(model, node, op),
        _ => Ok(None),
    }
}

fn spatial(
    model: &TypedModel,
    node: &TypedNode,
    op: &ops::cnn::Conv,
) -> TractResult<Option<Found>> {
    let &[input, weights, bias] = node.inputs.as_slice() else { return Ok(None) };
    let constants = [weights, bias].map(|outlet| constant(model, outlet));
    let [Some(weights), Some(bias)] = constants else { return Ok(None) };
    let outputs = op.pool_spec.output_channels;
    let known = (1..=2).contains(&op.pool_spec.rank())
        && op.kernel_fmt == KernelFormat::OIHW
        && op.q_params.is_none()
        && (bias.len() == 1 || bias.len() == outputs);
    if !known {
        return Ok(None);
    }
    let bias = bias.try_as_plain_ram()?.as_slice::<f32>()?.iter().copied();
    let bias = bias.cycle().take(outputs).collect();
    Ok(Some(Found { pool: op.pool_spec.clone(), groups: op.group, weights, bias, input }))
}

/// Recognizes a 1×1 convolution, which tract turns into a matrix product. tract also removes the
/// batch axis if the batch is one row.
fn pointwise(model: &TypedModel, node: &TypedNode, op: &EinSum) -> TractResult<Option<Found>> {
    let &[input, weights] = node.inputs.as_slice() else { return Ok(None) };
    let Some(weights) = constant(model, weights) else { return Ok(None) };
    let (of_inputs, of_output) = op.axes.to_strs();
    let [of_x, of_weights] = of_inputs.as_slice() else { return Ok(None) };
    let [of_x, of_y] = [of_x, &of_output[0]].map(|axes| axes.chars().collect::<Vec<_>>());
    let Some(channel) = (0..of_x.len()).find(|axis| of_x.get(*axis) != of_y.get(*axis)) else {
        return Ok(None);
    };
    let rank = of_x.len() - channel - 1;
    let same = of_x.len() == of_y.len() && of_x[channel + 1..] == of_y[channel + 1..];
    if !same || channel > 1 || !(1..=2).contains(&rank) {
        return Ok(None);
    }
    let shapes = [&model.outlet_fact(input)?.shape, &node.outputs[0].fact.shape];
    let channels =
        shapes.map(|shape| shape[channel].as_i64().and_then(|len| usize::try_from(len).ok()));
    let [Some(inputs), Some(outputs)] = channels else { return Ok(None) };
    let (i, o) = (of_x[channel], of_y[channel]);
    let transposed = *of_weights == format!("{i}{o}");
    let known = [format!("{o}{i}"), i.to_string(), o.to_string()].contains(of_weights);
    let whole = weights.len() == inputs * outputs && op.q_params.is_none();
    if !whole || !(known || transposed) {
        return Ok(None);
    }
    let weights = if transposed {
        weights.into_tensor().permute_axes(&[1, 0])?.into_arc_tensor()
    } else {
        weights
    };
    let pool = PoolSpec {
        data_format: [DataFormat::CHW, DataFormat::NCHW][channel],
        kernel_shape: tvec!(1; rank),
        padding: PaddingSpec::Valid,
        dilations: None,
        strides: None,
        input_channels: inputs,
        output_channels: outputs,
    };
    Ok(Some(Found { pool, groups: 1, weights, bias: vec![0.0; outputs], input }))
}

impl Found {
    fn replace(mut self, model: &mut TypedModel, id: usize) -> TractResult<()> {
        self.take_strides(model);
        let format = self.pool.data_format;
        let channels_last = format.c_is_last();
        let first = usize::from(format.has_n());
        let channel_axis = if channels_last { first + self.pool.rank() } else { first };
        let mut last = id;
        while let Some((next, bias)) = followed::<math::Add>(model, last)? {
            let Some(bias) = constant(model, bias) else { break };
            if !by_channel(&bias, channel_axis, model.outlet_fact(last.into())?.rank()) {
                break;
            }
            let added = bias.try_as_plain_ram()?.as_slice::<f32>()?.iter();
            self.bias.iter_mut().zip(added.cycle()).for_each(|(bias, added)| *bias += added);
            last = next;
        }
        let mut added = None;
        if !channels_last
            && let Some((next, other)) = followed::<math::Add>(model, last)?
            && *model.outlet_fact(other)? == model.outlet_fact(last.into())?.without_value()
        {
            added = Some(other);
            last = next;
        }
        let mut range = (f32::NEG_INFINITY, f32::INFINITY);
        if let Some((next, least)) = limit::<math::Max>(model, last)? {
            range.0 = least;
            last = next;
        }
        if let Some((next, most)) = limit::<math::Min>(model, last)? {
            range.1 = most.max(range.0);
            last = next;
        }
        let weights = self.weights.try_as_plain_ram()?;
        let mut patch = TypedModelPatch::default();
        let mut wire = patch.tap_model(model, self.input)?;
        let name = model.node(last).name.clone();
        let data_format = if format.has_n() { DataFormat::NCHW } else { DataFormat::CHW };
        let pool = PoolSpec { data_format, ..self.pool };
        let mut conv = Conv::new(pool, self.groups, weights.as_slice::<f32>()?, &self.bias);
        conv.range = range;
        if channels_last {
            let to_front = AxisOp::Move(channel_axis, first);
            wire = patch.wire_node(format!("{name}.channels_first"), to_front, &[wire])?[0];
            wire = patch.wire_node(format!("{name}.conv"), kernel_op(conv), &[wire])?[0];
            let to_back = AxisOp::Move(first, channel_axis);
            wire = patch.wire_node(&name, to_back, &[wire])?[0];
        } else {
            let added = added.map(|added| patch.tap_model(model, added)).transpose()?;
            let inputs: TVec<OutletId> = std::iter::once(wire).chain(added).collect();
            wire = patch.wire_node(&name, kernel_op(conv), &inputs)?[0];
        }
        patch.shunt_outside(model, last.into(), wire)?;
        patch.apply(model)
    }

    /// Takes strides back into a 1×1 convolution; tract moves them into Downsample nodes before it.
    fn take_strides(&mut self, model: &TypedModel) {
        let first = self.pool.data_format.h_axis();
        let single = self.pool.kernel_shape.iter().all(|len| *len == 1);
        if !single {
            return;
        }
        while let Some(op) = model.node(self.input.node).op_as::<Downsample>() {
            let (Ok(stride), 0) = (usize::try_from(op.stride), op.modulo) else { break };
            let Some(axis) = op.axis.checked_sub(first).filter(|axis| *axis < self.pool.rank())
            else {
                break;
            };
            let mut strides: TVec<usize> = self.pool.strides().into_owned().into();
            strides[axis] *= stride;
            self.pool.strides = Some(strides);
            self.input = model.node(self.input.node).inputs[0];
        }
    }
}

/// Returns the value of an outlet if it is a constant of type `f32`.
pub fn constant(model: &TypedModel, outlet: OutletId) -> Option<Arc<Tensor>> {
    let constant = model.outlet_fact(outlet).ok()?.konst.clone()?;
    (constant.datum_type() == f32::datum_type()).then_some(constant)
}

/// Returns `true` if the tensor, broadcast to `rank` axes, varies along the channel axis only.
fn by_channel(tensor: &Tensor, channel_axis: usize, rank: usize) -> bool {
    let missing = rank - tensor.rank().min(rank);
    tensor.shape().iter().enumerate().all(|(axis, len)| *len == 1 || axis + missing == channel_axis)
}

/// Returns the only successor of node `id` and its bound, if it is a minimum or maximum with a
/// constant.
fn limit<O: BinMiniOp>(model: &TypedModel, id: usize) -> TractResult<Option<(usize, f32)>> {
    let Some((next, limit)) = followed::<O>(model, id)? else { return Ok(None) };
    let Some(limit) = constant(model, limit).filter(|limit| limit.len() == 1) else {
        return Ok(None);
    };
    let limit = limit.cast_to_scalar::<f32>()?;
    Ok((!limit.is_nan()).then_some((next, limit)))
}

/// Returns the only successor of node `id` and its other operand, if it is a binary operator `O`
/// that keeps the shape.
pub fn followed<O: BinMiniOp>(
    model: &TypedModel,
    id: usize,
) -> TractResult<Option<(usize, OutletId)>> {
    let node = model.node(id);
    let [output] = node.outputs.as_slice() else { return Ok(None) };
    let [successor] = output.successors.as_slice() else { return Ok(None) };
    let next = model.node(successor.node);
    let is_output = model.outputs.contains(&id.into());
    let same = next.op_as::<TypedBinOp>().is_some_and(|op| op.0.is::<O>() && op.1.is_none());
    if is_output || !same || next.outputs[0].fact.shape != output.fact.shape {
        return Ok(None);
    }
    Ok(Some((next.id, next.inputs[1 - successor.slot])))
}
