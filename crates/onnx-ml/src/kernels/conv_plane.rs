//! Where a convolution finds its inputs: each channel, padded and split by the strides.

use crate::kernels::simd::{Vectorized, copy};
use std::ops::Range;
use tract_onnx::tract_core::ops::cnn::PoolSpec;

/// Neighboring outputs that are computed together.
pub const LANES: usize = 16;

/// What leaving gaps between rows costs an output, in products.
const GAPS: usize = 8;

/// Where inputs and outputs of one channel lie.
#[derive(Debug)]
pub struct Plane {
    /// Rows and columns.
    pub input: [usize; 2],
    pub output: [usize; 2],
    stride: [usize; 2],
    /// One for each pair of remainders, by the strides, of the places in the padded input.
    phases: Vec<Phase>,
    /// Rows and columns of each phase.
    pub phase: [usize; 2],
    /// Where in the phases of all inputs the elements of the kernel start.
    pub offsets: Vec<usize>,
    /// The phases are the input itself.
    pub whole: bool,
    /// What is computed together, in this order.
    pub spans: Vec<Span>,
    /// Whether the spans are outputs; else there are gaps between rows of them.
    pub direct: bool,
    /// Where not direct, what the spans of a channel reach over.
    pub line: usize,
    /// One phase, and three rows and columns of a kernel.
    pub is_three: bool,
}

#[derive(Debug)]
struct Phase {
    /// Which rows and columns are no padding.
    inside: [Range<usize>; 2],
    /// The input at the start of these.
    first: [usize; 2],
}

/// Neighbouring outputs, as many as there are lanes.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Where in the phases the inputs of a tap without offset start.
    pub from: usize,
    pub to: usize,
}

/// The last of each row ends where that does.
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
    /// `inputs` are the channels of a group, `input` and `output` the lengths of the axes.
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
        // From the first output to the last.
        let places = rows.saturating_sub(1) * phase[1] + columns;
        let dense = phase[1] == columns && rows * columns >= LANES;
        let whole = whole && dense;
        let pitch = match whole {
            true => rows * columns,
            false => phases.len() * phase[0] * phase[1],
        };
        let offsets: Vec<usize> =
            (0..inputs).flat_map(|input| taps.iter().map(move |tap| input * pitch + tap)).collect();
        let terms = offsets.len();
        let by_row = rows * columns.next_multiple_of(LANES) * terms;
        let (spans, direct) = if dense {
            (spans(1, rows * columns, rows * columns), true)
        } else if columns >= LANES && by_row <= places * (terms + GAPS) {
            (spans(rows, columns, phase[1]), true)
        } else {
            (spans(1, places.next_multiple_of(LANES), 0), false)
        };
        let line = places.next_multiple_of(LANES);
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

    /// Puts a channel's input into its phases, whose padding stays as it is.
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

/// Puts the channels of an image into their phases.
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
