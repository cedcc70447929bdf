//! Convolutions of 8-bit integers over two axes.
//!
//! A convolution is computed as a matrix product: the weights are the rows, and the positions of the output are the
//! columns. The inputs of a chunk of positions are copied to packed columns (im2col) right before the product of that
//! chunk. A convolution with one input channel per group (depthwise) is computed directly, because a product with a
//! single row would spend most of its time on copies.

use crate::kernels::integer_product::{
    CHUNK_COLUMNS, Corrections, Epilogue, Panels, Rows, column_sums, multiply,
};
use crate::kernels::simd::dot::{GROUP, LANES, PanelGroup};
use crate::kernels::simd::{Vectorized, vectorized};

/// Sizes of a convolution. Lists have an element for each of the two axes.
#[derive(Debug, Clone, Copy)]
pub struct Geometry {
    /// Number of input channels of a group.
    pub channels: usize,
    pub input: [usize; 2],
    pub output: [usize; 2],
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    pub dilations: [usize; 2],
    /// Padding before the input.
    pub before: [usize; 2],
}

/// The input channels of a group.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    /// `[channel][row][column]`
    pub bytes: &'a [u8],
    /// The bit whose flip turns the integers into signed integers: 0x80 if the integers are unsigned, and 0 if they are
    /// signed.
    pub flip: u8,
    /// The byte of the zero point, which is the value of the padding.
    pub zero: u8,
}

impl Geometry {
    /// Number of terms of an output element.
    pub fn terms(&self) -> usize {
        self.channels * self.kernel[0] * self.kernel[1]
    }

    /// Number of positions of the output.
    pub fn positions(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Considers the input position of each output position along `axis`, for kernel element `tap`. Returns the range
    /// of output positions whose input position lies on the input, and the input position of the first of these output
    /// positions.
    #[inline(always)]
    fn inside(&self, axis: usize, tap: usize) -> (usize, usize, usize) {
        let (stride, before) = (self.strides[axis], self.before[axis]);
        let offset = tap * self.dilations[axis];
        // input = output * stride + offset - before
        let first = before.saturating_sub(offset).div_ceil(stride);
        let end = (self.input[axis] + before).saturating_sub(offset).div_ceil(stride);
        let end = end.min(self.output[axis]);
        (first.min(end), end, (first * stride + offset).saturating_sub(before))
    }
}

/// Convolves one group of one image. `weights` are the output channels of the group, with zero
/// points `weight_zeros` (for the packed, unsigned integers), and `bias` is added to each.
pub fn convolve(
    geometry: &Geometry,
    image: Image<'_>,
    weights: &Rows<'_>,
    [weight_zeros, bias]: [&[i32]; 2],
    epilogue: &mut impl Epilogue,
) {
    let terms = geometry.terms();
    let groups = terms.div_ceil(GROUP);
    // The zero point of the packed, signed integers.
    let zero = i32::from((image.zero ^ image.flip) as i8);
    let count = terms as i32;
    let offset = |((sum, weight_zero), bias): ((&i32, &i32), &i32)| {
        bias.wrapping_add(zero.wrapping_mul(count.wrapping_mul(*weight_zero).wrapping_sub(*sum)))
    };
    let sums = weights.sums();
    let offsets: Vec<i32> = sums.iter().zip(weight_zeros).zip(bias).map(offset).collect();
    let mut panels = vec![[0; LANES * GROUP]; groups * CHUNK_COLUMNS.div_ceil(LANES)];
    let mut lines = [[0; CHUNK_COLUMNS]; GROUP];
    let positions = geometry.positions();
    let mut padded_sums = vec![0; positions.next_multiple_of(CHUNK_COLUMNS)];
    for first in (0..positions).step_by(CHUNK_COLUMNS) {
        let columns = CHUNK_COLUMNS.min(positions - first);
        let panels = &mut panels[..groups * columns.div_ceil(LANES)];
        vectorized(Pack { geometry, image, first, columns, lines: &mut lines, panels });
        let sums = column_sums(panels, groups);
        padded_sums[first..][..sums.len()].copy_from_slice(&sums);
        let corrections = Corrections {
            rows: &offsets,
            columns: &[],
            factors: Some([weight_zeros, &padded_sums]),
        };
        multiply(weights, Panels { panels, columns }, first, corrections, epilogue);
    }
}

/// Copies the inputs of `columns` positions to panels, from position `first` on.
struct Pack<'a> {
    geometry: &'a Geometry,
    image: Image<'a>,
    first: usize,
    columns: usize,
    /// A line for each term of a group. The line contains the inputs of the positions for this term.
    lines: &'a mut [[u8; CHUNK_COLUMNS]; GROUP],
    panels: &'a mut [PanelGroup],
}

