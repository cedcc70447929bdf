//! Sums of a convolution, computed in tiles that stay in registers.
//!
//! A tile covers `R` output channels and `V` spans of [`LANES`] adjacent positions. For each input
//! channel and kernel element it loads `V` vectors of inputs and `R` weights, and adds each of the
//! `R · V` products to its own sum. A large tile reuses every load more often; its size is limited
//! by the number of registers.

use super::conv_plane::{LANES, Plane, Span};
use crate::kernels::simd::{Product, copy, is_wide, product};

/// The computation of one panel of output channels for one image.
pub struct Job<'a> {
    pub plane: &'a Plane,
    pub x: &'a [f32],
    pub weights: &'a [f32],
    pub bias: &'a [f32],
    pub added: Option<&'a [f32]>,
    pub range: (f32, f32),
    /// Buffer for lines with gaps, if spans cannot be written directly to the output.
    pub lines: &'a mut [f32],
    pub y: &'a mut [f32],
}

/// Computation in tiles of `R` output channels and `V` spans, which have `N = R * V` vectors of
/// sums.
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
        for span in rest {
            job.tile::<R, 1, R, FMA>([*span]);
        }
        if !job.plane.direct {
            job.drop_gaps();
        }
    }
}

impl Job<'_> {
    /// Computes a panel that is padded to `size` output channels.
    pub fn run(self, size: usize) {
        match (size, is_wide()) {
            (1, _) if self.plane.is_three && self.plane.offsets.len() == 9 => {
                product(Depthwise(self))
            }
            (8, _) => product(Tiles::<8, 2, 16, true>(self)),
            (4, true) => product(Tiles::<4, 4, 16, true>(self)),
            (4, false) => product(Tiles::<4, 1, 4, false>(self)),
            (2, true) => product(Tiles::<2, 4, 8, true>(self)),
            (2, false) => product(Tiles::<2, 2, 4, false>(self)),
            (_, true) => product(Tiles::<1, 8, 8, true>(self)),
            (_, false) => product(Tiles::<1, 4, 4, false>(self)),
        }
    }

    /// Computes the sums of `V` spans for `R` output channels, adds bias and other operand, and
    /// applies the bounds.
    ///
    /// The loop over the sums has constant bounds, and only a copy of the sums leaves the function
    /// (through `black_box`). Otherwise the compiler would keep the sums in memory.
    #[inline(always)]
    fn tile<const R: usize, const V: usize, const N: usize, const FMA: bool>(
        &mut self,
        spans: [Span; V],
    ) {
        let lines: [&[f32]; V] = std::array::from_fn(|v| &self.x[spans[v].from..]);
        let (weights, _) = self.weights.as_chunks::<R>();
        let mut sums = [[0.0; LANES]; N];
        for (weights, offset) in weights.iter().zip(&self.plane.offsets) {
            let x: [[f32; LANES]; V] = std::array::from_fn(|v| lanes(&lines[v][*offset..]));
            for n in 0..N {
                add_scaled::<FMA>(&mut sums[n], weights[n % R], &x[n / R]);
            }
        }
        let done = Aligned(sums);
        let Aligned(done) = std::hint::black_box(&done);
        let direct = self.plane.direct;
        let (y, length) = if direct {
            (&mut *self.y, self.plane.output[0] * self.plane.output[1])
        } else {
            (&mut *self.lines, self.plane.line)
        };
        let channels = y.chunks_exact_mut(length).zip(self.bias).enumerate().take(R);
        match self.added {
            Some(added) if direct => {
                for (channel, (y, bias)) in channels {
                    let added = &added[channel * length..][..length];
                    for (v, span) in spans.iter().enumerate() {
                        let added = lanes(&added[span.to..]);
                        let sums = &done[v * R + channel];
                        let sum = |lane: usize| sums[lane] + *bias + added[lane];
                        let sums = std::array::from_fn(|lane| limited(self.range, sum(lane)));
                        set_lanes(&mut y[span.to..], sums);
                    }
                }
            }
            Some(_) => {
                for (channel, (y, bias)) in channels {
                    for (v, span) in spans.iter().enumerate() {
                        let sums = done[v * R + channel].map(|sum| sum + bias);
                        set_lanes(&mut y[span.to..], sums);
                    }
                }
            }
            None => {
                for (channel, (y, bias)) in channels {
                    for (v, span) in spans.iter().enumerate() {
                        let sums = &done[v * R + channel];
                        let sums = sums.map(|sum| limited(self.range, sum + bias));
                        set_lanes(&mut y[span.to..], sums);
                    }
                }
            }
        }
    }

    /// Copies lines to the output without the gaps between rows.
    #[inline(always)]
    fn drop_gaps(&mut self) {
        let [rows, columns] = self.plane.output;
        let pitch = self.plane.phase[1];
        let lines = self.lines.chunks_exact(self.plane.line);
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

/// Depthwise convolution with a 3×3 kernel: one input and one output channel. Each vector of inputs
/// is loaded once for up to three rows of the output.
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
                match columns >= LANES {
                    true => job.rows::<ROWS, true, FMA>(row, column),
                    false => job.rows::<ROWS, false, FMA>(row, column),
                }
            }
            for row in 0..single {
                job.rows::<1, false, FMA>(row, column);
            }
        }
    }
}

impl Job<'_> {
    /// Computes `N` rows of [`LANES`] columns from (`row`, `column`) on. `WIDE` is `true` if the
    /// output has at least that many columns.
    #[inline(always)]
    fn rows<const N: usize, const WIDE: bool, const FMA: bool>(
        &mut self,
        row: usize,
        column: usize,
    ) {
        let [_, columns] = self.plane.output;
        let pitch = self.plane.phase[1];
        let Some(weights) = self.weights.first_chunk::<9>() else { return };
        let mut sums = [[0.0; LANES]; N];
        for line in 0..N + 2 {
            let x = &self.x[(row + line) * pitch + column..][..LANES + 2];
            let x: [[f32; LANES]; 3] = std::array::from_fn(|tap| lanes(&x[tap..]));
            for (n, sums) in sums.iter_mut().enumerate() {
                if n <= line && line < n + 3 {
                    for (tap, x) in x.iter().enumerate() {
                        add_scaled::<FMA>(sums, weights[(line - n) * 3 + tap], x);
                    }
                }
            }
        }
        let done = Aligned(sums);
        let Aligned(done) = std::hint::black_box(&done);
        let width = if WIDE { LANES } else { columns.min(LANES) };
        for (n, sums) in done.iter().enumerate() {
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

/// Aligned to a cache line: a load that crosses cache lines soon after the store could not be
/// forwarded from the store buffer.
#[repr(align(64))]
struct Aligned<T>(T);

#[inline(always)]
fn lanes(x: &[f32]) -> [f32; LANES] {
    let (lanes, _) = x[..LANES].as_chunks::<LANES>();
    lanes[0]
}

#[inline(always)]
fn set_lanes(y: &mut [f32], sums: [f32; LANES]) {
    let (lanes, _) = y[..LANES].as_chunks_mut::<LANES>();
    lanes[0] = sums;
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
