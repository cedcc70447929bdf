//! Compiles numeric loops for several instruction sets, and runs the variant for the best
//! instruction set that the processor has. Also contains functions for such loops: copies,
//! exponentials and logarithms.
//!
//! The build targets the baseline of x86-64, whose SIMD registers have 128 bits (four floats). Most
//! processors also have AVX2 (registers of eight floats) or AVX-512 (sixteen floats). Work that
//! implements [`Vectorized`] or [`Product`] is compiled for each of the three, and the variant is
//! chosen at run time. For other architectures it is compiled once.

#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "a call of a function compiled for an instruction set is unsafe until that set is detected"
    )
)]

#[cfg(target_arch = "x86_64")]
use std::sync::LazyLock;

/// A computation whose loops the compiler can turn into SIMD instructions.
///
/// [`Vectorized::run`] and all functions that it calls must be `#[inline(always)]`. A function that
/// is not inlined is compiled for the baseline only.
pub trait Vectorized {
    type Output;

    fn run(self) -> Self::Output;
}

/// Runs `work` with the widest registers that the processor has.
pub fn vectorized<W: Vectorized>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if let Some(set) = Avx512::detected() {
        return set.run(work);
    } else if let Some(set) = Avx2::detected() {
        return set.run(work);
    }
    work.run()
}

