//! The layout of a convolution's input in memory: each channel is padded and split into phases.
//!
//! For strides (sy, sx), a channel has sy · sx phases. Phase (i, j) contains the elements of the
//! padded channel in the rows i, i + sy, i + 2 sy, … and in the columns j, j + sx, j + 2 sx, ….
//! With stride 1 there is one phase: the padded channel itself. Along an axis, the kernel element at
//! distance d from the start of the kernel reads only the phase whose index is d modulo the stride.
//! Consecutive outputs read consecutive elements of this phase. So for each kernel element, the
//! inputs of [`LANES`] adjacent outputs are one contiguous vector, for every stride.
//!
//! The phases of all channels are stored one after the other: `[channel][phase][row][column]`. All
//! phases have the same size. A phase may have more columns than the output, because the last
//! output of a row also reads elements to the right of its own position.
//!
//! A position in a phase is `row * columns of the phase + column`. An output reads one element for
//! each tap (pair of input channel and kernel element): the element at the position of the output
//! plus the offset of the tap. The offset does not depend on the position.

use crate::kernels::simd::Vectorized;
use crate::kernels::slices::copy;
use std::ops::Range;
use tract_onnx::tract_core::ops::cnn::PoolSpec;

/// Number of adjacent outputs that are computed together.
pub const LANES: usize = 16;

/// Estimated additional cost, in multiply-adds, of writing an output to a line with gaps (see [`Plane::direct`]) and
/// copying it.
const GAP_COST: usize = 8;

/// The layout of one channel of inputs and outputs, for inputs of one size.
///
/// If the convolution has one spatial axis, there is one row.
#[derive(Debug)]
pub struct Plane {
    /// Number of rows and of columns of the input, without padding.
    pub input: [usize; 2],
    /// Number of rows and of columns of the output.
    pub output: [usize; 2],
    /// Strides along rows and columns.
    stride: [usize; 2],
    /// The phases that at least one kernel element reads, in the order in which the kernel elements
    /// first read them.
    phases: Vec<Phase>,
    /// Number of rows and of columns of each phase, including padding.
    pub phase: [usize; 2],
    /// Offset of each tap in the phases of all input channels of a group, in the order of the
    /// weights: `[input channel][kernel row][kernel column]`.
    pub offsets: Vec<usize>,
    /// `true` if the input is used without a copy, because its only phase equals the input.
    pub in_place: bool,
    /// The spans that cover all outputs of a channel, in the order of computation.
    pub spans: Vec<Span>,
    /// `true` if spans write directly to the output. Otherwise they write to a line with gaps,
    /// which has one element for each position of the phase. The elements between the rows of the
    /// output (the gaps) are not outputs, and are dropped afterwards.
    pub direct: bool,
    /// Number of elements of the line with gaps, for one output channel.
    pub line_len: usize,
    /// `true` if the kernel is 3×3 without strides and dilations, so that the loop for depthwise
    /// convolutions can be used.
    pub is_3x3: bool,
}

/// The part of a phase that is copied from the input. The rest is padding.
#[derive(Debug)]
struct Phase {
    /// Range of rows and range of columns of the phase that are not padding.
    inside: [Range<usize>; 2],
    /// Row and column of the input element that is copied to the first row and column of `inside`.
    first: [usize; 2],
}

/// [`LANES`] outputs at adjacent positions of a phase.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Position of the first output in a phase. The inputs for a tap start at this position plus
    /// the tap's offset.
    pub from: usize,
    /// Index of the first output in the channel's output, or in the line with gaps.
    pub to: usize,
}

/// Returns spans that cover `rows` rows of `columns` outputs each. Rows are `pitch` positions apart
/// in a phase, and are adjacent in the output. The last span of a row is aligned with the end of
/// the row, so it may overlap the span before it. `columns` must be at least [`LANES`].
fn spans(rows: usize, columns: usize, pitch: usize) -> Vec<Span> {
    let starts = (0..columns).step_by(LANES).map(|start| start.min(columns - LANES));
    let row = |row: usize| {
        starts
            .clone()
            .map(move |start| Span { from: row * pitch + start, to: row * columns + start })
    };
    (0..rows).flat_map(row).collect()
}

/// Returns the phases that the kernel reads, as the remainders of their rows and columns. Also
/// returns, for each kernel element, the offset of its first input element in the phases of one
/// channel, `[phase][row][column]`.
fn read_phases(
    kernel: [usize; 2],
    dilation: [usize; 2],
    stride: [usize; 2],
    phase: [usize; 2],
) -> (Vec<[usize; 2]>, Vec<usize>) {
    let mut remainders: Vec<[usize; 2]> = vec![];
    let mut taps = vec![];
    for y in (0..kernel[0]).map(|y| y * dilation[0]) {
        for x in (0..kernel[1]).map(|x| x * dilation[1]) {
            let remainder = [y % stride[0], x % stride[1]];
            let seen = remainders.iter().position(|other| *other == remainder);
            let index = seen.unwrap_or(remainders.len());
            if seen.is_none() {
                remainders.push(remainder);
            }
            let row = index * phase[0] + y / stride[0];
            taps.push(row * phase[1] + x / stride[1]);
        }
    }
    (remainders, taps)
}

