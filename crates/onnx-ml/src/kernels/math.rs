//! Exponential, hyperbolic tangent and logarithm, without branches. The compiler can turn a loop
//! that calls these functions into SIMD instructions.

/// Returns `e^x` within 2 units in the last place, without branches. Results below the smallest
/// normal number are zero.
///
/// The range of the argument is reduced first: `x = k ln 2 + r` with an integer `k` and
/// `|r| <= ln 2 / 2`, so that `e^x = 2^k e^r`. Then `e^r` is computed by its Taylor series up to
/// `r^7`, with Horner's method. The first omitted term is smaller than half a unit in the last
/// place.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    /// Largest `x` with a finite result.
    const HIGHEST: f32 = 88.722_84;
    /// Smallest `x` whose result is a normal number.
    const LOWEST: f32 = -87.336_54;
    let clamped = if x > HIGHEST { HIGHEST } else { x };
    let clamped = if clamped < LOWEST { LOWEST } else { clamped };
    // k is x / ln 2, rounded to an integer (see `ROUND`).
    let k = (clamped * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = clamped - k * LN_2_HIGH - k * LN_2_LOW;
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
/// If `|x|` is less than 0.625, the result is `x + x³ · p(x²)`, where `p` is the polynomial of `tanhf` in [Cephes].
/// Otherwise the result is `1 - 2 / (e^2x + 1)`. Both formulas are computed, and one result is selected.
///
/// [Cephes]: https://www.netlib.org/cephes/
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    /// Absolute value below which the polynomial is used.
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
    /// The rest of ln 2, see `HIGH`.
    const LOW: f64 = 1.908_214_929_270_587_7e-10;
    /// Largest `x` with a finite result.
    const HIGHEST: f64 = 709.782_712_893_384;
    /// Smallest `x` whose result is a normal number.
    const LOWEST: f64 = -708.396_418_532_264_1;
    let clamped = if x > HIGHEST { HIGHEST } else { x };
    let clamped = if clamped < LOWEST { LOWEST } else { clamped };
    let k = (clamped * std::f64::consts::LOG2_E + ROUND_DOUBLE) - ROUND_DOUBLE;
    let r = clamped - k * HIGH - k * LOW;
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

/// Returns the natural logarithm within 2 units in the last place, without branches.
///
/// The argument is split into `x = 2^k m` with an integer `k` and `1/√2 <= m < √2`. With
/// `s = (m - 1) / (m + 1)`, the logarithm is `k ln 2 + 2 artanh(s)`. `2 artanh(s)` is computed by
/// its series `2s + 2s³/3 + 2s⁵/5 + …` up to `s⁹`. The first omitted term is smaller than half a
/// unit in the last place.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    // 2^23. The product of a subnormal number and this constant is a normal number.
    const LARGE: f32 = 8_388_608.0;
    let tiny = x < f32::MIN_POSITIVE;
    let bits = (if tiny { x * LARGE } else { x }).to_bits();
    // A float's bits are the exponent (from bit 23) and the fraction. After subtracting the bits of
    // 1/√2, the upper bits are the `k` for which `1/√2 <= m < √2`. Subtracting `k` from the
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

/// Upper part of ln 2, which is `LN_2_HIGH + LN_2_LOW`. The lowest bits of the upper part are zero, so that products of
/// the upper part and small integers are exact.
const LN_2_HIGH: f32 = 0.693_359_4;
/// Lower part of ln 2.
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// 1.5 · 2^23. Adding this constant to a number rounds the number to an integer, because the unit
/// in the last place of the sum is 1. The lowest bits of the sum are the integer in two's
/// complement. Subtracting the constant again gives the rounded number. This works for numbers of
/// at most 2^22 in absolute value.
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
