//! Layout of a convolution's input: each channel, padded and split into phases by the strides.

use crate::kernels::simd::{Vectorized, copy};
use std::ops::Range;
use tract_onnx::tract_core::ops::cnn::PoolSpec;

/// Neighboring outputs that are computed together.
pub const LANES: usize = 16;

/// Cost per output of writing sums with gaps and removing the gaps afterwards, in multiply-adds.
const GAPS: usize = 8;

/// Positions of the inputs and outputs of one channel.
///
/// With one spatial axis, the number of rows is 1.
#[derive(Debug)]
pub struct Plane {
    /// Rows and columns.
    pub input: [usize; 2],
    pub output: [usize; 2],
    stride: [usize; 2],
    /// One phase for each pair of remainders of row and column by the strides that a kernel element
    /// uses.
    phases: Vec<Phase>,
    /// Rows and columns of each phase, with padding.
    pub phase: [usize; 2],
    /// Offset of each input channel and kernel element in the concatenated phases of all input
    /// channels.
    pub offsets: Vec<usize>,
    /// The input can be used in place: there is one phase, and it equals the input.
    pub whole: bool,
    /// Spans of outputs in the order of computation.
    pub spans: Vec<Span>,
    /// Spans write directly to the output. Otherwise they write lines with gaps between the rows,
    /// which are removed afterwards.
    pub direct: bool,
    /// Length of a line of spans with gaps, per output channel.
    pub line: usize,
    /// The kernel is 3×3 with one phase, which permits the depthwise kernel.
    pub is_three: bool,
}

#[derive(Debug)]
struct Phase {
    /// Rows and columns of the phase that are not padding.
    inside: [Range<usize>; 2],
    /// Row and column of the input at the start of `inside`.
    first: [usize; 2],
}

/// [`LANES`] adjacent positions.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Position in a phase, without the offset of a kernel element.
    pub from: usize,
    pub to: usize,
}

/// Covers each row with spans. The last span of a row is aligned with the row's end, so it may
/// overlap the one before.
fn spans(rows: usize, columns: usize, pitch: usize) -> Vec<Span> {
    let starts = (0..columns).step_by(LANES).map(|start| start.min(columns - LANES));
    let row = |row: usize| {
        starts
            .clone()
            .map(move |start| Span { from: row * pitch + start, to: row * columns + start })
    };
    (0..rows).flat_map(row).collect()
}