impl Plane {
    /// Creates the layout. `inputs` is the number of input channels per group. `input` and `output`
    /// are the spatial dimensions.
    ///
    /// There are three ways to cover the outputs with spans:
    /// - If the rows of a phase are as long as the rows of the output, consecutive rows are
    ///   adjacent, and the spans cover all outputs like one long row.
    /// - If the rows of the output are long enough, each row has its own spans.
    /// - Otherwise spans cover all positions from the first output to the last, including the gaps
    ///   between the rows, and write to a line with gaps.
    ///
    /// The first way is chosen if it is possible. The second way computes some outputs twice. The third way also
    /// computes the gaps, and copies the outputs. If the first way is not possible, the second or the third way is
    /// chosen, whichever has less work.
    pub fn new(pool: &PoolSpec, inputs: usize, input: &[usize], output: &[usize]) -> Plane {
        let padding = pool.computed_padding(input);
        // Returns `value` for both axes. A missing first axis has the value `missing`.
        let both_axes = |value: &dyn Fn(usize) -> usize, missing| match input.len() {
            1 => [missing, value(0)],
            _ => [value(0), value(1)],
        };
        let kernel = both_axes(&|axis| pool.kernel_shape[axis], 1);
        let stride = both_axes(&|axis| pool.stride(axis), 1);
        let dilation = both_axes(&|axis| pool.dilation(axis), 1);
        let before = both_axes(&|axis| padding[axis].pad_before, 0);
        let input = both_axes(&|axis| input[axis], 1);
        let output = both_axes(&|axis| output[axis], 1);
        // Along an axis, the number of positions of a phase that an output reads after its own
        // position.
        let reach = |axis: usize| (kernel[axis] - 1) * dilation[axis] / stride[axis];
        let phase = [0, 1].map(|axis| output[axis] + reach(axis));
        let (remainders, taps) = read_phases(kernel, dilation, stride, phase);
        // Along an axis, index i of a phase is index `i * stride + remainder - before` of the
        // input. Returns the range of i for which the input has this index.
        let inside = |axis: usize, remainder: usize| {
            let first = before[axis].saturating_sub(remainder).div_ceil(stride[axis]);
            let end = (input[axis] + before[axis]).saturating_sub(remainder);
            first..end.div_ceil(stride[axis]).min(phase[axis]).max(first)
        };
        let phase_of = |remainder: &[usize; 2]| {
            let inside = [0, 1].map(|axis| inside(axis, remainder[axis]));
            let first = [0, 1].map(|axis| {
                let padded = inside[axis].start * stride[axis] + remainder[axis];
                padded.saturating_sub(before[axis])
            });
            Phase { inside, first }
        };
        let phases: Vec<Phase> = remainders.iter().map(phase_of).collect();
        let is_3x3 = kernel == [3; 2] && phases.len() == 1 && dilation == [1; 2];
        let [rows, columns] = output;
        // Number of positions in a phase from the first output pixel to the last.
        let positions = rows.saturating_sub(1) * phase[1] + columns;
        // Consecutive rows are adjacent in a phase, and there are enough outputs for a span.
        let is_contiguous = phase[1] == columns && rows * columns >= LANES;
        let is_copy = taps.len() == 1 && stride == [1; 2] && before == [0; 2] && input == output;
        let in_place = is_copy && is_contiguous;
        // Number of elements of one input channel.
        let channel_len =
            if in_place { rows * columns } else { phases.len() * phase[0] * phase[1] };
        let offsets: Vec<usize> = (0..inputs)
            .flat_map(|input| taps.iter().map(move |tap| input * channel_len + tap))
            .collect();
        let row_cost = rows * columns.next_multiple_of(LANES) * offsets.len();
        let (spans, direct) = if is_contiguous {
            (spans(1, rows * columns, rows * columns), true)
        } else if columns >= LANES && row_cost <= positions * (offsets.len() + GAP_COST) {
            (spans(rows, columns, phase[1]), true)
        } else {
            (spans(1, positions.next_multiple_of(LANES), 0), false)
        };
        let line_len = positions.next_multiple_of(LANES);
        Plane {
            input,
            output,
            stride,
            phases,
            phase,
            offsets,
            in_place,
            spans,
            direct,
            line_len,
            is_3x3,
        }
    }

    /// Returns the number of elements of all phases of one input channel.
    pub fn phases_len(&self) -> usize {
        self.phases.len() * self.phase[0] * self.phase[1]
    }

    /// Copies one channel `x` of the input into its phases in `split`. Elements of the padding are not written, because
    /// they are already zero.
    #[inline(always)]
    fn split(&self, x: &[f32], split: &mut [f32]) {
        let [rows, columns] = self.phase;
        let phases = self.phases.iter().zip(split.chunks_exact_mut(rows * columns));
        for (phase, split) in phases {
            let [ys, xs] = phase.inside.clone();
            if xs.is_empty() {
                continue;
            }
            let [first_row, first_column] = phase.first;
            for (row, y) in ys.enumerate() {
                let line = &x[(first_row + row * self.stride[0]) * self.input[1]..];
                let line = &line[first_column..self.input[1]];
                let split = &mut split[y * columns..][xs.clone()];
                match self.stride[1] {
                    1 => copy(split, &line[..split.len()]),
                    // Take the first element of each pair. The constant length of the pairs lets
                    // the compiler vectorize the loop.
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

/// Copies the channels of one group of an image into their phases.
pub struct Split<'a> {
    pub plane: &'a Plane,
    /// Input channels, `[channel][row][column]`.
    pub x: &'a [f32],
    /// Buffer for the phases of all channels. Its padding must be zero.
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
