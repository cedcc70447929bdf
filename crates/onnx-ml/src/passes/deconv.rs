//! Transposed convolutions with constant weights.
//!
//! A transposed convolution with stride s is computed as s ordinary convolutions along each axis.
//! The outputs whose index has remainder r modulo s form the phase r. Output `i * s + r` is the sum
//! of the products of kernel elements `r, r + s, r + 2 s, …` with inputs `i, i - 1, i - 2, …`. So
//! each phase is a convolution of the input, with stride 1, whose kernel has every s-th element of
//! the original kernel in reverse order.
//!
//! One [`Conv`] computes all phases of all output channels. Each phase of a channel is an output channel of the `Conv`.
//! [`Interleaved`] then merges the phases of each channel, and drops the rows and columns that the padding of the
//! operator removes.

use super::conv::Conv;
use crate::kernels::simd::{Vectorized, vectorized};
use crate::kernels::slices::copy;
use crate::operator::adapter::kernel_op;
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::tensor_in_place;
use serde::{Deserialize, Serialize};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::cnn::{Deconv, KernelFormat, PaddingSpec, PoolSpec};
use tract_onnx::tract_core::ops::nn::DataFormat;
use tract_onnx::tract_hir::internal::*;

/// Replaces transposed convolutions with constant weights in a decluttered model.
///
/// # Errors
///
/// Returns an error if the model is invalid.
pub fn fuse(model: &mut TypedModel) -> TractResult<()> {
    for id in model.eval_order()? {
        let node = model.node(id);
        let Some(op) = node.op_as::<Deconv>() else { continue };
        let &[input, weights, bias] = node.inputs.as_slice() else { continue };
        let constants = [weights, bias].map(|outlet| model.outlet_fact(outlet));
        let [Some(weights), Some(bias)] = constants.map(|fact| fact.ok()?.konst.as_ref()) else {
            continue;
        };
        let are_floats = [&**weights, bias].map(Tensor::datum_type) == [f32::datum_type(); 2]
            && model.outlet_fact(input)?.datum_type == f32::datum_type();
        let Some((conv, interleaved)) = replacement(op, weights, bias).filter(|_| are_floats)
        else {
            continue;
        };
        let name = &node.name;
        let mut patch = TypedModelPatch::default();
        let x = patch.tap_model(model, input)?;
        let x = patch.wire_node(format!("{name}.conv"), kernel_op(conv), &[x])?;
        let y = patch.wire_node(name, kernel_op(interleaved), &x)?;
        patch.shunt_outside(model, id.into(), y[0])?;
        patch.apply(model)?;
    }
    Ok(())
}

