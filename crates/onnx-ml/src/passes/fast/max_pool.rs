//! Maxima of sliding windows over one or two axes.

use super::fast_path::FastPath;
use crate::kernels::simd::{Vectorized, vectorized};
use crate::kernels::slices::copy;
use crate::operator::tensors::tensor_in_place;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::cnn::PoolSpec;

/// The fast path of a max pool.
#[derive(Debug)]
pub struct FastMaxPool {
    pool: PoolSpec,
}

/// Returns the fast path of a max pool, or `None` if the windows have more than two axes.
pub fn fast_path(pool: &PoolSpec) -> Option<Box<dyn FastPath>> {
    let is_supported = (1..=2).contains(&pool.rank());
    is_supported.then(|| Box::new(FastMaxPool { pool: pool.clone() }) as Box<dyn FastPath>)
}

impl FastPath for FastMaxPool {
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
        // A pool over one axis gets a first axis of length 1.
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
        let x = x.try_as_plain_ram()?;
        let x = x.as_slice::<f32>()?;
        let channels_last = self.pool.data_format.c_is_last();
        let channels = if channels_last { *input.c() } else { 1 };
        let (rows, columns) = (axis(0), axis(1));
        let y = tensor_in_place(&output.shape, |y| {
            vectorized(Windows { x, rows, columns, channels, y })
        })?;
        Ok(Some(vec![y]))
    }
}

/// Parameters of the windows along one axis.
#[derive(Debug, Clone, Copy)]
struct Axis {
    /// Length of the input.
    input: usize,
    /// Length of the output: the number of windows.
    output: usize,
    /// Number of elements of a window.
    kernel: usize,
    stride: usize,
    dilation: usize,
    /// Padding before the first element of the input.
    before: usize,
}

impl Axis {
    /// Returns `true` if each window is a single element, so that the axis is copied.
    fn is_identity(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.before == 0 && self.input == self.output
    }

    /// Returns `true` if the windows are adjacent pairs of elements that cover the input.
    fn is_pairs(&self) -> bool {
        let adjacent = self.kernel == 2 && self.stride == 2 && self.dilation == 1;
        adjacent && self.before == 0 && self.input == 2 * self.output
    }

    /// Considers element `element` of each window. Returns the index of the first window in which this element is not
    /// padding, the index of the input element under this element in that window, and the number of windows in which
    /// this element is not padding.
    fn windows_on_input(&self, element: usize) -> (usize, usize, usize) {
        let shift = element * self.dilation;
        let first = self.before.saturating_sub(shift).div_ceil(self.stride);
        let end = (self.input + self.before).saturating_sub(shift).div_ceil(self.stride);
        let count = end.min(self.output).saturating_sub(first);
        (first, (first * self.stride + shift).saturating_sub(self.before), count)
    }
}

/// Max pooling of consecutive images `[rows][columns][channels]`.
///
/// In a layout with channels first, each channel is an image with one channel. In a layout with
/// channels last, `channels` is the number of channels.
///
/// The maximum over a rectangle is computed in two steps. For each row of the output, the
/// elementwise maximum of the covered input rows goes to the buffer `highest` (one row of the
/// input). Then each output is the maximum of a horizontal window of `highest`. The second step
/// loops over the elements of the window and combines, for each element, all windows at once.
struct Windows<'a> {
    x: &'a [f32],
    rows: Axis,
    columns: Axis,
    channels: usize,
    y: &'a mut [f32],
}

impl Vectorized for Windows<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Windows { mut x, rows, mut columns, channels, y } = self;
        // If the windows are adjacent pairs of columns, first replace each pair by its maximum.
        // Then each window is a single column, and the second step is not needed.
        let halves;
        if channels == 1 && columns.is_pairs() {
            halves = x.as_chunks().0.iter().map(|[a, b]| higher(*a, *b)).collect::<Vec<f32>>();
            x = &halves;
            columns = Axis { input: columns.output, kernel: 1, stride: 1, ..columns };
        }
        // Number of elements of a row of the input, of a row of the output and of an input image.
        let (wide, narrow) = (columns.input * channels, columns.output * channels);
        let image = rows.input * wide;
        let elements: Vec<_> =
            (0..columns.kernel).map(|element| columns.windows_on_input(element)).collect();
        let is_identity = columns.is_identity();
        let mut highest = vec![0.0; wide];
        let images = x.chunks_exact(image).zip(y.chunks_exact_mut(rows.output * narrow));
        for (image, y) in images {
            for (row, y) in y.chunks_exact_mut(narrow).enumerate() {
                let covered = (0..rows.kernel).map(|element| {
                    (row * rows.stride + element * rows.dilation).checked_sub(rows.before)
                });
                let covered = covered.flatten().filter(|row| *row < rows.input);
                let mut lines = covered.map(|row| &image[row * wide..][..wide]);
                if is_identity {
                    match lines.next() {
                        Some(line) => copy(y, line),
                        None => y.fill(f32::NEG_INFINITY),
                    }
                    for line in lines {
                        raise(y, line);
                    }
                    continue;
                }
                y.fill(f32::NEG_INFINITY);
                highest.fill(f32::NEG_INFINITY);
                for line in lines {
                    raise(&mut highest, line);
                }
                for (first, from, count) in &elements {
                    let y = &mut y[first * channels..][..count * channels];
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
    }
}

/// Number of elements that [`raise`] processes at once. The last block is aligned with the end of the slice, so it may
/// overlap the block before it. The overlap does not change a maximum.
const BLOCK: usize = 8;

/// Replaces each element of `y` by the maximum of itself and the corresponding element of `x`, up
/// to the length of the shorter slice.
#[inline(always)]
fn raise(y: &mut [f32], x: &[f32]) {
    let length = y.len().min(x.len());
    let (y, x) = (&mut y[..length], &x[..length]);
    let (Some(end), Some(last)) = (y.last_chunk::<BLOCK>(), x.last_chunk::<BLOCK>()) else {
        y.iter_mut().zip(x).for_each(|(y, x)| *y = higher(*y, *x));
        return;
    };
    // Compute the last block before the loop writes the block that it overlaps. Otherwise reading
    // the last block would have to wait for that write.
    let last = std::array::from_fn(|lane| higher(end[lane], last[lane]));
    let (blocks, _) = y.as_chunks_mut::<BLOCK>();
    for (y, x) in blocks.iter_mut().zip(x.as_chunks::<BLOCK>().0) {
        *y = std::array::from_fn(|lane| higher(y[lane], x[lane]));
    }
    if let Some(end) = y.last_chunk_mut::<BLOCK>() {
        *end = last;
    }
}

/// Returns the maximum of `a` and `b`. Returns `a` if `a` or `b` is NaN.
#[inline(always)]
fn higher(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}
