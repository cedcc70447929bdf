//! Convolutions with constant weights over one or two axes.
//!
//! This is a direct convolution, without a matrix of copied inputs (im2col). Each channel of the
//! padded input is split into phases by the strides, so that the inputs of adjacent outputs are
//! adjacent in memory for every stride (see [`conv_plane`](crate::kernels::conv_plane)). Then the
//! sums of a few spans of adjacent outputs, for a panel of output channels, are computed in
//! registers (see [`conv_tiles`](crate::kernels::conv_tiles)).
//!
//! The bias is added to the complete sum, as in ONNX Runtime.

use crate::encoding::fields::pool_spec;
use crate::encoding::weights::Weights;
use crate::kernels::conv_plane::{LANES, Plane, Split};
use crate::kernels::conv_tiles::Job;
use crate::kernels::simd::{is_wide, vectorized};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::tensor_in_place;
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;
use tract_onnx::tract_core::ops::cnn::PoolSpec;
use tract_onnx::tract_hir::internal::*;

/// A convolution with constant weights, bias and bounds. An optional second input is added to the
/// output.
#[derive(Debug, Deserialize, Serialize)]
pub struct Conv {
    /// Kernel shape, strides, dilations and padding. The layout is `NCHW` or `CHW`.
    #[serde(with = "pool_spec")]
    pool: PoolSpec,
    groups: usize,
    /// Number of input channels per group.
    inputs: usize,
    /// The panels into which the output channels of a group are divided, in order.
    panels: Vec<Panel>,
    /// Packed weights, `[group][panel][tap][output channel of the panel]`. A tap is a pair of input
    /// channel and kernel element. The output channels of a panel are padded with zeros to
    /// [`Panel::size`].
    weights: Weights<f32>,
    /// Bounds of the outputs, for a fused Relu or Clip.
    pub range: (f32, f32),
    /// Bias of each output channel, `[group][panel][output channel of the panel]`, padded like
    /// `weights`.
    bias: Vec<f32>,
    /// The spatial dimensions of the first input in this process, and the layout for them. Most
    /// models always receive inputs of one size. For inputs of a different size, the layout is
    /// computed on each call.
    #[serde(skip)]
    plane: OnceLock<(TVec<usize>, Plane)>,
}

/// Output channels that are computed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
struct Panel {
    /// Number of output channels.
    outputs: usize,
    /// Number of output channels with padding: a power of two.
    size: usize,
}

impl Conv {
    /// Creates the convolution for this processor. `weights` are
    /// `[output channel, input channel of a group, row, column]`; `bias` has an element for each
    /// output channel.
    pub fn new(pool: PoolSpec, groups: usize, weights: &[f32], bias: &[f32]) -> Conv {
        Conv::packed(pool, groups, weights, bias, Panel::largest())
    }

    /// Creates the convolution with panels of at most `largest` output channels.
    fn packed(
        pool: PoolSpec,
        groups: usize,
        weights: &[f32],
        bias: &[f32],
        largest: usize,
    ) -> Conv {
        let outputs = pool.output_channels / groups;
        let inputs = pool.input_channels / groups;
        let terms = inputs * pool.kernel_shape.iter().product::<usize>();
        let panels = Panel::divide(outputs, largest);
        let mut packed = Vec::with_capacity(weights.len());
        let mut packed_bias = Vec::with_capacity(bias.len());
        for group in 0..groups {
            let mut first = group * outputs;
            for panel in &panels {
                // The channels of the panel; `None` for padding.
                let channel = |output: usize| (output < panel.outputs).then_some(first + output);
                let channels = (0..panel.size).map(channel);
                packed_bias.extend(
                    channels.clone().map(|channel| channel.map_or(0.0, |channel| bias[channel])),
                );
                for term in 0..terms {
                    let weight = |channel: usize| weights[channel * terms + term];
                    packed.extend(channels.clone().map(|channel| channel.map_or(0.0, weight)));
                }
                first += panel.outputs;
            }
        }
        let range = (f32::NEG_INFINITY, f32::INFINITY);
        let plane = OnceLock::new();
        let weights = packed.into();
        Conv { pool, groups, inputs, panels, weights, range, bias: packed_bias, plane }
    }

    /// Returns weights and bias in the order that [`Conv::packed`] takes.
    fn unpacked(&self) -> (Vec<f32>, Vec<f32>) {
        let (mut weights, mut bias) = (vec![], vec![]);
        let terms = self.inputs * self.pool.kernel_shape.iter().product::<usize>();
        let (mut packed, mut packed_bias) = (&self.weights[..], &self.bias[..]);
        for panel in (0..self.groups).flat_map(|_| &self.panels) {
            let (panel_weights, rest) = packed.split_at(terms * panel.size);
            for output in 0..panel.outputs {
                weights.extend(panel_weights.iter().skip(output).step_by(panel.size));
            }
            bias.extend_from_slice(&packed_bias[..panel.outputs]);
            (packed, packed_bias) = (rest, &packed_bias[panel.size..]);
        }
        (weights, bias)
    }
}

impl Panel {
    /// Returns the maximum number of output channels in a panel on this processor.
    fn largest() -> usize {
        if is_wide() { 8 } else { 4 }
    }