/// Returns the two operators that replace a transposed convolution, or `None` if it is not
/// supported.
fn replacement(op: &Deconv, weights: &Tensor, bias: &Tensor) -> Option<(Conv, Interleaved)> {
    let pool = &op.pool_spec;
    let format = pool.data_format;
    let rank = pool.rank();
    let axes = 0..rank;
    let is_supported = op.kernel_format == KernelFormat::OIHW
        && matches!(format, DataFormat::NCHW | DataFormat::CHW)
        && (1..=2).contains(&rank)
        && axes.clone().all(|axis| pool.dilation(axis) == 1)
        && axes.clone().all(|axis| (1..=pool.kernel_shape[axis]).contains(&pool.stride(axis)))
        && op.group > 0
        && (bias.len() == 1 || bias.len() == pool.output_channels);
    let none = tvec!(0; rank);
    let (before, after) = match &pool.padding {
        PaddingSpec::Valid => (&none, &none),
        PaddingSpec::Explicit(before, after) => (before, after),
        _ => return None,
    };
    if !is_supported {
        return None;
    }
    let strides = pool.strides();
    let taps: TVec<usize> =
        axes.clone().map(|axis| pool.kernel_shape[axis].div_ceil(strides[axis])).collect();
    // Number of outputs for an input of length 1, before padding is removed: the length of the
    // kernel plus the adjustment (ONNX's output padding).
    let reach = |axis: usize| pool.kernel_shape[axis] + op.adjustments[axis];
    // Padding after the input: the number of positions after the last input at which at least one phase has an output
    // that the operator returns.
    let beyond: TVec<usize> = axes
        .clone()
        .map(|axis| reach(axis).saturating_sub(after[axis] + 1) / strides[axis])
        .collect();
    // Number of interleaved outputs minus the number of outputs that the operator returns.
    let cut: Option<TVec<usize>> = axes
        .map(|axis| {
            let computed = (beyond[axis] + 1) * strides[axis] + before[axis] + after[axis];
            computed.checked_sub(reach(axis))
        })
        .collect();
    // Returns the values for both axes. If there is one axis, the first value is `missing`.
    let both_axes =
        |values: &[usize], missing| [if rank == 2 { values[0] } else { missing }, values[rank - 1]];
    let shape = Phases {
        strides: both_axes(&strides, 1),
        kernel: both_axes(&pool.kernel_shape, 1),
        taps: both_axes(&taps, 1),
    };
    let weights = weights.try_as_plain_ram().ok()?;
    let bias = bias.try_as_plain_ram().ok()?;
    let bias = bias.as_slice::<f32>().ok()?.iter().cycle().take(pool.output_channels);
    let phases = shape.strides[0] * shape.strides[1];
    let bias: Vec<f32> = bias.flat_map(|bias| std::iter::repeat_n(*bias, phases)).collect();
    let weights = shape.split(weights.as_slice::<f32>().ok()?, pool.input_channels / op.group);
    // Output i of a phase reads the inputs from `i - (taps - 1)` to i, so that the convolution pads
    // the input with `taps - 1` zeros at the start.
    let padding_before = taps.iter().map(|taps| taps - 1).collect();
    let spec = PoolSpec {
        kernel_shape: taps,
        padding: PaddingSpec::Explicit(padding_before, beyond),
        dilations: None,
        strides: None,
        output_channels: pool.output_channels * phases,
        ..pool.clone()
    };
    let conv = Conv::new(spec, op.group, &weights, &bias);
    let interleaved = Interleaved {
        first_axis: format.h_axis(),
        strides: shape.strides,
        before: both_axes(before, 0),
        cut: both_axes(&cut?, 0),
    };
    Some((conv, interleaved))
}

/// The split of a kernel into the kernels of the phases.
struct Phases {
    strides: [usize; 2],
    /// Number of rows and of columns of the kernel.
    kernel: [usize; 2],
    /// Number of rows and of columns of the kernel of a phase.
    taps: [usize; 2],
}

impl Phases {
    /// Returns the weights of the convolution,
    /// `[output channel][phase][input channel][row][column]`. `weights` are
    /// `[output channel][input channel][row][column]`; `inputs` is the number of input channels of
    /// a group. The kernels of all phases have `taps` elements; shorter kernels are padded with
    /// zeros.
    fn split(&self, weights: &[f32], inputs: usize) -> Vec<f32> {
        let Phases { strides, kernel, taps } = self;
        let mut split = vec![];
        for output in weights.chunks_exact((inputs * kernel[0] * kernel[1]).max(1)) {
            for phase in 0..strides[0] * strides[1] {
                let phase = [phase / strides[1], phase % strides[1]];
                for input in output.chunks_exact(kernel[0] * kernel[1]) {
                    for tap in 0..taps[0] * taps[1] {
                        let tap = [tap / taps[1], tap % taps[1]];
                        let [row, column] =
                            [0, 1].map(|a| phase[a] + strides[a] * (taps[a] - 1 - tap[a]));
                        let inside = row < kernel[0] && column < kernel[1];
                        split.push(if inside { input[row * kernel[1] + column] } else { 0.0 });
                    }
                }
            }
        }
        split
    }
}

