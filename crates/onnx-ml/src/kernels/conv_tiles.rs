//! The inner loops of a convolution. They compute sums in tiles, which stay in registers (register
//! blocking).
//!
//! A tile covers `R` output channels and `V` spans of [`LANES`] adjacent outputs each. It has one vector of [`LANES`]
//! sums for each pair of channel and span. The loop runs over the taps (pairs of input channel and kernel element). For
//! each tap, the loop loads `V` vectors of inputs and `R` weights, and adds each of the `R · V` products to a separate
//! vector of sums. Larger tiles use each loaded value more often. The number of registers limits the size of a tile.
//!
//! Inputs are in the layout of [`conv_plane`](super::conv_plane).

use super::conv_plane::{LANES, Plane, Span};
use crate::kernels::simd::{Product, is_wide, product};
use crate::kernels::slices::copy;

/// The computation of one panel (a few output channels of one group) for one image.
///
/// Each output is the sum of its products, plus the bias, plus `added`, limited to `range`.
pub struct Job<'a> {
    pub plane: &'a Plane,
    /// Phases of the group's input channels, see [`Plane`].
    pub x: &'a [f32],
    /// Weights of the panel, `[tap][output channel]`. The number of channels is padded to a power
    /// of two.
    pub weights: &'a [f32],
    /// Bias of each output channel of the panel. Padded like `weights`.
    pub bias: &'a [f32],
    /// Tensor to add to the output, in the layout of `y`, for a fused addition.
    pub added: Option<&'a [f32]>,
    /// Lower and upper bound of the output, for a fused activation.
    pub range: (f32, f32),
    /// Buffer with a line for each channel. The lines have gaps. The buffer is used if spans cannot
    /// be written directly to the output; see [`Plane::direct`].
    pub lines: &'a mut [f32],
    /// Output, `[output channel][row][column]`, without padded channels.
    pub y: &'a mut [f32],
}

/// Runs a job in tiles of `R` output channels and `V` spans. `N` must be `R * V`, the number of
/// vectors of sums. `WIDE` selects processors with AVX-512, see [`Product::WIDE`].
struct Tiles<'a, const R: usize, const V: usize, const N: usize, const WIDE: bool>(Job<'a>);

impl<const R: usize, const V: usize, const N: usize, const WIDE: bool> Product
    for Tiles<'_, R, V, N, WIDE>
{
    type Output = ();

    const WIDE: Option<bool> = Some(WIDE);

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let mut job = self.0;
        let (tiles, rest) = job.plane.spans.as_chunks::<V>();
        for tile in tiles {
            job.tile::<R, V, N, FMA>(*tile);
        }
        // Fewer than `V` spans remain: compute them one by one.
        for span in rest {
            job.tile::<R, 1, R, FMA>([*span]);
        }
        if !job.plane.direct {
            job.drop_gaps();
        }
    }
}

