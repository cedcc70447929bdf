//! Where a convolution finds its inputs: each channel, padded and split by the strides.

use super::conv_tiles::LANES;
use crate::simd::{Vectorized, copy};
use std::ops::Range;
use tract_onnx::tract_core::ops::cnn::PoolSpec;

/// What leaving gaps between rows costs an output, in products.
const GAPS: usize = 8;

/// Where inputs and outputs of one channel lie.
pub struct Plane {
    /// Rows and columns.
    pub input: [usize; 2],
    pub output: [usize; 2],
    stride: [usize; 2],
    before: [usize; 2],
    /// The remainders of the places in the padded input, by the strides, that are used.
    phases: Vec<[usize; 2]>,
    /// Rows and columns of each phase.
    pub phase: [usize; 2],
    /// Where in the phases the elements of the kernel start.
    pub taps: Vec<usize>,
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
    /// `terms` are the products of an output's sum.
    pub fn new(pool: &PoolSpec, input: &[usize], output: &[usize], terms: usize) -> Plane {
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
        let mut phases = vec![];
        let mut taps = vec![];
        for y in (0..kernel[0]).map(|y| y * dilation[0]) {
            for x in (0..kernel[1]).map(|x| x * dilation[1]) {
                let remainder = [y % stride[0], x % stride[1]];
                let found = phases.iter().position(|phase| *phase == remainder);
                let index = found.unwrap_or(phases.len());
                if found.is_none() {
                    phases.push(remainder);
                }
                let row = index * phase[0] + y / stride[0];
                taps.push(row * phase[1] + x / stride[1]);
            }
        }
        let whole = taps.len() == 1 && stride == [1; 2] && before == [0; 2] && input == output;
        let is_three = kernel == [3; 2] && phases.len() == 1 && dilation == [1; 2];
        let [rows, columns] = output;
        // From the first output to the last.
        let places = rows.saturating_sub(1) * phase[1] + columns;
        let dense = phase[1] == columns && rows * columns >= LANES;
        let by_row = rows * columns.next_multiple_of(LANES) * terms;
        let (spans, direct) = if dense {
            (spans(1, rows * columns, rows * columns), true)
        } else if columns >= LANES && by_row <= places * (terms + GAPS) {
            (spans(rows, columns, phase[1]), true)
        } else {
            (spans(1, places.next_multiple_of(LANES), 0), false)
        };
        let line = places.next_multiple_of(LANES);
        let whole = whole && dense;
        Plane {
            input,
            output,
            stride,
            before,
            phases,
            phase,
            taps,
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
            let [ys, xs] = [0, 1].map(|axis| self.inside(axis, phase[axis]));
            let from = |axis: usize, index: usize| {
                index * self.stride[axis] + phase[axis] - self.before[axis]
            };
            if xs.is_empty() {
                continue;
            }
            for row in ys {
                let line = &x[from(0, row) * self.input[1]..][..self.input[1]];
                let line = &line[from(1, xs.start)..];
                let split = &mut split[row * columns..][xs.clone()];
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

    /// Which of a phase's rows or columns are no padding.
    fn inside(&self, axis: usize, phase: usize) -> Range<usize> {
        let (stride, before) = (self.stride[axis], self.before[axis]);
        let first = before.saturating_sub(phase).div_ceil(stride);
        let end = (self.input[axis] + before).saturating_sub(phase).div_ceil(stride);
        first..end.min(self.phase[axis]).max(first)
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
