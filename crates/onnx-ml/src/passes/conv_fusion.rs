//! Replaces convolutions with constant weights by [`Conv`], and fuses a convolution with the nodes after it: a bias, an
//! addition of another tensor, and bounds (Relu, Clip).

use super::conv::Conv;
use crate::operator::adapter::kernel_op;
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

/// A convolution that was found in the model.
struct Found {
    /// Kernel shape, strides, dilations, padding and layout of the axes.
    pool: PoolSpec,
    groups: usize,
    /// Weights, `[output channel, input channel of a group, row, column]`.
    weights: Arc<Tensor>,
    /// Bias of each output channel.
    bias: Vec<f32>,
    input: OutletId,
}

/// Returns the convolution that node `id` computes, or `None` if the node is not a supported
/// convolution.
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

/// Recognizes tract's operator for convolutions.
fn spatial(
    model: &TypedModel,
    node: &TypedNode,
    op: &ops::cnn::Conv,
) -> TractResult<Option<Found>> {
    let &[input, weights, bias] = node.inputs.as_slice() else { return Ok(None) };
    let constants = [weights, bias].map(|outlet| constant(model, outlet));
    let [Some(weights), Some(bias)] = constants else { return Ok(None) };
    let outputs = op.pool_spec.output_channels;
    let is_supported = (1..=2).contains(&op.pool_spec.rank())
        && op.kernel_fmt == KernelFormat::OIHW
        && op.q_params.is_none()
        && (bias.len() == 1 || bias.len() == outputs);
    if !is_supported {
        return Ok(None);
    }
    let bias = bias.try_as_plain_ram()?.as_slice::<f32>()?.iter().copied();
    let bias = bias.cycle().take(outputs).collect();
    Ok(Some(Found { pool: op.pool_spec.clone(), groups: op.group, weights, bias, input }))
}

