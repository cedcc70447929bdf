//! Loops compiled several times, for the instruction sets that processors have, and the best one
//! chosen at run time.
//!
//! The build's own target is what every x86-64 has, with four floats in a register; most machines
//! have eight or sixteen.

#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "a function for an instruction set is safe once that is detected"
    )
)]

/// Work whose loops the compiler can vectorise. [`Vectorized::run`] must be `#[inline(always)]`, and
/// so must be what it calls.
pub trait Vectorized {
    type Output;

    fn run(self) -> Self::Output;
}

/// Runs `work` with the widest registers of this processor.
pub fn vectorized<W: Vectorized>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if is_wide() {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { avx512(work) };
    } else if is_avx2() {
        // SAFETY: as above.
        return unsafe { avx2(work) };
    }
    work.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,bmi1,bmi2")]
fn avx512<W: Vectorized>(work: W) -> W::Output {
    work.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,bmi1,bmi2")]
fn avx2<W: Vectorized>(work: W) -> W::Output {
    work.run()
}

/// Whether registers hold sixteen floats, and there are 32 of them.
pub fn is_wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512cd")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

#[cfg(target_arch = "x86_64")]
fn is_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// Work that multiplies and adds. As [`Vectorized`], and told whether the processor does both in one
/// instruction: `f32::mul_add` is slow where it does not.
pub trait Product {
    type Output;

    /// Whether it is for wide registers, or for others: not compiled for what it is not for. See
    /// [`is_wide`].
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "compiled once"))]
    const WIDE: Option<bool> = None;

    fn run<const FMA: bool>(self) -> Self::Output;
}

/// Runs `work` with the widest registers of this processor.
pub fn product<W: Product>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if W::WIDE != Some(false) && is_wide() {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { avx512(Fused(work)) };
    } else if W::WIDE != Some(true) && is_avx2() {
        // SAFETY: as above.
        return unsafe { avx2(Fused(work)) };
    }
    // Not every x86-64 does both in one instruction.
    work.run::<{ !cfg!(target_arch = "x86_64") }>()
}

#[cfg(target_arch = "x86_64")]
struct Fused<W>(W);

#[cfg(target_arch = "x86_64")]
impl<W: Product> Vectorized for Fused<W> {
    type Output = W::Output;

    #[inline(always)]
    fn run(self) -> W::Output {
        self.0.run::<true>()
    }
}

/// Copies between slices of one length, which is short: a call would take longer.
#[inline(always)]
pub fn copy(to: &mut [f32], from: &[f32]) {
    let copied =
        copy_blocks::<16>(to, from) || copy_blocks::<8>(to, from) || copy_blocks::<4>(to, from);
    if !copied {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    }
}

/// In blocks, of which the last two overlap; `false` where not even one fits.
#[inline(always)]
fn copy_blocks<const N: usize>(to: &mut [f32], from: &[f32]) -> bool {
    let (blocks, _) = to.as_chunks_mut::<N>();
    blocks.iter_mut().zip(from.as_chunks().0).for_each(|(to, from)| *to = *from);
    match (to.last_chunk_mut::<N>(), from.last_chunk()) {
        (Some(to), Some(from)) => *to = *from,
        _ => return false,
    }
    true
}

/// Combines each element with a value of its column; `values` are one for each column, or one.
pub fn columnwise<T: Copy, V: Copy, U>(
    x: &[T],
    values: &[V],
    combine: impl Fn(T, V) -> U + Copy,
) -> Vec<U> {
    vectorized(Columnwise { x, values, combine })
}

struct Columnwise<'a, T, V, F> {
    x: &'a [T],
    values: &'a [V],
    combine: F,
}

impl<T: Copy, V: Copy, U, F: Fn(T, V) -> U> Vectorized for Columnwise<'_, T, V, F> {
    type Output = Vec<U>;

    #[inline(always)]
    fn run(self) -> Vec<U> {
        let Columnwise { x, values, combine } = self;
        let mut combined = Vec::with_capacity(x.len());
        // Short rows are taken together: a loop that short would not be worth entering.
        let times = SHORTEST.div_ceil(values.len().max(1));
        let rows = (x.len() / values.len().max(1)).clamp(1, times);
        let values = values.repeat(rows);
        for x in x.chunks(values.len().max(1)) {
            combined.extend(x.iter().zip(&values).map(|(x, value)| combine(*x, *value)));
        }
        combined
    }
}

