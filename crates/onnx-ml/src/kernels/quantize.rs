//! Linear quantization of floats to 8-bit integers, and its inverse.

use crate::kernels::simd::{Vectorized, vectorized};

/// An integer of 8 bits.
pub trait Narrow: Copy + Default + Into<f32> {
    /// The smallest and the largest integer.
    const RANGE: [f32; 2];

    /// Converts a float in [`Narrow::RANGE`] without a fractional part.
    fn narrow(x: f32) -> Self;
}

impl Narrow for u8 {
    const RANGE: [f32; 2] = [u8::MIN as f32, u8::MAX as f32];

    #[inline(always)]
    fn narrow(x: f32) -> u8 {
        x as i32 as u8
    }
}

impl Narrow for i8 {
    const RANGE: [f32; 2] = [i8::MIN as f32, i8::MAX as f32];

    #[inline(always)]
    fn narrow(x: f32) -> i8 {
        x as i32 as i8
    }
}

/// The order of the scales in a tensor.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Number of consecutive elements with the same scale.
    pub inner: usize,
}

/// Scales and zero points. The lists are repeated until the end of the tensor.
#[derive(Debug, Clone, Copy)]
pub struct Scales<'a> {
    pub scales: &'a [f32],
    pub zeros: &'a [f32],
    pub layout: Layout,
}

/// Sets each element of `y` to `round(x / scale) + zero`, clamped to the range of `T`. Ties are
/// rounded to even.
pub fn quantize<T: Narrow>(x: &[f32], y: &mut [T], scales: Scales<'_>) {
    vectorized(Map { x, y, scales, map: quantized::<T> });
}

/// Sets each element of `y` to `(x - zero) * scale`.
pub fn dequantize<T: Narrow>(x: &[T], y: &mut [f32], scales: Scales<'_>) {
    vectorized(Map { x, y, scales, map: |x: T, scale, zero: f32| (x.into() - zero) * scale });
}

/// Returns the quantized `x`. The sum with the zero point is exact for all results that are not
/// clamped.
#[inline(always)]
pub fn quantized<T: Narrow>(x: f32, scale: f32, zero: f32) -> T {
    clamped((x / scale).round_ties_even() + zero)
}

/// Returns the integer nearest to a float without a fractional part. NaN becomes the smallest integer,
/// as in ONNX Runtime: a scale may be infinite if a mask has the lowest float.
#[inline(always)]
pub fn clamped<T: Narrow>(x: f32) -> T {
    let [least, most] = T::RANGE;
    let x = if x > least { x } else { least };
    T::narrow(if x < most { x } else { most })
}

/// Applies `map` to each element, its scale and its zero point.
struct Map<'a, X, Y, F> {
    x: &'a [X],
    y: &'a mut [Y],
    scales: Scales<'a>,
    map: F,
}

impl<X: Copy, Y, F: Fn(X, f32, f32) -> Y> Vectorized for Map<'_, X, Y, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Map { x, y, scales: Scales { scales, zeros, layout: Layout { inner } }, map } = self;
        if inner == 1 {
            // The scales are along the last axis.
            let length = scales.len().max(1);
            for (x, y) in x.chunks(length).zip(y.chunks_mut(length)) {
                for (((x, y), scale), zero) in x.iter().zip(y).zip(scales).zip(zeros) {
                    *y = map(*x, *scale, *zero);
                }
            }
            return;
        }
        let inner = inner.max(1);
        let scales = scales.iter().zip(zeros).cycle();
        for ((x, y), (scale, zero)) in x.chunks(inner).zip(y.chunks_mut(inner)).zip(scales) {
            x.iter().zip(y).for_each(|(x, y)| *y = map(*x, *scale, *zero));
        }
    }
}

/// Returns the scale and the zero point that quantize the range of the elements to `u8`. The range is extended to
/// contain 0. NaN is ignored.
pub fn dynamic_scale(x: &[f32]) -> [f32; 2] {
    let [low, high] = vectorized(Range(x));
    let scale = if high == low { 1.0 } else { (high - low) / 255.0 };
    [scale, (-low / scale).clamp(0.0, 255.0).round_ties_even()]
}

/// Returns the smallest and the largest of 0 and the elements.
struct Range<'a>(&'a [f32]);

/// Number of elements that [`Range`] compares at once.
const LANES: usize = 32;

impl Vectorized for Range<'_> {
    type Output = [f32; 2];

    #[inline(always)]
    fn run(self) -> [f32; 2] {
        let (mut low, mut high) = ([0.0_f32; LANES], [0.0_f32; LANES]);
        let (blocks, rest) = self.0.as_chunks::<LANES>();
        for block in blocks {
            for lane in 0..LANES {
                low[lane] = if block[lane] < low[lane] { block[lane] } else { low[lane] };
                high[lane] = if block[lane] > high[lane] { block[lane] } else { high[lane] };
            }
        }
        let low = low.iter().chain(rest).copied().fold(0.0, f32::min);
        let high = high.iter().chain(rest).copied().fold(0.0, f32::max);
        [low, high]
    }
}