impl Plane {
    /// Creates the layout. `inputs` is the number of input channels per group; `input` and `output`
    /// are the spatial dimensions.
    pub fn new(pool: &PoolSpec, inputs: usize, input: &[usize], output: &[usize]) -> Plane {
        let padding = pool.computed_padding(input);
        let two = |of: &dyn Fn(usize) -> usize, missing| match input.len() {
            1 => [missing, of(0)],
            _ => [of(0), of(1)],
        };
        let kernel = two(&|axis| pool.kernel_shape[axis], 1);
        let stride = two(&|axis| pool.stride(axis), 1);
        let dilation = two(&|axis| pool.dilation(axis), 1);
        let before = two(&|axis| padding[axis].pad_before, 0);
        let input = two(&|axis| input[axis], 1);
        let output = two(&|axis| output[axis], 1);
        let reach = |axis: usize| (kernel[axis] - 1) * dilation[axis] / stride[axis];
        let phase = [0, 1].map(|axis| output[axis] + reach(axis));
        let mut remainders: Vec<[usize; 2]> = vec![];
        let mut taps = vec![];
        for y in (0..kernel[0]).map(|y| y * dilation[0]) {
            for x in (0..kernel[1]).map(|x| x * dilation[1]) {
                let remainder = [y % stride[0], x % stride[1]];
                let found = remainders.iter().position(|other| *other == remainder);
                let index = found.unwrap_or(remainders.len());
                if found.is_none() {
                    remainders.push(remainder);
                }
                let row = index * phase[0] + y / stride[0];
                taps.push(row * phase[1] + x / stride[1]);
            }
        }
        let inside = |axis: usize, remainder: usize| {
            let first = before[axis].saturating_sub(remainder).div_ceil(stride[axis]);
            let end = (input[axis] + before[axis]).saturating_sub(remainder);
            first..end.div_ceil(stride[axis]).min(phase[axis]).max(first)
        };
        let of = |remainder: &[usize; 2]| {
            let inside = [0, 1].map(|axis| inside(axis, remainder[axis]));
            let first = [0, 1].map(|axis| {
                let place = inside[axis].start * stride[axis] + remainder[axis];
                place.saturating_sub(before[axis])
            });
            Phase { inside, first }
        };
        let phases: Vec<Phase> = remainders.iter().map(of).collect();
        let whole = taps.len() == 1 && stride == [1; 2] && before == [0; 2] && input == output;
        let is_three = kernel == [3; 2] && phases.len() == 1 && dilation == [1; 2];
        let [rows, columns] = output;
        // Number of positions in a phase from the first output pixel to the last.
        let positions = rows.saturating_sub(1) * phase[1] + columns;
        let dense = phase[1] == columns && rows * columns >= LANES;
        let whole = whole && dense;
        let pitch = if whole { rows * columns } else { phases.len() * phase[0] * phase[1] };
        let offsets: Vec<usize> =
            (0..inputs).flat_map(|input| taps.iter().map(move |tap| input * pitch + tap)).collect();
        let terms = offsets.len();
        let by_row = rows * columns.next_multiple_of(LANES) * terms;
        let (spans, direct) = if dense {
            (spans(1, rows * columns, rows * columns), true)
        } else if columns >= LANES && by_row <= positions * (terms + GAPS) {
            (spans(rows, columns, phase[1]), true)
        } else {
            (spans(1, positions.next_multiple_of(LANES), 0), false)
        };
        let line = positions.next_multiple_of(LANES);
        Plane {
            input,
            output,
            stride,
            phases,
            phase,
            offsets,
            whole,
            spans,
            direct,
            line,
            is_three,
        }
    }

    pub fn phases_len(&self) -> usize {
        self.phases.len() * self.phase[0] * self.phase[1]
    }

    /// Copies one channel of the input into its phases. The padding stays as it is (zero).
    #[inline(always)]
    fn split(&self, x: &[f32], split: &mut [f32]) {
        let [rows, columns] = self.phase;
        let phases = self.phases.iter().zip(split.chunks_exact_mut(rows * columns));
        for (phase, split) in phases {
            let [ys, xs] = phase.inside.clone();
            if xs.is_empty() {
                continue;
            }
            let [first, from] = phase.first;
            for (row, y) in ys.enumerate() {
                let line =
                    &x[(first + row * self.stride[0]) * self.input[1]..][from..self.input[1]];
                let split = &mut split[y * columns..][xs.clone()];
                match self.stride[1] {
                    1 => copy(split, &line[..split.len()]),
                    2 => {
                        let (pairs, last) = line.as_chunks::<2>();
                        let pairs = &pairs[..split.len().min(pairs.len())];
                        let (to, to_last) = split.split_at_mut(pairs.len());
                        to.iter_mut().zip(pairs).for_each(|(to, [from, _])| *to = *from);
                        to_last.iter_mut().zip(last).for_each(|(to, from)| *to = *from);
                    }
                    stride => {
                        let line = line.iter().step_by(stride);
                        split.iter_mut().zip(line).for_each(|(to, from)| *to = *from);
                    }
                }
            }
        }
    }
}

/// Copies the channels of one image into their phases.
pub struct Split<'a> {
    pub plane: &'a Plane,
    pub x: &'a [f32],
    pub split: &'a mut [f32],
}

impl Vectorized for Split<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Split { plane, x, split } = self;
        let channels = x.chunks_exact(plane.input[0] * plane.input[1]);
        let phases = split.chunks_exact_mut(plane.phases_len());
        for (x, split) in channels.zip(phases) {
            plane.split(x, split);
        }
    }
}