/// A row is repeated until it is so long.
const SHORTEST: usize = 128;

/// `e^x` to within 2 units in the last place, without a branch; what is below the smallest normal
/// number is zero.
///
/// With `x = k ln 2 + r`, `|r| <= ln 2 / 2`, it is `2^k` times the Taylor series of `e^r`, whose
/// eighth term is below half a unit.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    /// Beyond these the result is infinite, or no normal number.
    const HIGHEST: f32 = 88.722_84;
    const LOWEST: f32 = -87.336_54;
    let inside = if x > HIGHEST { HIGHEST } else { x };
    let inside = if inside < LOWEST { LOWEST } else { inside };
    let shifted = inside * std::f32::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = inside - k * LN_2_HIGH - k * LN_2_LOW;
    let mut series = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = series * r + coefficient;
    }
    // In two halves, as 2^128 is no float.
    let half = (k * 0.5 + ROUND) - ROUND;
    let result = series * power_of_two(half) * power_of_two(k - half);
    let result = if x > HIGHEST { f32::INFINITY } else { result };
    if x < LOWEST { 0.0 } else { result }
}

/// The hyperbolic tangent to within 3 units in the last place, without a branch.
///
/// Where `|x|` is small it is `x + x³ · p(x²)`, `p` the polynomial of Cephes' `tanhf`; else
/// `1 - 2 / (e^2x + 1)`.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    const SMALL: f32 = 0.625;
    let square = x * x;
    let mut series = -5.704_988_7e-3;
    for coefficient in [2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1] {
        series = series * square + coefficient;
    }
    let large = 1.0 - 2.0 / (exp(2.0 * x) + 1.0);
    if x.abs() < SMALL { x + x * square * series } else { large }
}

/// As [`exp`], of doubles, with the series' fourteenth term below half a unit.
#[inline(always)]
pub fn exp_double(x: f64) -> f64 {
    const HIGH: f64 = 0.693_147_180_369_123_8;
    const LOW: f64 = 1.908_214_929_270_587_7e-10;
    const HIGHEST: f64 = 709.782_712_893_384;
    const LOWEST: f64 = -708.396_418_532_264_1;
    let inside = if x > HIGHEST { HIGHEST } else { x };
    let inside = if inside < LOWEST { LOWEST } else { inside };
    let k = (inside * std::f64::consts::LOG2_E + ROUND_DOUBLE) - ROUND_DOUBLE;
    let r = inside - k * HIGH - k * LOW;
    let mut series = INVERSE_FACTORIALS[0];
    for coefficient in &INVERSE_FACTORIALS[1..] {
        series = series * r + coefficient;
    }
    let half = (k * 0.5 + ROUND_DOUBLE) - ROUND_DOUBLE;
    let result = series * power_of_two_double(half) * power_of_two_double(k - half);
    let result = if x > HIGHEST { f64::INFINITY } else { result };
    if x < LOWEST { 0.0 } else { result }
}

/// Of 13, 12, … 0.
const INVERSE_FACTORIALS: [f64; 14] = {
    let mut inverses = [1.0; 14];
    let (mut number, mut factorial) = (1, 1.0);
    while number < 14 {
        factorial *= number as f64;
        inverses[13 - number] = 1.0 / factorial;
        number += 1;
    }
    inverses
};

/// Applies a function to each element.
pub fn each(elements: &mut [f32], function: impl Fn(f32) -> f32) {
    vectorized(Each { elements, function });
}

struct Each<'a, F> {
    elements: &'a mut [f32],
    function: F,
}

impl<F: Fn(f32) -> f32> Vectorized for Each<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for element in self.elements {
            *element = (self.function)(*element);
        }
    }
}