impl Job<'_> {
    /// Computes a panel of `size` output channels (including padded channels).
    ///
    /// AVX-512 has 32 registers of 16 floats: 16 vectors of sums fit, with room for inputs and weights. AVX2 has 16
    /// registers of 8 floats. A vector of 16 sums takes two registers, so 4 vectors of sums take 8 registers and leave
    /// 8 registers for inputs and weights.
    pub fn run(self, size: usize) {
        match (size, is_wide()) {
            // A 3×3 kernel with 9 taps has one input channel: a depthwise convolution.
            (1, _) if self.plane.is_3x3 && self.plane.offsets.len() == 9 => {
                product(Depthwise(self))
            }
            // Panels of 8 channels only exist on processors with AVX-512.
            (8, _) => product(Tiles::<8, 2, 16, true>(self)),
            (4, true) => product(Tiles::<4, 4, 16, true>(self)),
            (4, false) => product(Tiles::<4, 1, 4, false>(self)),
            (2, true) => product(Tiles::<2, 4, 8, true>(self)),
            (2, false) => product(Tiles::<2, 2, 4, false>(self)),
            (_, true) => product(Tiles::<1, 8, 8, true>(self)),
            (_, false) => product(Tiles::<1, 4, 4, false>(self)),
        }
    }

    /// Computes `V` spans for `R` output channels. The vector of sums for span `v` and channel `r`
    /// is `sums[v * R + r]`.
    ///
    /// Two details make the compiler keep the sums in registers: the loop over the sums has
    /// constant bounds, and only a copy of the sums is used after the loop over the taps.
    /// `black_box` prevents the compiler from removing the copy.
    ///
    /// If spans are written to lines with gaps and `added` exists, this function only adds the
    /// bias. [`Job::drop_gaps`] then adds `added`, which has no gaps, and applies the bounds.
    #[inline(always)]
    fn tile<const R: usize, const V: usize, const N: usize, const FMA: bool>(
        &mut self,
        spans: [Span; V],
    ) {
        let inputs: [&[f32]; V] = std::array::from_fn(|v| &self.x[spans[v].from..]);
        let (weights, _) = self.weights.as_chunks::<R>();
        let mut sums = [[0.0; LANES]; N];
        for (weights, offset) in weights.iter().zip(&self.plane.offsets) {
            let x: [[f32; LANES]; V] = std::array::from_fn(|v| lanes(&inputs[v][*offset..]));
            for n in 0..N {
                add_scaled::<FMA>(&mut sums[n], weights[n % R], &x[n / R]);
            }
        }
        let final_sums = Aligned(sums);
        let Aligned(final_sums) = std::hint::black_box(&final_sums);
        let direct = self.plane.direct;
        let (y, length) = if direct {
            (&mut *self.y, self.plane.output[0] * self.plane.output[1])
        } else {
            (&mut *self.lines, self.plane.line_len)
        };
        // `y` has no elements for padded channels, so the iterator ends before them. `lines` has
        // elements for them.
        let channels = y.chunks_exact_mut(length).zip(self.bias).enumerate().take(R);
        match self.added {
            Some(added) if direct => {
                for (channel, (y, bias)) in channels {
                    let added = &added[channel * length..][..length];
                    for (v, span) in spans.iter().enumerate() {
                        let added = lanes(&added[span.to..]);
                        let sums = &final_sums[v * R + channel];
                        let sum = |lane: usize| sums[lane] + *bias + added[lane];
                        let sums = std::array::from_fn(|lane| limited(self.range, sum(lane)));
                        set_lanes(&mut y[span.to..], sums);
                    }
                }
            }
            Some(_) => {
                for (channel, (y, bias)) in channels {
                    for (v, span) in spans.iter().enumerate() {
                        let sums = final_sums[v * R + channel].map(|sum| sum + bias);
                        set_lanes(&mut y[span.to..], sums);
                    }
                }
            }
            None => {
                for (channel, (y, bias)) in channels {
                    for (v, span) in spans.iter().enumerate() {
                        let sums = &final_sums[v * R + channel];
                        let sums = sums.map(|sum| limited(self.range, sum + bias));
                        set_lanes(&mut y[span.to..], sums);
                    }
                }
            }
        }
    }

    /// Copies the outputs from the lines with gaps to `y`. If `added` exists, adds it and applies
    /// the bounds; otherwise [`Job::tile`] has applied them. Rows are `plane.phase[1]` positions
    /// apart in a line, and the first `columns` positions of each row are outputs.
    #[inline(always)]
    fn drop_gaps(&mut self) {
        let [rows, columns] = self.plane.output;
        let pitch = self.plane.phase[1];
        let lines = self.lines.chunks_exact(self.plane.line_len);
        let channels = self.y.chunks_exact_mut(rows * columns).zip(lines);
        for (channel, (y, line)) in channels.enumerate() {
            let sums = line.chunks(pitch).map(|row| &row[..columns]);
            for (row, (y, sums)) in y.chunks_exact_mut(columns).zip(sums).enumerate() {
                let Some(added) = self.added else {
                    copy(y, sums);
                    continue;
                };
                let added = &added[(channel * rows + row) * columns..][..columns];
                let sums = sums.iter().zip(added).map(|(sum, added)| sum + added);
                y.iter_mut().zip(sums).for_each(|(y, sum)| *y = limited(self.range, sum));
            }
        }
    }
}

/// A depthwise convolution with a 3×3 kernel: one input channel and one output channel.
///
/// The outputs are computed in blocks of `ROWS` × [`LANES`]. Each input row contributes to three
/// output rows, to each of them with a different kernel row, and is loaded once for all three output rows. Blocks at
/// the lower and right border are aligned with the border, so they may overlap other blocks. An
/// output of fewer than `ROWS` rows is computed row by row.
struct Depthwise<'a>(Job<'a>);

