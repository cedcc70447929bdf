//! The greatest elements of windows over one or two axes.

use super::Fast;
use crate::kernel::tensor;
use crate::simd::{Vectorized, vectorized};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::cnn::PoolSpec;
use tract_onnx::tract_core::ops::nn::DataFormat;

#[derive(Debug)]
pub struct FastMaxPool {
    pool: PoolSpec,
}

pub fn fast(pool: &PoolSpec) -> Option<Box<dyn Fast>> {
    let known = matches!(pool.data_format, DataFormat::NCHW | DataFormat::NHWC);
    let fits = known && (1..=2).contains(&pool.rank());
    fits.then(|| Box::new(FastMaxPool { pool: pool.clone() }) as Box<dyn Fast>)
}

impl Fast for FastMaxPool {
    fn eval(&self, inputs: &[TValue]) -> TractResult<Option<Vec<Tensor>>> {
        let x = &inputs[0];
        if x.datum_type() != f32::datum_type() || x.len() == 0 {
            return Ok(None);
        }
        let output = self.pool.output_shape(x.shape())?;
        if output.shape.iter().product::<usize>() == 0 {
            return Ok(None);
        }
        let input = self.pool.data_format.shape(x.shape())?;
        let padding = self.pool.computed_padding(input.hw_dims());
        let missing = 2 - self.pool.rank();
        let axis = |axis: usize| match axis.checked_sub(missing) {
            None => Axis { input: 1, output: 1, kernel: 1, stride: 1, dilation: 1, before: 0 },
            Some(axis) => Axis {
                input: input.hw_dims()[axis],
                output: output.hw_dims()[axis],
                kernel: self.pool.kernel_shape[axis],
                stride: self.pool.stride(axis),
                dilation: self.pool.dilation(axis),
                before: padding[axis].pad_before,
            },
        };
        let plain = x.try_as_plain_ram()?;
        let x = plain.as_slice::<f32>()?;
        let last = self.pool.data_format == DataFormat::NHWC;
        let channels = if last { *input.c() } else { 1 };
        let y = vectorized(Windows { x, rows: axis(0), columns: axis(1), channels });
        Ok(Some(vec![tensor(&output.shape, y)?]))
    }
}

#[derive(Debug, Clone, Copy)]
struct Axis {
    input: usize,
    output: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    before: usize,
}

impl Axis {
    /// What an element of the kernel meets: the first output, its input, and how many outputs.
    fn met(&self, element: usize) -> (usize, usize, usize) {
        let shift = element * self.dilation;
        let first = self.before.saturating_sub(shift).div_ceil(self.stride);
        let end = (self.input + self.before).saturating_sub(shift).div_ceil(self.stride);
        let count = end.min(self.output).saturating_sub(first);
        (first, (first * self.stride + shift).saturating_sub(self.before), count)
    }
}

/// Images of rows of columns of neighbouring channels.
struct Windows<'a> {
    x: &'a [f32],
    rows: Axis,
    columns: Axis,
    channels: usize,
}

impl Vectorized for Windows<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run(self) -> Vec<f32> {
        let Windows { x, rows, columns, channels } = self;
        let (wide, narrow) = (columns.input * channels, columns.output * channels);
        let image = rows.input * wide;
        let mut y = Vec::with_capacity(x.len() / image * rows.output * narrow);
        let met: Vec<_> = (0..columns.kernel).map(|element| columns.met(element)).collect();
        let mut highest = vec![0.0; wide];
        for image in x.chunks_exact(image) {
            for row in 0..rows.output {
                highest.fill(f32::NEG_INFINITY);
                let places = (0..rows.kernel).map(|element| {
                    (row * rows.stride + element * rows.dilation).checked_sub(rows.before)
                });
                for place in places.flatten().filter(|place| *place < rows.input) {
                    raise(&mut highest, &image[place * wide..][..wide]);
                }
                let start = y.len();
                y.resize(start + narrow, f32::NEG_INFINITY);
                for (first, from, count) in &met {
                    let y = &mut y[start + first * channels..][..count * channels];
                    let x = &highest[(from * channels).min(wide)..];
                    match (columns.stride, channels) {
                        (1, _) => raise(y, x),
                        (2, 1) => {
                            y.iter_mut().zip(x.chunks(2)).for_each(|(y, x)| *y = higher(*y, x[0]));
                        }
                        (stride, 1) => {
                            let x = x.iter().step_by(stride);
                            y.iter_mut().zip(x).for_each(|(y, x)| *y = higher(*y, *x));
                        }
                        (stride, _) => {
                            let x = x.chunks(stride * channels);
                            y.chunks_exact_mut(channels).zip(x).for_each(|(y, x)| raise(y, x));
                        }
                    }
                }
            }
        }
        y
    }
}

#[inline(always)]
fn raise(y: &mut [f32], x: &[f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y = higher(*y, *x));
}

#[inline(always)]
fn higher(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}
