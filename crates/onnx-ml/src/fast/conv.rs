//! Convolutions with constant weights over one or two axes.
//!
//! A channel of the padded input is split by the strides into planes, so that what an output takes
//! from a plane lies at the output's own place plus an offset that is the same for all outputs. The
//! sums of [`LANES`] neighbouring outputs, of several channels, then stay in registers while all
//! inputs go by. What is computed for places between the rows is dropped.

use crate::kernel::{Fact, Kernel, tensor};
use crate::simd::{Product, is_wide, product};
use std::ops::Range;
use tract_onnx::tract_core::ops::cnn::PoolSpec;
use tract_onnx::tract_hir::internal::*;

const LANES: usize = 16;

/// The most that a tile reads at once.
const LONGEST: usize = 8 * LANES;

#[derive(Debug)]
pub struct Conv {
    /// Of the format `NCHW`.
    pool: PoolSpec,
    groups: usize,
    /// Channels of a group.
    inputs: usize,
    outputs: usize,
    /// Of a group, in this order.
    panels: Vec<Panel>,
    /// By group, panel and input, an element for each output of the panel.
    weights: Vec<f32>,
    /// What the outputs are limited to.
    pub range: (f32, f32),
    /// By group and output, with those that fill the panels up.
    bias: Vec<f32>,
}

/// Outputs that are computed together.
#[derive(Debug, Clone, Copy)]
struct Panel {
    outputs: usize,
    /// A power of two, no less than `outputs`.
    size: usize,
}

impl Conv {
    /// `weights` are `[outputs, inputs of a group, height, width]`.
    pub fn new(pool: PoolSpec, groups: usize, weights: &[f32], bias: &[f32]) -> Conv {
        let outputs = pool.output_channels / groups;
        let inputs = pool.input_channels / groups;
        let terms = inputs * pool.kernel_shape.iter().product::<usize>();
        let largest = if is_wide() { 8 } else { 4 };
        let panels: Vec<Panel> = (0..outputs)
            .step_by(largest)
            .map(|first| (outputs - first).min(largest))
            .map(|outputs| Panel { outputs, size: outputs.next_power_of_two() })
            .collect();
        let mut packed = Vec::with_capacity(weights.len());
        let mut packed_bias = Vec::with_capacity(bias.len());
        for group in 0..groups {
            let mut first = group * outputs;
            for panel in &panels {
                let of_panel = |output: usize| (output < panel.outputs).then_some(first + output);
                let lines = (0..panel.size).map(of_panel);
                packed_bias.extend(lines.clone().map(|line| line.map_or(0.0, |line| bias[line])));
                for term in 0..terms {
                    let weight = |line: usize| weights[line * terms + term];
                    packed.extend(lines.clone().map(|line| line.map_or(0.0, weight)));
                }
                first += panel.outputs;
            }
        }
        let range = (f32::NEG_INFINITY, f32::INFINITY);
        Conv { pool, groups, inputs, outputs, panels, weights: packed, range, bias: packed_bias }
    }
}