/// Declares a token type for a set of processor features.
///
/// A token exists only if the processor has every feature of the list, and the token's `run`
/// compiles work for exactly these features. Detection and compilation use the same list, so they
/// cannot differ.
///
/// The list must also contain every feature that the compiler assumes to be implied by another. For
/// example, the compiler assumes that `avx512f` implies `avx2`, `fma` and `f16c`, but a hypervisor
/// can hide each feature separately.
#[cfg(target_arch = "x86_64")]
macro_rules! instruction_set {
    ($(#[$doc:meta])* $name:ident: $($feature:tt),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        struct $name(());

        impl $name {
            #[cfg(test)]
            const FEATURES: &[&str] = &[$($feature),+];

            /// Returns the token if this processor has all features.
            #[inline]
            fn detected() -> Option<Self> {
                static TOKEN: LazyLock<Option<$name>> = LazyLock::new(|| $name::detect(&[]));
                *TOKEN
            }

            /// Returns the token if the processor has all features and none of them is in `hidden`,
            /// which tests use.
            fn detect(hidden: &[&str]) -> Option<Self> {
                let complete =
                    $(!hidden.contains(&$feature) && is_x86_feature_detected!($feature))&&+;
                complete.then_some($name(()))
            }

            #[inline(always)]
            fn run<W: Vectorized>(self, work: W) -> W::Output {
                $(#[target_feature(enable = $feature)])+
                fn compiled<W: Vectorized>(work: W) -> W::Output {
                    work.run()
                }
                // SAFETY: `compiled` may only be called on a processor that has the features in its
                // attributes. `self` is a token. Only `detect` creates tokens, after it has found
                // each feature of the list from which these attributes are expanded. A processor
                // does not lose a feature while a process runs.
                unsafe { compiled(work) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
instruction_set! {
    /// AVX-512 with the extensions that all server processors with AVX-512 have: 32 registers of 16
    /// floats.
    Avx512:
        "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl",
        "sse3", "ssse3", "sse4.1", "sse4.2", "avx", "avx2", "fma", "f16c", "bmi1", "bmi2"
}

#[cfg(target_arch = "x86_64")]
instruction_set! {
    /// AVX2 with fused multiply-add: 16 registers of 8 floats.
    Avx2: "sse3", "ssse3", "sse4.1", "sse4.2", "avx", "avx2", "fma", "bmi1", "bmi2"
}

/// Returns whether the processor has AVX-512: 32 registers of 16 floats.
pub fn is_wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    return Avx512::detected().is_some();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// A computation like [`Vectorized`] that multiplies and adds, such as a matrix product.
///
/// `FMA` is `true` if the processor multiplies and adds in one instruction (fused multiply-add). If
/// it is `false`, do not use `f32::mul_add`: it would be a slow function call.
pub trait Product {
    type Output;

    /// If it is `Some`, the work is compiled only for processors where [`is_wide`] returns this
    /// value. The caller must check [`is_wide`]; on other processors the work is slow.
    ///
    /// This saves code size for a loop that is tuned to the number and size of registers.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "compiled once"))]
    const WIDE: Option<bool> = None;

    fn run<const FMA: bool>(self) -> Self::Output;
}

/// Runs `work` with the widest registers that the processor has.
pub fn product<W: Product>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if W::WIDE != Some(false)
        && let Some(set) = Avx512::detected()
    {
        return set.run(Fused(work));
    } else if W::WIDE != Some(true)
        && let Some(set) = Avx2::detected()
    {
        return set.run(Fused(work));
    }
    // The baseline of x86-64 has no fused multiply-add; the baseline of 64-bit ARM has it.
    work.run::<{ !cfg!(target_arch = "x86_64") }>()
}

/// Turns a [`Product`] into [`Vectorized`] work for processors with fused multiply-add.
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

/// Copies `from` to `to`, which must have the same length. For short slices this is faster than a
/// call of `memcpy`.
#[inline(always)]
pub fn copy(to: &mut [f32], from: &[f32]) {
    let copied =
        copy_blocks::<16>(to, from) || copy_blocks::<8>(to, from) || copy_blocks::<4>(to, from);
    if !copied {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    }
}

/// Copies in blocks of `N` elements. The last block is aligned with the end of the slices, so it
/// may overlap the block before it. Returns `false` if the slices are shorter than a block.
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

/// Combines each element of the rows in `x` (row-major) with the value of its column.
///
/// `values` has one value for each column, or a single value for all.
pub fn columnwise<T: Copy, V: Copy, U>(
    x: &[T],
    values: &[V],
    combine: impl Fn(T, V) -> U + Copy,
) -> Vec<U> {
    vectorized(Columnwise { x, values, combine })
}

/// See [`columnwise`].
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
        // If rows are short, repeat `values` so that one inner loop processes several rows. A loop
        // over a few columns would spend more time on its start and end than on its elements.
        let max_rows = MIN_LOOP.div_ceil(values.len().max(1));
        let rows = (x.len() / values.len().max(1)).clamp(1, max_rows);
        let values = values.repeat(rows);
        for x in x.chunks(values.len().max(1)) {
            combined.extend(x.iter().zip(&values).map(|(x, value)| combine(*x, *value)));
        }
        combined
    }
}

/// Minimum number of elements in an inner loop of [`columnwise`], provided that the input has as
/// many.
const MIN_LOOP: usize = 128;

/// Returns `e^x` within 2 units in the last place, without branches. Results below the smallest
/// normal number are zero.
///
/// The range of the argument is reduced first: `x = k ln 2 + r` with an integer `k` and
/// `|r| <= ln 2 / 2`, so that `e^x = 2^k e^r`. Then `e^r` is computed by its Taylor series up to
/// `r^7`, with Horner's method. The first omitted term is smaller than half a unit in the last
/// place.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    /// Largest `x` with a finite result, and smallest `x` whose result is a normal number.
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
    // Multiply by 2^k in two steps of about 2^(k/2): k can be 128, but 2^128 is not a finite `f32`.
    let half = (k * 0.5 + ROUND) - ROUND;
    let result = series * power_of_two(half) * power_of_two(k - half);
    let result = if x > HIGHEST { f32::INFINITY } else { result };
    if x < LOWEST { 0.0 } else { result }
}

/// Returns the hyperbolic tangent within 3 units in the last place, without branches.
///
/// If `|x|` is less than 0.625, the result is `x + x³ · p(x²)`, where `p` is the polynomial of
/// `tanhf` in [Cephes]. Otherwise it is `1 - 2 / (e^2x + 1)`. Both are computed, and one of them is
/// selected.
///
/// [Cephes]: https://www.netlib.org/cephes/
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

/// Returns `e^x` within 2 units in the last place, by the algorithm of [`exp`] with the series up
/// to `r^13`.
#[inline(always)]
pub fn exp_double(x: f64) -> f64 {
    /// ln 2 = `HIGH` + `LOW`. The lowest bits of `HIGH` are zero, so that `k * HIGH` is exact.
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

/// The coefficients `1 / n!` of the exponential series for n = 13, 12, …, 0.
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

/// See [`each`].
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

/// Returns the natural logarithm within 2 units in the last place, without branches.
///
/// The argument is split into `x = 2^k m` with an integer `k` and `1/√2 <= m < √2`. With
/// `s = (m - 1) / (m + 1)`, the logarithm is `k ln 2 + 2 artanh(s)`. `2 artanh(s)` is computed by
/// its series `2s + 2s³/3 + 2s⁵/5 + …` up to `s⁹`. The first omitted term is smaller than half a
/// unit in the last place.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    // 2^23. Multiplying a subnormal number by it gives a normal number.
    const LARGE: f32 = 8_388_608.0;
    let tiny = x < f32::MIN_POSITIVE;
    let bits = (if tiny { x * LARGE } else { x }).to_bits();
    // A float's bits are the exponent (from bit 23) and the fraction. After subtracting the bits of
    // 1/√2, the upper bits are the `k` for which `m` is at least 1/√2. Subtracting `k` from the
    // exponent of `x` gives `m`.
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
    // The series is 2s + s³ · series. With f = m - 1, which is exact, 2s = f - f s. Therefore the
    // sum is f + s (s² · series - f).
    let f = m - 1.0;
    let rest = s * (square * series - f) + k * LN_2_LOW;
    let result = k * LN_2_HIGH + (f + rest);
    let result = if x == 0.0 { f32::NEG_INFINITY } else { result };
    let result = if x < 0.0 { f32::NAN } else { result };
    if x < f32::INFINITY { result } else { x }
}

/// Upper part of ln 2. Its lowest bits are zero, so that its products with small integers are
/// exact. ln 2 is `LN_2_HIGH + LN_2_LOW`.
const LN_2_HIGH: f32 = 0.693_359_4;
/// Lower part of ln 2.
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// 1.5 · 2^23. Adding it to a number rounds the number to an integer, because the unit in the last
/// place of the sum is 1. The lowest bits of the sum are the integer in two's complement.
/// Subtracting it again gives the rounded number. It works for numbers up to 2^22 in absolute
/// value.
const ROUND: f32 = 12_582_912.0;

/// 1.5 · 2^52, which rounds doubles as [`ROUND`] rounds floats.
const ROUND_DOUBLE: f64 = 6_755_399_441_055_744.0;

/// Returns `2^k` for an integer `k` in the range of a double's exponent. The function extracts `k`
/// as an integer (see [`ROUND`]) and shifts it, with the bias 1023, to the position of the
/// exponent.
#[inline(always)]
fn power_of_two_double(k: f64) -> f64 {
    let bits = (k + ROUND_DOUBLE).to_bits().wrapping_sub(ROUND_DOUBLE.to_bits());
    f64::from_bits(bits.wrapping_add(1023) << 52)
}

/// Returns `2^k` for an integer `k` in the range of a float's exponent, like
/// [`power_of_two_double`].
#[inline(always)]
fn power_of_two(k: f32) -> f32 {
    let bits = (k + ROUND).to_bits().wrapping_sub(ROUND.to_bits());
    f32::from_bits(bits.wrapping_add(127) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_hidden_feature_disables_its_instruction_set() {
        for feature in Avx512::FEATURES {
            assert!(Avx512::detect(&[feature]).is_none(), "{feature}");
        }
        for feature in Avx2::FEATURES {
            assert!(Avx2::detect(&[feature]).is_none(), "{feature}");
        }
        assert!(Avx2::FEATURES.iter().all(|feature| Avx512::FEATURES.contains(feature)));
        assert_eq!(Avx512::detect(&[]).is_some(), is_wide());
    }

    /// Computes exponentials. [`exp`] does not use [`f32::mul_add`], so that all instruction sets
    /// give the same bits.
    #[derive(Clone)]
    struct Exponentials(Vec<f32>);

    impl Vectorized for Exponentials {
        type Output = Vec<u32>;

        #[inline(always)]
        fn run(self) -> Vec<u32> {
            self.0.iter().map(|x| exp(*x).to_bits()).collect()
        }
    }

    #[test]
    fn results_do_not_depend_on_the_instruction_set() {
        let work = Exponentials((0..1000).map(|x| x as f32 * 0.1 - 50.0).collect());
        let baseline = work.clone().run();
        assert_eq!(vectorized(work.clone()), baseline);
        #[cfg(target_arch = "x86_64")]
        {
            let wide = Avx512::detected().map(|set| set.run(work.clone()));
            let narrow = Avx2::detected().map(|set| set.run(work));
            assert!(wide.into_iter().chain(narrow).all(|result| result == baseline));
        }
    }

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
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
    fn tanh_is_within_three_units_in_the_last_place() {
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
    fn exp_double_is_within_two_units_in_the_last_place() {
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
    fn ln_is_within_two_units_in_the_last_place() {
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