impl Product for Depthwise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        const ROWS: usize = 4;
        let mut job = self.0;
        let [rows, columns] = job.plane.output;
        for start in (0..columns).step_by(LANES) {
            let column = start.min(columns.saturating_sub(LANES));
            let (blocks, single) = if rows < ROWS { (0, rows) } else { (rows.div_ceil(ROWS), 0) };
            for row in (0..blocks).map(|block| (block * ROWS).min(rows - ROWS)) {
                if columns >= LANES {
                    job.depthwise_rows::<ROWS, true, FMA>(row, column);
                } else {
                    job.depthwise_rows::<ROWS, false, FMA>(row, column);
                }
            }
            for row in 0..single {
                job.depthwise_rows::<1, false, FMA>(row, column);
            }
        }
    }
}

impl Job<'_> {
    /// Computes `N` output rows of [`LANES`] columns of a depthwise convolution, from (`row`, `column`) on. If `WIDE`
    /// is `true`, the output must have at least [`LANES`] columns. If `WIDE` is `false`, the output may have fewer
    /// columns, and the lanes beyond the output are dropped.
    #[inline(always)]
    fn depthwise_rows<const N: usize, const WIDE: bool, const FMA: bool>(
        &mut self,
        row: usize,
        column: usize,
    ) {
        let [_, columns] = self.plane.output;
        let pitch = self.plane.phase[1];
        let Some(weights) = self.weights.first_chunk::<9>() else { return };
        let mut sums = [[0.0; LANES]; N];
        // For output row `n`, input row `line` is multiplied by kernel row `line - n`. `x[k]` is
        // the input row, shifted by `k` columns.
        for line in 0..N + 2 {
            let x = &self.x[(row + line) * pitch + column..][..LANES + 2];
            let x: [[f32; LANES]; 3] = std::array::from_fn(|k| lanes(&x[k..]));
            for (n, sums) in sums.iter_mut().enumerate() {
                if n <= line && line < n + 3 {
                    for (k, x) in x.iter().enumerate() {
                        add_scaled::<FMA>(sums, weights[(line - n) * 3 + k], x);
                    }
                }
            }
        }
        let final_sums = Aligned(sums);
        let Aligned(final_sums) = std::hint::black_box(&final_sums);
        let width = if WIDE { LANES } else { columns.min(LANES) };
        for (n, sums) in final_sums.iter().enumerate() {
            let position = (row + n) * columns + column;
            let mut added = [0.0; LANES];
            if let Some(all) = self.added {
                copy(&mut added[..width], &all[position..][..width]);
            }
            let sum = |lane: usize| limited(self.range, sums[lane] + self.bias[0] + added[lane]);
            let sums = std::array::from_fn(sum);
            if WIDE {
                set_lanes(&mut self.y[position..], sums)
            } else {
                copy(&mut self.y[position..][..width], &sums[..width])
            }
        }
    }
}

/// A value aligned to a cache line (64 bytes). Without the alignment, a vector could cross the
/// border between two cache lines. If a load then soon follows a store to the same address, the
/// processor cannot forward the stored value, and the load has to wait.
#[repr(align(64))]
struct Aligned<T>(T);

/// Loads the first [`LANES`] elements of `x`.
#[inline(always)]
fn lanes(x: &[f32]) -> [f32; LANES] {
    let (lanes, _) = x[..LANES].as_chunks::<LANES>();
    lanes[0]
}

/// Stores to the first [`LANES`] elements of `y`.
#[inline(always)]
fn set_lanes(y: &mut [f32], sums: [f32; LANES]) {
    let (lanes, _) = y[..LANES].as_chunks_mut::<LANES>();
    lanes[0] = sums;
}

/// Limits `sum` to the range. NaN stays NaN.
#[inline(always)]
fn limited((low, high): (f32, f32), sum: f32) -> f32 {
    let sum = if sum < low { low } else { sum };
    if sum > high { high } else { sum }
}

/// Adds `weight * x` to `sums`, lane by lane.
#[inline(always)]
fn add_scaled<const FMA: bool>(sums: &mut [f32; LANES], weight: f32, x: &[f32; LANES]) {
    for (sum, x) in sums.iter_mut().zip(x) {
        *sum = if FMA { weight.mul_add(*x, *sum) } else { *sum + weight * *x };
    }
}