impl Kernel for Conv {
    const NAME: &'static str = "FastConv";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let shape = self.pool.output_shape(&inputs[0].shape)?.shape;
        Ok(tvec!(Fact::new(f32::datum_type(), shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let shape = self.pool.output_shape(inputs[0].shape())?.shape;
        let x = inputs[0].try_as_plain_ram()?;
        let x = x.as_slice::<f32>()?;
        let added = inputs.get(1).map(|added| added.try_as_plain_ram()).transpose()?;
        let added = added.as_ref().map(|added| added.as_slice::<f32>()).transpose()?;
        let plane = Plane::new(&self.pool, &inputs[0].shape()[2..], &shape[2..]);
        let y = match shape.iter().product() {
            0 => vec![],
            _ => Work { conv: self, plane: &plane, x, added }.run(),
        };
        Ok(vec![tensor(&shape, y)?])
    }
}

/// Where inputs and outputs of one channel lie.
struct Plane {
    /// Rows and columns.
    input: [usize; 2],
    output: [usize; 2],
    stride: [usize; 2],
    before: [usize; 2],
    /// The remainders of the places in the padded input, by the strides, that are used.
    phases: Vec<[usize; 2]>,
    /// Rows and columns of each phase.
    phase: [usize; 2],
    /// Where in the phases the elements of the kernel start.
    taps: Vec<usize>,
    /// The phases are the input itself.
    whole: bool,
}

impl Plane {
    fn new(pool: &PoolSpec, input: &[usize], output: &[usize]) -> Plane {
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
        let whole = taps.len() == 1
            && stride == [1; 2]
            && before == [0; 2]
            && input == output
            && input[0] * input[1] >= LANES;
        Plane { input, output, stride, before, phases, phase, taps, whole }
    }

    /// From an output's place in a phase to the end of the last one's.
    fn places(&self) -> usize {
        (self.output[0] - 1) * self.phase[1] + self.output[1]
    }

    fn phases_len(&self) -> usize {
        self.phases.len() * self.phase[0] * self.phase[1]
    }

    /// Puts a channel's input into its phases, whose padding stays as it is.
    fn split(&self, x: &[f32], split: &mut [f32]) {
        let [rows, columns] = self.phase;
        for (phase, split) in self.phases.iter().zip(split.chunks_exact_mut(rows * columns)) {
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
                    1 => split.copy_from_slice(&line[..split.len()]),
                    2 => split.iter_mut().zip(line.chunks(2)).for_each(|(to, from)| *to = from[0]),
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

    /// Whether nothing lies between the rows of places, and a tile fits.
    fn is_dense(&self) -> bool {
        self.phase[1] == self.output[1] && self.places() >= LANES
    }
}

struct Work<'a> {
    conv: &'a Conv,
    plane: &'a Plane,
    x: &'a [f32],
    added: Option<&'a [f32]>,
}

impl Work<'_> {
    fn run(self) -> Vec<f32> {
        let Work { conv, plane, x, added } = self;
        let input_len = plane.input[0] * plane.input[1];
        let output_len = plane.output[0] * plane.output[1];
        let pitch = if plane.whole { input_len } else { plane.phases_len() };
        let split_len = if plane.whole { 0 } else { conv.inputs * pitch + LONGEST };
        let mut split = vec![0.0; split_len];
        let offsets: Vec<usize> = (0..conv.inputs)
            .flat_map(|input| plane.taps.iter().map(move |tap| input * pitch + tap))
            .collect();
        let images = x.len() / (conv.groups * conv.inputs * input_len).max(1);
        let mut y = Vec::with_capacity(images * conv.groups * conv.outputs * output_len);
        // What a tile computes after the last place is dropped.
        let line = plane.places().next_multiple_of(LONGEST);
        let widest = conv.panels.iter().map(|panel| panel.size).max().unwrap_or(0);
        let mut lines = vec![0.0; if plane.is_dense() { 0 } else { widest * line }];
        for image in x.chunks_exact((conv.groups * conv.inputs * input_len).max(1)) {
            let (mut weights, mut bias) = (&conv.weights[..], &conv.bias[..]);
            for x in image.chunks_exact(conv.inputs * input_len) {
                let x = if plane.whole {
                    x
                } else {
                    let channels = x.chunks_exact(input_len).zip(split.chunks_exact_mut(pitch));
                    channels.for_each(|(x, split)| plane.split(x, split));
                    &split
                };
                for panel in &conv.panels {
                    let start = y.len();
                    y.resize(start + panel.outputs * output_len, 0.0);
                    let job = Job {
                        plane,
                        offsets: &offsets,
                        x,
                        weights: &weights[..offsets.len() * panel.size],
                        bias: &bias[..panel.size],
                        added: added.map(|added| &added[start..y.len()]),
                        range: conv.range,
                        lines: &mut lines,
                        line,
                        y: &mut y[start..],
                    };
                    match (panel.size, is_wide()) {
                        (8, _) => product(Tiles::<8, 2, 16>(job)),
                        (4, true) => product(Tiles::<4, 4, 16>(job)),
                        (4, false) => product(Tiles::<4, 1, 4>(job)),
                        (2, true) => product(Tiles::<2, 4, 8>(job)),
                        (2, false) => product(Tiles::<2, 2, 4>(job)),
                        (_, true) => product(Tiles::<1, 8, 8>(job)),
                        (_, false) => product(Tiles::<1, 4, 4>(job)),
                    }
                    weights = &weights[offsets.len() * panel.size..];
                    bias = &bias[panel.size..];
                }
            }
        }
        y
    }
}

/// One panel of one image.
struct Job<'a> {
    plane: &'a Plane,
    offsets: &'a [usize],
    x: &'a [f32],
    weights: &'a [f32],
    bias: &'a [f32],
    added: Option<&'a [f32]>,
    range: (f32, f32),
    /// The sums of each output, where those of all places are no outputs.
    lines: &'a mut [f32],
    line: usize,
    y: &'a mut [f32],
}

/// In tiles of `R` outputs and `V * LANES` places, of which there are `N = R * V` sums.
struct Tiles<'a, const R: usize, const V: usize, const N: usize>(Job<'a>);