    /// Divides the output channels of a group into panels of at most `largest` channels.
    fn divide(outputs: usize, largest: usize) -> Vec<Panel> {
        (0..outputs)
            .step_by(largest)
            .map(|first| (outputs - first).min(largest))
            .map(|outputs| Panel { outputs, size: outputs.next_power_of_two() })
            .collect()
    }
}

impl Kernel for Conv {
    const NAME: &'static str = "FastConv";

    fn adapt_to_processor(self: Arc<Self>) -> Arc<Self> {
        let outputs = self.pool.output_channels / self.groups;
        if self.panels == Panel::divide(outputs, Panel::largest()) {
            return self;
        }
        let (weights, bias) = self.unpacked();
        let conv = Conv::new(self.pool.clone(), self.groups, &weights, &bias);
        Arc::new(Conv { range: self.range, ..conv })
    }

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let shape = self.pool.output_shape(&inputs[0].shape)?.shape;
        Ok(tvec!(Fact::new(f32::datum_type(), shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let shape = self.pool.output_shape(inputs[0].shape())?.shape;
        let x = inputs[0].try_as_plain_ram()?;
        let x = x.as_slice::<f32>()?;
        ensure!(
            !x.is_empty() || shape.contains(&0),
            "expected a non-empty input, found shape {:?}",
            inputs[0].shape()
        );
        let added = inputs.get(1).map(|added| added.try_as_plain_ram()).transpose()?;
        let added = added.as_ref().map(|added| added.as_slice::<f32>()).transpose()?;
        let first = self.pool.data_format.h_axis();
        let input = &inputs[0].shape()[first..];
        let new = || Plane::new(&self.pool, self.inputs, input, &shape[first..]);
        let (first_input, plane) = self.plane.get_or_init(|| (input.into(), new()));
        let other_plane;
        let plane = if first_input.as_slice() == input {
            plane
        } else {
            other_plane = new();
            &other_plane
        };
        let y = tensor_in_place(&shape, |y| {
            if !y.is_empty() {
                Work { conv: self, plane, x, added }.run(y);
            }
        })?;
        Ok(vec![y])
    }
}

/// A run of the convolution.
struct Work<'a> {
    conv: &'a Conv,
    plane: &'a Plane,
    x: &'a [f32],
    added: Option<&'a [f32]>,
}

impl Work<'_> {
    fn run(self, y: &mut [f32]) {
        let Work { conv, plane, x, added } = self;
        let input_len = plane.input[0] * plane.input[1];
        let output_len = plane.output[0] * plane.output[1];
        let split_len = if plane.in_place { 0 } else { conv.inputs * plane.phases_len() };
        // The last span may read up to 2 · `LANES` elements beyond the phases; these results are
        // dropped.
        let mut split = vec![0.0; split_len + 2 * LANES];
        let widest = conv.panels.iter().map(|panel| panel.size).max().unwrap_or(0);
        let mut lines = vec![0.0; if plane.direct { 0 } else { widest * plane.line_len }];
        let mut start = 0;
        for image in x.chunks_exact((conv.groups * conv.inputs * input_len).max(1)) {
            let (mut weights, mut bias) = (&conv.weights[..], &conv.bias[..]);
            for x in image.chunks_exact(conv.inputs * input_len) {
                let x = if plane.in_place {
                    x
                } else {
                    vectorized(Split { plane, x, split: &mut split });
                    &split
                };
                for panel in &conv.panels {
                    let end = start + panel.outputs * output_len;
                    let job = Job {
                        plane,
                        x,
                        weights: &weights[..plane.offsets.len() * panel.size],
                        bias: &bias[..panel.size],
                        added: added.map(|added| &added[start..end]),
                        range: conv.range,
                        lines: &mut lines,
                        y: &mut y[start..end],
                    };
                    job.run(panel.size);
                    start = end;
                    weights = &weights[plane.offsets.len() * panel.size..];
                    bias = &bias[panel.size..];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::tract_core::ops::cnn::PaddingSpec;
    use tract_onnx::tract_core::ops::nn::DataFormat;

    #[test]
    fn repacks_weights_that_were_packed_for_another_processor() {
        for (groups, outputs) in [(1, 1), (1, 13), (3, 21), (8, 8)] {
            let (format, kernel) = (DataFormat::NCHW, tvec!(3, 2));
            let (padding, inputs) = (PaddingSpec::Valid, 2 * groups);
            let pool = PoolSpec::new(format, kernel, padding, None, None, inputs, outputs);
            let weights: Vec<f32> = (0..outputs * 2 * 6).map(|index| index as f32).collect();
            let bias: Vec<f32> = (0..outputs).map(|index| -(index as f32)).collect();
            let expected = Conv::new(pool.clone(), groups, &weights, &bias);
            for largest in [2, 4, 8] {
                let mut conv = Conv::packed(pool.clone(), groups, &weights, &bias, largest);
                assert_eq!(conv.unpacked(), (weights.clone(), bias.clone()));
                conv.range = (0.0, 6.0);
                let adapted = Arc::new(conv).adapt_to_processor();
                assert_eq!(adapted.panels, expected.panels, "{groups} {outputs} {largest}");
                assert_eq!(
                    adapted.weights[..],
                    expected.weights[..],
                    "{groups} {outputs} {largest}"
                );
                assert_eq!(adapted.bias, expected.bias, "{groups} {outputs} {largest}");
                assert_eq!(adapted.range, (0.0, 6.0));
            }
        }
    }
}