impl Vectorized for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Pack { geometry, image, first, columns, lines, panels } = self;
        let terms = geometry.terms();
        let groups = terms.div_ceil(GROUP);
        for group in 0..groups {
            for (index, line) in lines.iter_mut().enumerate() {
                match group * GROUP + index {
                    term if term < terms => {
                        fill(geometry, image, term, first, &mut line[..columns])
                    }
                    // Padding is zero after the flip.
                    _ => line.fill(image.flip),
                }
            }
            for (panel, panel_groups) in panels.chunks_exact_mut(groups).enumerate() {
                let lanes = |index: usize| -> &[u8; LANES] {
                    lines[index][panel * LANES..].first_chunk().expect("a line has whole panels")
                };
                let [a, b, c, d] = [lanes(0), lanes(1), lanes(2), lanes(3)];
                let interleaved = panel_groups[group].as_chunks_mut::<GROUP>().0;
                for (lane, to) in interleaved.iter_mut().enumerate() {
                    *to =
                        [a[lane], b[lane], c[lane], d[lane]].map(|byte| (byte ^ image.flip) as i8);
                }
            }
        }
    }
}

/// Fills `line` with the inputs of the positions from `first` on for one term.
#[inline(always)]
fn fill(geometry: &Geometry, image: Image<'_>, term: usize, first: usize, line: &mut [u8]) {
    let [kernel_rows, kernel_columns] = geometry.kernel;
    let [rows, columns] = geometry.input;
    let width = geometry.output[1];
    let channel = term / (kernel_rows * kernel_columns);
    let [tap_row, tap_column] = [term / kernel_columns % kernel_rows, term % kernel_columns];
    let (first_row, end_row, start_row) = geometry.inside(0, tap_row);
    let (first_column, end_column, start_column) = geometry.inside(1, tap_column);
    let stride = geometry.strides[1];
    let plane = &image.bytes[channel * rows * columns..][..rows * columns];
    let mut position = first;
    let mut line = line;
    while !line.is_empty() {
        // The part of the line that belongs to one row of the output.
        let (row, column) = (position / width, position % width);
        let length = (width - column).min(line.len());
        let (part, rest) = line.split_at_mut(length);
        (line, position) = (rest, position + length);
        if !(first_row..end_row).contains(&row) {
            part.fill(image.zero);
            continue;
        }
        let input_row = start_row + (row - first_row) * geometry.strides[0];
        let input = &plane[input_row * columns..][..columns];
        // The range of `part` whose inputs lie on the row.
        let begin = first_column.clamp(column, column + length) - column;
        let end = end_column.clamp(column, column + length) - column;
        let end = end.max(begin);
        part[..begin].fill(image.zero);
        part[end..].fill(image.zero);
        if begin == end {
            continue;
        }
        let start = start_column + (column + begin - first_column) * stride;
        if stride == 1 {
            part[begin..end].copy_from_slice(&input[start..][..end - begin]);
        } else {
            let inputs = input[start..].iter().step_by(stride);
            part[begin..end].iter_mut().zip(inputs).for_each(|(to, byte)| *to = *byte);
        }
    }
}

/// Convolves one channel with the weights of one output channel, from which the zero point has been subtracted. `image`
/// is the input channel, and `row` is the index of the output channel for the epilogue.
pub fn convolve_channel(
    geometry: &Geometry,
    image: Image<'_>,
    weights: &[i16],
    bias: i32,
    row: usize,
    epilogue: &mut impl Epilogue,
) {
    let zero = i32::from((image.zero ^ image.flip) as i8) as i16;
    let shifted = image.bytes.iter().map(|byte| i16::from((byte ^ image.flip) as i8) - zero);
    let plane: Vec<i16> = shifted.collect();
    vectorized(Channel { geometry, plane: &plane, weights, bias, row, epilogue });
}

/// See [`convolve_channel`].
struct Channel<'a, E> {
    geometry: &'a Geometry,
    plane: &'a [i16],
    weights: &'a [i16],
    bias: i32,
    row: usize,
    epilogue: &'a mut E,
}

impl<E: Epilogue> Vectorized for Channel<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Channel { geometry, plane, weights, bias, row, epilogue } = self;
        let [_, columns] = geometry.input;
        let [height, width] = geometry.output;
        let stride = geometry.strides[1];
        let mut sums = vec![0_i32; width];
        for line in 0..height {
            sums.fill(bias);
            for (tap_row, weights) in weights.chunks_exact(geometry.kernel[1]).enumerate() {
                let (first, end, start) = geometry.inside(0, tap_row);
                if !(first..end).contains(&line) {
                    continue;
                }
                let input_row = start + (line - first) * geometry.strides[0];
                let input = &plane[input_row * columns..][..columns];
                for (tap, weight) in weights.iter().enumerate() {
                    let (first, end, start) = geometry.inside(1, tap);
                    if first == end {
                        continue;
                    }
                    let weight = i32::from(*weight);
                    let add = |(sum, x): (&mut i32, &i16)| *sum += weight * i32::from(*x);
                    let (sums, input) = (&mut sums[first..end], &input[start..]);
                    match stride {
                        1 => sums.iter_mut().zip(input).for_each(add),
                        2 => sums.iter_mut().zip(input.iter().step_by(2)).for_each(add),
                        _ => sums.iter_mut().zip(input.iter().step_by(stride)).for_each(add),
                    }
                }
            }
            epilogue.emit(row, line * width, &sums);
        }
    }
}