/// Merges the phases of each output channel into one channel. The phases of a channel are adjacent
/// channels of the input.
#[derive(Debug, Deserialize, Serialize)]
pub struct Interleaved {
    /// Index of the first spatial axis; the axis before it is the channels.
    first_axis: usize,
    /// Strides along rows and columns. If there is one spatial axis, the stride along rows is 1.
    strides: [usize; 2],
    /// Number of merged rows and columns to drop at the start.
    before: [usize; 2],
    /// Total number of merged rows and columns to drop, at the start and at the end.
    cut: [usize; 2],
}

impl Interleaved {
    /// Returns the shape of the output.
    fn shape<D: DimLike>(&self, input: &[D]) -> TVec<D> {
        let mut shape: TVec<D> = input.into();
        let axes = self.first_axis..input.len();
        // `strides` and `cut` always have two elements. With one spatial axis, the last is used.
        let first = 2 - axes.len();
        for (position, axis) in (first..2).zip(axes) {
            shape[axis] = input[axis].clone() * self.strides[position] - self.cut[position];
        }
        let channels = self.first_axis - 1;
        shape[channels] = input[channels].clone() / (self.strides[0] * self.strides[1]);
        shape
    }
}

impl Kernel for Interleaved {
    const NAME: &'static str = "Interleaved";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        Ok(tvec!(Fact::new(f32::datum_type(), self.shape(&inputs[0].shape))))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let axes = &inputs[0].shape()[self.first_axis..];
        // `strides` and `cut` always have two elements. With one spatial axis, the last is used.
        let first = 2 - axes.len();
        let lengths = axes.iter().zip(&self.strides[first..]);
        let merged: TVec<usize> = lengths.map(|(length, stride)| length * stride).collect();
        let cut = &self.cut[first..];
        ensure!(
            merged.iter().zip(cut).all(|(length, cut)| length >= cut),
            "expected at least {cut:?} merged rows and columns, found {merged:?}"
        );
        let shape = self.shape(inputs[0].shape());
        let rows_and_columns = |shape: &[usize]| match shape[self.first_axis..] {
            [columns] => [1, columns],
            [rows, columns, ..] => [rows, columns],
            [] => [1, 1],
        };
        let x = inputs[0].try_as_plain_ram()?;
        let x = x.as_slice::<f32>()?;
        let (input, output) = (rows_and_columns(inputs[0].shape()), rows_and_columns(&shape));
        let y = tensor_in_place(&shape, |y| vectorized(Rows { op: self, x, input, output, y }))?;
        Ok(vec![y])
    }
}

/// The merge of all channels of all images.
struct Rows<'a> {
    op: &'a Interleaved,
    x: &'a [f32],
    /// Rows and columns of a phase.
    input: [usize; 2],
    /// Rows and columns of the output.
    output: [usize; 2],
    y: &'a mut [f32],
}

impl Vectorized for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Rows { op, x, input: [rows, columns], output, y } = self;
        if y.is_empty() {
            return;
        }
        let [row_stride, stride] = op.strides;
        let channel_len = (row_stride * stride * rows * columns).max(1);
        // A merged row before columns are dropped.
        let mut line = vec![0.0; columns * stride];
        let channels = x.chunks_exact(channel_len).zip(y.chunks_exact_mut(output[0] * output[1]));
        for (x, y) in channels {
            for (row, y) in (op.before[0]..).zip(y.chunks_exact_mut(output[1])) {
                // Merged row `row` consists of row `row / row_stride` of each phase whose row
                // remainder is `row % row_stride`.
                let phases = &x[row % row_stride * stride * rows * columns..];
                let first = row / row_stride * columns;
                let phase = |phase: usize| &phases[phase * rows * columns + first..][..columns];
                if stride == 2 {
                    let pairs = phase(0).iter().zip(phase(1));
                    let (line, _) = line.as_chunks_mut::<2>();
                    line.iter_mut().zip(pairs).for_each(|(line, (a, b))| *line = [*a, *b]);
                } else {
                    for index in 0..stride {
                        let elements = line[index..].iter_mut().step_by(stride);
                        elements.zip(phase(index)).for_each(|(element, x)| *element = *x);
                    }
                }
                copy(y, &line[op.before[1]..][..output[1]]);
            }
        }
    }
}