/// Recognizes a 1×1 convolution, which tract turns into an Einstein sum such as `NIHW,OI->NOHW`. If
/// the batch has one row, tract also removes the axis of the batch (`IHW,OI->OHW`).
fn pointwise(model: &TypedModel, node: &TypedNode, op: &EinSum) -> TractResult<Option<Found>> {
    let &[input, weights] = node.inputs.as_slice() else { return Ok(None) };
    let Some(weights) = constant(model, weights) else { return Ok(None) };
    let (input_axes, output_axes) = op.axes.to_strs();
    let [x_axes, weights_axes] = input_axes.as_slice() else { return Ok(None) };
    let [x_axes, y_axes] = [x_axes, &output_axes[0]].map(|axes| axes.chars().collect::<Vec<_>>());
    // The axes of input and output differ in the channels only.
    let Some(channel) = (0..x_axes.len()).find(|axis| x_axes.get(*axis) != y_axes.get(*axis))
    else {
        return Ok(None);
    };
    let rank = x_axes.len() - channel - 1;
    let has_same_rest =
        x_axes.len() == y_axes.len() && x_axes[channel + 1..] == y_axes[channel + 1..];
    if !has_same_rest || channel > 1 || !(1..=2).contains(&rank) {
        return Ok(None);
    }
    let shapes = [&model.outlet_fact(input)?.shape, &node.outputs[0].fact.shape];
    let channels =
        shapes.map(|shape| shape[channel].as_i64().and_then(|len| usize::try_from(len).ok()));
    let [Some(inputs), Some(outputs)] = channels else { return Ok(None) };
    let (i, o) = (x_axes[channel], y_axes[channel]);
    let transposed = *weights_axes == format!("{i}{o}");
    // A vector is a matrix with one input channel (`O`) or one output channel (`I`).
    let is_in_order = [format!("{o}{i}"), i.to_string(), o.to_string()].contains(weights_axes);
    let is_supported = weights.len() == inputs * outputs && op.q_params.is_none();
    if !is_supported || !(is_in_order || transposed) {
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
    /// Replaces the convolution at node `id` and the nodes that can be fused with it. If the
    /// channels are the last axis, additional nodes move the axis before and after the convolution.
    fn replace(mut self, model: &mut TypedModel, id: usize) -> TractResult<()> {
        self.take_strides(model);
        let format = self.pool.data_format;
        let channels_last = format.c_is_last();
        let first = usize::from(format.has_n());
        let channel_axis = if channels_last { first + self.pool.rank() } else { first };
        // The last of the nodes that are replaced so far.
        let mut last = id;
        // Additions of constants that only vary by channel become part of the bias.
        while let Some((next, bias)) = binary_successor::<math::Add>(model, last)? {
            let Some(bias) = constant(model, bias) else { break };
            if !varies_by_channel_only(&bias, channel_axis, model.outlet_fact(last.into())?.rank())
            {
                break;
            }
            let added = bias.try_as_plain_ram()?.as_slice::<f32>()?.iter();
            self.bias.iter_mut().zip(added.cycle()).for_each(|(bias, added)| *bias += added);
            last = next;
        }
        // The addition of a computed tensor of the same shape (a residual connection).
        let mut added = None;
        if !channels_last
            && let Some((next, other)) = binary_successor::<math::Add>(model, last)?
            && *model.outlet_fact(other)? == model.outlet_fact(last.into())?.without_value()
        {
            added = Some(other);
            last = next;
        }
        // Bounds: Relu is a maximum, Clip is a maximum and a minimum.
        let mut range = (f32::NEG_INFINITY, f32::INFINITY);
        if let Some((next, least)) = bound::<math::Max>(model, last)? {
            range.0 = least;
            last = next;
        }
        if let Some((next, most)) = bound::<math::Min>(model, last)? {
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

    /// Moves strides from `Downsample` nodes before a 1×1 convolution into the convolution. tract creates the
    /// `Downsample` nodes when it declutters the model.
    fn take_strides(&mut self, model: &TypedModel) {
        let first = self.pool.data_format.h_axis();
        let is_1x1 = self.pool.kernel_shape.iter().all(|len| *len == 1);
        if !is_1x1 {
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

/// Returns the value of an outlet, or `None` if it is not a constant of type `f32`.
pub fn constant(model: &TypedModel, outlet: OutletId) -> Option<Arc<Tensor>> {
    let constant = model.outlet_fact(outlet).ok()?.konst.clone()?;
    (constant.datum_type() == f32::datum_type()).then_some(constant)
}

/// Returns `true` if the tensor, broadcast to `rank` axes, varies only along the axis
/// `channel_axis`.
fn varies_by_channel_only(tensor: &Tensor, channel_axis: usize, rank: usize) -> bool {
    let missing = rank - tensor.rank().min(rank);
    tensor.shape().iter().enumerate().all(|(axis, len)| *len == 1 || axis + missing == channel_axis)
}

/// Returns the only successor of node `id` and the bound that it applies, or `None` if the
/// successor is not `O` (a minimum or maximum) with a constant of one element.
fn bound<O: BinMiniOp>(model: &TypedModel, id: usize) -> TractResult<Option<(usize, f32)>> {
    let Some((next, limit)) = binary_successor::<O>(model, id)? else { return Ok(None) };
    let Some(limit) = constant(model, limit).filter(|limit| limit.len() == 1) else {
        return Ok(None);
    };
    let limit = limit.cast_to_scalar::<f32>()?;
    Ok((!limit.is_nan()).then_some((next, limit)))
}

/// Returns the only successor of node `id` and the other operand of the successor, or `None` if the
/// successor is not a binary operator `O` whose output has the shape of the node's output.
pub fn binary_successor<O: BinMiniOp>(
    model: &TypedModel,
    id: usize,
) -> TractResult<Option<(usize, OutletId)>> {
    let node = model.node(id);
    let [output] = node.outputs.as_slice() else { return Ok(None) };
    let [successor] = output.successors.as_slice() else { return Ok(None) };
    let next = model.node(successor.node);
    let is_output = model.outputs.contains(&id.into());
    let is_operator = next.op_as::<TypedBinOp>().is_some_and(|op| op.0.is::<O>() && op.1.is_none());
    if is_output || !is_operator || next.outputs[0].fact.shape != output.fact.shape {
        return Ok(None);
    }
    Ok(Some((next.id, next.inputs[1 - successor.slot])))
}