/// The natural logarithm to within 2 units in the last place, without a branch.
///
/// With `x = 2^k m`, `1/√2 <= m < √2`, it is `k ln 2 + 2 artanh((m - 1) / (m + 1))`, whose series'
/// sixth term is below half a unit.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    // 2^23, which makes the smallest numbers normal ones.
    const LARGE: f32 = 8_388_608.0;
    let tiny = x < f32::MIN_POSITIVE;
    let bits = (if tiny { x * LARGE } else { x }).to_bits();
    let above = bits.wrapping_sub(std::f32::consts::FRAC_1_SQRT_2.to_bits());
    let exponent = above as i32 >> 23;
    let k = exponent as f32 - if tiny { 23.0 } else { 0.0 };
    let m = f32::from_bits(bits.wrapping_sub((exponent << 23) as u32));
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let mut series = 2.0 / 9.0;
    for coefficient in [2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0] {
        series = series * square + coefficient;
    }
    // 2s + s³ · series; 2s is (m - 1) - (m - 1) s, of which the first term is exact.
    let f = m - 1.0;
    let rest = s * (square * series - f) + k * LN_2_LOW;
    let result = k * LN_2_HIGH + (f + rest);
    let result = if x == 0.0 { f32::NEG_INFINITY } else { result };
    let result = if x < 0.0 { f32::NAN } else { result };
    if x < f32::INFINITY { result } else { x }
}

/// ln 2, and what a float of it lacks.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// Adding this rounds to an integer, which the lowest bits of the sum then hold.
const ROUND: f32 = 12_582_912.0;

const ROUND_DOUBLE: f64 = 6_755_399_441_055_744.0;

#[inline(always)]
fn power_of_two_double(k: f64) -> f64 {
    let bits = (k + ROUND_DOUBLE).to_bits().wrapping_sub(ROUND_DOUBLE.to_bits());
    f64::from_bits(bits.wrapping_add(1023) << 52)
}

#[inline(always)]
fn power_of_two(k: f32) -> f32 {
    let bits = (k + ROUND).to_bits().wrapping_sub(ROUND.to_bits());
    f32::from_bits(bits.wrapping_add(127) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_exact_to_two_units() {
        let mut x = -90.0_f32;
        while x < 89.0 {
            let (found, exact) = (exp(x), f64::from(x).exp());
            let error = (f64::from(found) - exact).abs();
            let unit = f64::from(f32::EPSILON) * exact;
            let tiny = exact < f64::from(f32::MIN_POSITIVE);
            let huge = exact > f64::from(f32::MAX);
            assert!(error <= 2.0 * unit || tiny || huge, "{x}: {found}, {exact}");
            x += 0.000_37 * x.abs().max(0.01);
        }
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NAN).is_nan());
        assert_eq!(exp(88.7228), 88.7228_f32.exp());
    }

    #[test]
    fn tanh_is_exact_to_three_units() {
        let mut x = 1e-30_f32;
        while x < 20.0 {
            for x in [x, -x] {
                let (found, exact) = (tanh(x), f64::from(x).tanh());
                let error = (f64::from(found) - exact).abs();
                let unit = f64::from(f32::EPSILON) * exact.abs();
                assert!(error <= 3.0 * unit, "{x}: {found}, {exact}");
            }
            x *= 1.000_37;
        }
        assert_eq!(tanh(0.0), 0.0);
        assert_eq!([f32::INFINITY, f32::NEG_INFINITY].map(tanh), [1.0, -1.0]);
        assert!(tanh(f32::NAN).is_nan());
    }

    #[test]
    fn exp_double_is_exact_to_two_units() {
        let mut x = -708.0_f64;
        while x < 709.0 {
            let (found, exact) = (exp_double(x), x.exp());
            assert!((found - exact).abs() <= 2.0 * f64::EPSILON * exact, "{x}: {found}, {exact}");
            x += 0.000_37 * x.abs().max(0.01);
        }
        assert_eq!(exp_double(f64::NEG_INFINITY), 0.0);
        assert_eq!(exp_double(f64::INFINITY), f64::INFINITY);
        assert_eq!(exp_double(0.0), 1.0);
        assert!(exp_double(f64::NAN).is_nan());
    }

    #[test]
    fn ln_is_exact_to_two_units() {
        let mut x = f32::from_bits(1);
        while x < f32::MAX / 2.0 {
            let (found, exact) = (ln(x), f64::from(x).ln());
            let error = (f64::from(found) - exact).abs();
            let unit = f64::from(f32::EPSILON) * exact.abs();
            assert!(error <= 2.0 * unit, "{x}: {found}, {exact}");
            x = f32::from_bits(x.to_bits() + 1 + x.to_bits() % 9_973);
        }
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(ln(0.0), f32::NEG_INFINITY);
        assert_eq!(ln(f32::INFINITY), f32::INFINITY);
        assert!(ln(f32::NAN).is_nan());
        assert!(ln(-1.0).is_nan());
    }
}