impl<const R: usize, const V: usize, const N: usize> Product for Tiles<'_, R, V, N> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let mut job = self.0;
        let (places, dense) = (job.plane.places(), job.plane.is_dense());
        let mut start = 0;
        while start < places {
            let left = places - start;
            if left >= V * LANES || left > (V - 1) * LANES && !dense {
                job.tile::<R, N, FMA>(start, dense);
                start += V * LANES;
            } else {
                let from = if dense { start.min(places - LANES) } else { start };
                job.tile::<R, R, FMA>(from, dense);
                start = from + LANES;
            }
        }
        if !dense {
            job.drop_gaps();
        }
    }
}

impl Job<'_> {
    /// The sums of `N / R * LANES` places from `start`, in each channel.
    ///
    /// The loop over the sums has constant bounds, and what is handed on is a copy of them, so that
    /// the compiler keeps them in registers.
    #[inline(always)]
    fn tile<const R: usize, const N: usize, const FMA: bool>(&mut self, start: usize, dense: bool) {
        let x = &self.x[start..];
        let (weights, _) = self.weights.as_chunks::<R>();
        let mut sums = [[0.0; LANES]; N];
        for (n, sums) in sums.iter_mut().enumerate() {
            *sums = [self.bias[n % R]; LANES];
        }
        for (weights, offset) in weights.iter().zip(self.offsets) {
            let (x, _) = x[*offset..][..N / R * LANES].as_chunks::<LANES>();
            for n in 0..N {
                add_scaled::<FMA>(&mut sums[n], weights[n % R], &x[n / R]);
            }
        }
        let done = sums;
        let done = std::hint::black_box(&done);
        let (y, length) = match dense {
            true => (&mut *self.y, self.plane.places()),
            false => (&mut *self.lines, self.line),
        };
        for (channel, y) in y.chunks_exact_mut(length).enumerate().take(R) {
            let (y, _) = y[start..][..N / R * LANES].as_chunks_mut::<LANES>();
            let added = self.added.filter(|_| dense);
            let added = added.map(|added| &added[channel * length + start..][..N / R * LANES]);
            for v in 0..N / R {
                let sums = &done[v * R + channel];
                y[v] = match added {
                    Some(added) => std::array::from_fn(|i| sums[i] + added[v * LANES + i]),
                    None => *sums,
                };
                if dense || self.added.is_none() {
                    y[v] = y[v].map(|sum| limited(self.range, sum));
                }
            }
        }
    }

    /// Puts the places that are outputs into their place.
    #[inline(always)]
    fn drop_gaps(&mut self) {
        let [rows, columns] = self.plane.output;
        let pitch = self.plane.phase[1];
        let channels = self.y.chunks_exact_mut(rows * columns).zip(self.lines.chunks(self.line));
        for (channel, (y, line)) in channels.enumerate() {
            let sums = line.chunks(pitch).map(|row| &row[..columns]);
            for (row, (y, sums)) in y.chunks_exact_mut(columns).zip(sums).enumerate() {
                let Some(added) = self.added else {
                    y.copy_from_slice(sums);
                    continue;
                };
                let added = &added[(channel * rows + row) * columns..][..columns];
                let sums = sums.iter().zip(added).map(|(sum, added)| sum + added);
                y.iter_mut().zip(sums).for_each(|(y, sum)| *y = limited(self.range, sum));
            }
        }
    }
}

#[inline(always)]
fn limited((low, high): (f32, f32), sum: f32) -> f32 {
    let sum = if sum < low { low } else { sum };
    if sum > high { high } else { sum }
}

#[inline(always)]
fn add_scaled<const FMA: bool>(sums: &mut [f32; LANES], weight: f32, x: &[f32; LANES]) {
    for (sum, x) in sums.iter_mut().zip(x) {
        *sum = if FMA { weight.mul_add(*x, *sum) } else { *sum + weight * *x };
    }
}
