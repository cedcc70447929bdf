//! [DeformConv](https://onnx.ai/onnx/operators/onnx__DeformConv.html): a convolution in which each kernel element is
//! displaced by an offset. There is a separate offset for each kernel element and each output pixel. Inputs between
//! pixels are interpolated.
//!
//! The samples for all kernel elements and output pixels are collected in a matrix (im2col), and
//! the weights are multiplied by this matrix.

use crate::operator::adapter::{Built, variadic};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, slices, tensor};
use crate::ops::nn::windows::Windows;
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_ndarray::{ArrayView2, ArrayViewMut2, linalg::general_mat_mul};

#[derive(Debug)]
struct DeformConv {
    /// The node, whose attributes describe the windows.
    node: NodeProto,
    /// Number of groups of channels of the convolution.
    groups: usize,
    /// Number of groups of channels that share offsets.
    offset_groups: usize,
    /// Index of the input with the bias.
    bias_input: Option<usize>,
    /// Index of the input with factors for the samples.
    mask_input: Option<usize>,
}

pub fn deform_conv(_: &ParsingContext, node: &NodeProto) -> Built {
    let inputs: Vec<Option<usize>> = optional_inputs(node).take(5).collect();
    node.expect(inputs[..3].iter().all(Option::is_some), || {
        format!("an input, weights and offsets, found inputs {:?}", node.input)
    })?;
    let kernel = DeformConv {
        groups: node.get_attr_opt("group")?.unwrap_or(1),
        offset_groups: node.get_attr_opt("offset_group")?.unwrap_or(1),
        bias_input: inputs[3],
        mask_input: inputs[4],
        node: node.clone(),
    };
    let (groups, offset_groups) = (kernel.groups, kernel.offset_groups);
    node.expect(groups > 0 && offset_groups > 0, || {
        format!("group and offset_group above 0, found {groups} and {offset_groups}")
    })?;
    variadic(node, kernel)
}

impl Kernel for DeformConv {
    const NAME: &'static str = "DeformConv";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let [batch, channels, image @ ..] = inputs[0].shape.as_slice() else {
            bail!("expected images, found shape {:?}", inputs[0].shape);
        };
        let weights = inputs[1].shape.iter().map(|length| Ok(length.to_usize()?));
        let weights = weights.collect::<TractResult<Vec<usize>>>()?;
        let [filters, depth, height, width] = weights[..] else {
            bail!("expected weights of rank 4, found shape {weights:?}");
        };
        let channels = channels.to_usize()?;
        let DeformConv { groups, offset_groups, .. } = *self;
        let found = depth.saturating_mul(groups);
        ensure!(
            channels == found,
            "expected weights for {channels} channels, found weights for {found} ({groups} groups of {depth})"
        );
        ensure!(
            filters.is_multiple_of(groups),
            "expected a number of filters that is a multiple of `group` ({groups}), found {filters}"
        );
        ensure!(
            channels.is_multiple_of(offset_groups),
            "expected a number of channels that is a multiple of `offset_group` ({offset_groups}), found {channels}"
        );
        let counts = Windows::new(&self.node, vec![height, width])?.counts(image)?;
        let offsets = self.offset_groups * height * width;
        // Returns the shape `[batch, channels, rows, columns]`, with the rows and columns of the
        // output.
        let output_shape = |channels: usize| {
            [batch.clone(), channels.to_dim()].into_iter().chain(counts.clone()).collect()
        };
        let mut expected: Vec<(usize, Vec<TDim>)> = vec![(2, output_shape(2 * offsets))];
        expected.extend(self.bias_input.map(|bias| (bias, vec![filters.to_dim()])));
        expected.extend(self.mask_input.map(|mask| (mask, output_shape(offsets))));
        for (index, shape) in expected {
            let found = &inputs[index].shape;
            ensure!(found[..] == shape, "input {index}: expected shape {shape:?}, found {found:?}");
        }
        Ok(tvec!(Fact::new(inputs[0].datum_type, output_shape(filters))))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let floats = inputs.iter().map(elements::<f32>).collect::<TractResult<Vec<_>>>()?;
        let floats = slices::<f32>(&floats)?;
        let (batch, channels) = (inputs[0].shape()[0], inputs[0].shape()[1]);
        let (filters, depth) = (inputs[1].shape()[0], inputs[1].shape()[1]);
        let sampling = Sampling {
            windows: Windows::new(&self.node, inputs[1].shape()[2..].to_vec())?,
            image: [inputs[0].shape()[2], inputs[0].shape()[3]],
            kernel: [inputs[1].shape()[2], inputs[1].shape()[3]],
            counts: [inputs[2].shape()[2], inputs[2].shape()[3]],
        };
        let size: usize = sampling.kernel.iter().product();
        let pixels: usize = sampling.image.iter().product();
        let outputs: usize = sampling.counts.iter().product();
        let mut output = vec![0.0; batch * filters * outputs];
        let mut samples = vec![0.0; channels * size * outputs];
        for item in 0..batch {
            for channel in 0..channels {
                let group = channel / (channels / self.offset_groups);
                let start = (item * self.offset_groups + group) * size * outputs;
                sampling.sample(
                    &floats[0][(item * channels + channel) * pixels..][..pixels],
                    &floats[2][2 * start..][..2 * size * outputs],
                    self.mask_input.map(|mask| &floats[mask][start..][..size * outputs]),
                    &mut samples[channel * size * outputs..][..size * outputs],
                )?;
            }
            let output = &mut output[item * filters * outputs..][..filters * outputs];
            if let Some(bias) = self.bias_input {
                let lines = output.chunks_exact_mut(outputs.max(1));
                lines.zip(floats[bias]).for_each(|(line, bias)| line.fill(*bias));
            }
            let (rows, inner) = (filters / self.groups, depth * size);
            for group in 0..self.groups {
                let weights = &floats[1][group * rows * inner..][..rows * inner];
                let samples = &samples[group * inner * outputs..][..inner * outputs];
                let output = &mut output[group * rows * outputs..][..rows * outputs];
                let weights = ArrayView2::from_shape((rows, inner), weights)?;
                let samples = ArrayView2::from_shape((inner, outputs), samples)?;
                let mut output = ArrayViewMut2::from_shape((rows, outputs), output)?;
                general_mat_mul(1.0, &weights, &samples, 1.0, &mut output);
            }
        }
        let shape = [batch, filters, sampling.counts[0], sampling.counts[1]];
        Ok(vec![tensor(&shape, output)?.cast_to_dt(inputs[0].datum_type())?.into_owned()])
    }
}

