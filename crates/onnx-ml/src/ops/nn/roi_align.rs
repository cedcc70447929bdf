//! [RoiAlign](https://onnx.ai/onnx/operators/onnx__RoiAlign.html): resamples regions of images to
//! one size. Each output bin is the average or maximum of interpolated samples.

use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, tensor};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// Maximum number of samples along an axis of a bin, even for a region larger than any image.
const MAX_SAMPLES: f32 = 1024.0;

#[derive(Debug)]
struct RoiAlign {
    /// Number of rows of bins.
    height: usize,
    /// Number of columns of bins.
    width: usize,
    /// Factor from the coordinates of regions to pixels.
    scale: f32,
    /// Number of samples along an axis of a bin; 0 means one per pixel of the bin.
    samples: usize,
    /// `true` if a bin is a maximum (see [`RoiAlign::bin`]), `false` if it is the average of its
    /// samples.
    largest: bool,
    /// Offset of a pixel's center from its corner.
    shift: f32,
}

pub fn roi_align(context: &ParsingContext, node: &NodeProto) -> Built {
    let largest = match node.get_attr_opt("mode")?.unwrap_or("avg") {
        "avg" => false,
        "max" => true,
        found => bail!("expected mode avg or max, found {found}"),
    };
    let default =
        if context.onnx_operator_set_version < 16 { "output_half_pixel" } else { "half_pixel" };
    let shift = match node.get_attr_opt("coordinate_transformation_mode")?.unwrap_or(default) {
        "half_pixel" => 0.5,
        "output_half_pixel" => 0.0,
        found => bail!("expected half_pixel or output_half_pixel, found {found}"),
    };
    let kernel = RoiAlign {
        height: node.get_attr_opt("output_height")?.unwrap_or(1),
        width: node.get_attr_opt("output_width")?.unwrap_or(1),
        scale: node.get_attr_opt("spatial_scale")?.unwrap_or(1.0),
        samples: node.get_attr_opt("sampling_ratio")?.unwrap_or(0),
        largest,
        shift,
    };
    let bins = kernel.height > 0 && kernel.width > 0;
    node.expect(bins && kernel.samples <= MAX_SAMPLES as usize, || {
        format!("at least one bin and at most {MAX_SAMPLES} samples, found {kernel:?}")
    })?;
    operator(node, 3, kernel)
}

impl Kernel for RoiAlign {
    const NAME: &'static str = "RoiAlign";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let [_, channels, _, _] = inputs[0].shape.as_slice() else {
            bail!("expected images of rank 4, found shape {:?}", inputs[0].shape);
        };
        let [regions, _] = inputs[1].shape.as_slice() else {
            bail!("expected regions of rank 2, found shape {:?}", inputs[1].shape);
        };
        let is_expected =
            inputs[1].shape[1] == 4.to_dim() && inputs[2].shape[..] == [regions.clone()];
        ensure!(
            is_expected,
            "expected regions of four numbers and an index of an image for each, found shapes {:?} and {:?}",
            inputs[1].shape,
            inputs[2].shape
        );
        let shape = [regions.clone(), channels.clone(), self.height.to_dim(), self.width.to_dim()];
        Ok(tvec!(Fact::new(inputs[0].datum_type, shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let (images, regions) = (elements::<f32>(&inputs[0])?, elements::<f32>(&inputs[1])?);
        let (images, regions) = (images.try_as_plain_ram()?, regions.try_as_plain_ram()?);
        let image_indices = elements::<i64>(&inputs[2])?;
        let image_indices = image_indices.try_as_plain_ram()?;
        let [batch, channels, height, width] = *inputs[0].shape() else {
            bail!("expected images of rank 4, found shape {:?}", inputs[0].shape());
        };
        let pixels = height * width;
        let mut output = vec![];
        let regions = regions.as_slice::<f32>()?.chunks_exact(4);
        for (region, image_index) in regions.zip(image_indices.as_slice::<i64>()?) {
            let image = usize::try_from(*image_index).ok().filter(|image| *image < batch);
            let image = image.with_context(|| {
                format!("expected an index of one of {batch} images, found {image_index}")
            })?;
            let image =
                &images.as_slice::<f32>()?[image * channels * pixels..][..channels * pixels];
            let rows = self.samples_along(region[1], region[3], self.height, height);
            let columns = self.samples_along(region[0], region[2], self.width, width);
            for channel in image.chunks_exact(pixels.max(1)) {
                for row in &rows {
                    output
                        .extend(columns.iter().map(|column| self.bin(channel, width, row, column)));
                }
            }
        }
        let shape = [inputs[1].shape()[0], channels, self.height, self.width];
        Ok(vec![tensor(&shape, output)?.cast_to_dt(inputs[0].datum_type())?.into_owned()])
    }
}

/// Two adjacent pixels along an axis and their weights; `None` outside of the image.
type Sample = Option<[(usize, f32); 2]>;

impl RoiAlign {
    /// Returns the samples of each bin along an axis of `length` pixels, for a region between the
    /// coordinates `from` and `to`.
    fn samples_along(&self, from: f32, to: f32, bins: usize, length: usize) -> Vec<Vec<Sample>> {
        let (from, to) = (from * self.scale - self.shift, to * self.scale - self.shift);
        // Without the shift, a region is at least one pixel long.
        let size = if self.shift == 0.0 { (to - from).max(1.0) } else { to - from };
        let bin = size / bins as f32;
        let samples = match self.samples {
            0 => bin.ceil().clamp(0.0, MAX_SAMPLES) as usize,
            samples => samples,
        };
        (0..bins)
            .map(|index| {
                let coordinate = |sample: usize| {
                    from + bin * (index as f32 + (sample as f32 + 0.5) / samples as f32)
                };
                (0..samples).map(|sample| pixels(coordinate(sample), length)).collect()
            })
            .collect()
    }

    /// Returns the average or the maximum of a bin.
    fn bin(&self, channel: &[f32], width: usize, rows: &[Sample], columns: &[Sample]) -> f32 {
        let count = rows.len() * columns.len();
        let samples = rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column)));
        // The four pixels around each sample, multiplied by their weights.
        let weighted = samples.map(|(row, column)| match (row, column) {
            (Some(rows), Some(columns)) => {
                let mut pixels = [0.0; 4];
                for (pixels, (row, down)) in pixels.chunks_exact_mut(2).zip(rows) {
                    for (pixel, (column, right)) in pixels.iter_mut().zip(columns) {
                        *pixel = down * right * channel[row * width + column];
                    }
                }
                pixels
            }
            _ => [0.0; 4],
        });
        if self.largest {
            // As in ONNX Runtime, the maximum is over weighted pixels, not over samples.
            return weighted.flatten().reduce(f32::max).unwrap_or(0.0);
        }
        weighted.map(|pixels| pixels.iter().sum::<f32>()).sum::<f32>() / count.max(1) as f32
    }
}

/// Returns the two pixels around a coordinate.
fn pixels(coordinate: f32, length: usize) -> Sample {
    if !(-1.0..=length as f32).contains(&coordinate) || length == 0 {
        return None;
    }
    let coordinate = coordinate.max(0.0);
    let low = (coordinate as usize).min(length - 1);
    let high = (low + 1).min(length - 1);
    let fraction = if low == high { 0.0 } else { coordinate - low as f32 };
    Some([(low, 1.0 - fraction), (high, fraction)])
}