/// Parameters of the sampling. All sizes are `[rows, columns]`.
struct Sampling {
    windows: Windows,
    image: [usize; 2],
    kernel: [usize; 2],
    /// Size of the output: the number of windows.
    counts: [usize; 2],
}

impl Sampling {
    /// Writes the samples of one channel, `[kernel element][output pixel]`. `offsets` are
    /// `[kernel element][row, column][output pixel]`; `mask` is in the layout of `samples`.
    fn sample(
        &self,
        channel: &[f32],
        offsets: &[f32],
        mask: Option<&[f32]>,
        samples: &mut [f32],
    ) -> TractResult<()> {
        let (top, _) = self.windows.pads(0, self.image[0])?;
        let (left, _) = self.windows.pads(1, self.image[1])?;
        let [rows, columns] = self.counts;
        for (index, sample) in samples.iter_mut().enumerate() {
            let (element, pixel) = (index / (rows * columns), index % (rows * columns));
            let offset = |axis: usize| offsets[(2 * element + axis) * rows * columns + pixel];
            let (row, column) = (pixel / columns, pixel % columns);
            let y = self.windows.position(0, row, element / self.kernel[1]) as f32 - top as f32;
            let x = self.windows.position(1, column, element % self.kernel[1]) as f32 - left as f32;
            let weight = mask.map_or(1.0, |mask| mask[index]);
            *sample = weight * bilinear(channel, self.image, y + offset(0), x + offset(1));
        }
        Ok(())
    }
}

/// Interpolates the image bilinearly at `(y, x)`; the image is zero outside its bounds.
fn bilinear(pixels: &[f32], [height, width]: [usize; 2], y: f32, x: f32) -> f32 {
    let at = |row: f32, column: f32| {
        let inside = (0.0..height as f32).contains(&row) && (0.0..width as f32).contains(&column);
        if inside { pixels[row as usize * width + column as usize] } else { 0.0 }
    };
    let (top, left) = (y.floor(), x.floor());
    let (down, right) = (y - top, x - left);
    (1.0 - down) * ((1.0 - right) * at(top, left) + right * at(top, left + 1.0))
        + down * ((1.0 - right) * at(top + 1.0, left) + right * at(top + 1.0, left + 1.0))
}
