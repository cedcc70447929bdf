//! Shortest decimal text of an `f32`, by the Schubfach algorithm.
//!
//! Encoding a response consists mostly of printing floats. This module prints the floats from 0.00001 to 2²³, except
//! powers of two, faster than serde_json and with exactly the same digits. This range covers probabilities and most
//! predictions. For every other float, [`write`] does nothing and the caller falls back to serde_json.
//!
//! "Shortest" means: of all decimal numbers that parse back to the same float, the one with the fewest
//! digits, and of those the nearest to the float.

use std::ops::Range;

/// Bit patterns of the floats that are printed here: from 0.00001, below which serde_json switches to an
/// exponent, to 2²³, above which every float is an integer. The bit patterns of positive floats have the same
/// order as the floats.
const PRINTABLE: Range<u32> = 1e-5_f32.to_bits()..8_388_608_f32.to_bits();

const ONE: u32 = 1_f32.to_bits();

/// Bits of the fraction in an `f32`; the leading 1 of the significand is implicit.
const FRACTION_BITS: u32 = f32::MANTISSA_DIGITS - 1;

/// `POWERS[n]` is 10ⁿ.
const POWERS: [u64; 16] = {
    let mut powers = [1; 16];
    let mut power = 1;
    while power < powers.len() {
        powers[power] = powers[power - 1] * 10;
        power += 1;
    }
    powers
};

/// The three decimal digits of each number below 1000, one digit (0–9) per byte, the most significant digit
/// in the least significant byte, which is the first in memory. The table is padded to 1024 entries, so that an
/// index masked with 1023 needs no bounds check.
const DIGIT_TRIPLES: [u32; 1024] = {
    let mut digits = [0; 1024];
    let mut number = 0;
    while number < 1000 {
        digits[number as usize] =
            (number / 100) | ((number / 10 % 10) << 8) | ((number % 10) << 16);
        number += 1;
    }
    digits
};

/// Eight times the character `0`. An OR with eight digits turns the digits into ASCII.
const ASCII_ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);

/// Size of the buffer that a number without its sign is written to, in bytes. The longest text takes 15; the
/// digits are stored eight bytes at a time, and a store may reach past the end of the text.
const BUFFER_SIZE: usize = 24;

/// Appends the shortest text of `number` to `out` and returns `true`. Returns `false` and leaves `out` unchanged if
/// this module does not print `number`.
pub fn write(out: &mut Vec<u8>, number: f32) -> bool {
    let bits = number.abs().to_bits();
    let fraction = bits & ((1 << FRACTION_BITS) - 1);
    // Powers of two (fraction 0) are left to serde_json: their lower neighbor is half as far away as their upper
    // neighbor, and `shortest` relies on neighbors at equal distances.
    if !PRINTABLE.contains(&bits) || fraction == 0 {
        return false;
    }
    if number.is_sign_negative() {
        out.push(b'-');
    }
    let (digits, places) = shortest(fraction | 1 << FRACTION_BITS, bits >> FRACTION_BITS);
    let start = out.len();
    out.extend_from_slice(&[b'0'; BUFFER_SIZE]);
    let Some(text) = out.last_chunk_mut() else { return false };
    let len = if bits < ONE {
        write_below_one(text, digits, places)
    } else {
        write_at_least_one(text, digits, places)
    };
    out.truncate(start + len);
    true
}

/// Returns the shortest decimal number that rounds to a float, as an integer of at most nine digits and the
/// number of its decimal places: 1.5 may be `(15, 1)` or `(1500, 3)`. The caller cuts off zeros at the end.
///
/// `m` is the significand with its leading 1, and `exponent` is the biased exponent as it is stored.
///
/// This is Schubfach (R. Giulietti, "The Schubfach way to render doubles", 2020; the comments of
/// [OpenJDK's implementation][jdk] explain it, too). In the range of this module, every intermediate value fits into
/// 128 bits, so the arithmetic is exact and needs no table of approximated powers:
///
/// 1. The float is v = `m` / 2ˢ. All numbers up to half a unit of `m` away, v ± ½ / 2ˢ, parse back to the float:
///    this is the rounding interval. The ends belong to the interval if `m` is even, because parsing rounds ties
///    to even.
/// 2. Scale by 10ᵖ (p is `places`), with the least p for which the interval is at least 1 wide. The interval is
///    then less than 10 wide, so it contains at least one integer and at most one multiple of ten.
/// 3. If the interval contains a multiple of ten, that number divided by ten, with one decimal place less, is the
///    only candidate with one digit less. Otherwise the integer nearest to v · 10ᵖ is the result.
///
/// The code has no branches. The processor could not predict whether the interval contains a multiple of ten, so it
/// would mispredict half of them.
///
/// [jdk]: https://github.com/openjdk/jdk/blob/master/src/java.base/share/classes/jdk/internal/math/DoubleToDecimal.java
#[inline]
fn shortest(m: u32, exponent: u32) -> (u64, usize) {
    // Step 1: s, for a bias of 127.
    let shift = (127 + FRACTION_BITS - exponent) as usize;
    // Step 2: p = ⌈s · log₁₀ 2⌉, with log₁₀ 2 ≈ 1233/4096, which is close enough for s ≤ 40. The mask
    // makes a bounds check of the table unnecessary.
    let places = (shift * 1233).div_ceil(4096) & 15;
    let unit = POWERS[places];
    // From here on, numbers are fixed-point with s + 1 fractional bits: v · 10ᵖ is m · 10ᵖ · 2, and half the
    // width of the interval, ½ · 10ᵖ / 2ˢ, is simply 10ᵖ (`unit`).
    let shift = shift + 1;
    let scaled = u128::from(m) * u128::from(unit << 1);
    let (high, low) = ((scaled >> 64) as u64, scaled as u64);
    // The integer part, and the multiple of ten at or below it.
    let floor = high << (64 - shift) | low >> shift;
    let tens = floor / 10;
    // Distances to the multiples of ten on either side. They are below 10 · 2⁴¹, so the low 64 bits suffice.
    let above = low.wrapping_sub((tens * 10) << shift);
    let below = (10 << shift) - above;
    // Step 3: which of these two multiples is within the interval? For an odd `m`, the ends are excluded.
    let odd = u64::from(m & 1);
    let up = below + odd <= unit;
    let is_ten = u64::from(up | (above + odd <= unit));
    // The nearest integer: `rest` is the fractional part; ties go to the even integer.
    let rest = above - ((floor - tens * 10) << shift);
    let nearest = floor + u64::from(rest * 2 + (floor & 1) > 1 << shift);
    let ten = tens + u64::from(up);
    // Select `ten` if `is_ten` is 1, else `nearest`. The negation of 1 is a mask of ones, and of 0 a mask of zeros.
    (nearest ^ ((nearest ^ ten) & is_ten.wrapping_neg()), places - is_ten as usize)
}

/// Writes `digits` / 10^`places`, which is below 1, and returns the length of the text. `text` is filled with
/// the character `0`.
///
/// The text is `0.` and then `places` decimal places, so the last of the nine digits is at index 1 + `places`.
/// `places` is at least 7 for a float below 1.
#[inline]
fn write_below_one(text: &mut [u8; BUFFER_SIZE], digits: u64, places: usize) -> usize {
    let (first, rest) = nine_digits(digits);
    // Start of the last eight digits. If there are more than nine places, the bytes after the `0.` stay zeros. If
    // there are fewer, the leading digits are zeros and overwrite the `0.`, so the point is written last.
    let at = 2 + places - 8;
    text[at - 1] = b'0' + first;
    text[at..at + 8].copy_from_slice(&(rest | ASCII_ZEROS).to_le_bytes());
    text[1] = b'.';
    // The last digits are in the high bytes, so leading zero bytes of the word are trailing zeros of the number.
    // They are cut off.
    at + 8 - rest.leading_zeros() as usize / 8
}

/// Writes `digits` / 10^`places`, which is at least 1 and less than 2²³, and returns the length of the text.
/// `places` is at most 7.
#[inline(never)]
fn write_at_least_one(text: &mut [u8; BUFFER_SIZE], digits: u64, places: usize) -> usize {
    let whole = digits / POWERS[places];
    // The fraction has `places` digits, in the high bytes. Shift them to the low bytes, so that the first digit
    // comes first in memory. The shift has two steps because it is by 64 bits in total if `places` is 0.
    let (_, fraction) = nine_digits(digits - whole * POWERS[places]);
    let fraction = fraction >> (8 * (7 - places)) >> 8;
    let (_, whole) = nine_digits(whole);
    // Low zero bytes are leading zeros of the whole part. They are dropped.
    let before = whole.trailing_zeros() as usize / 8;
    let point = 8 - before;
    text[..8].copy_from_slice(&((whole | ASCII_ZEROS) >> (8 * before)).to_le_bytes());
    text[point] = b'.';
    text[point + 1..point + 9].copy_from_slice(&(fraction | ASCII_ZEROS).to_le_bytes());
    // At least one decimal place, as in `3.0`; no other trailing zeros.
    point + 1 + (8 - fraction.leading_zeros() as usize / 8).max(1)
}

/// Splits a number below 10⁹ into its first digit and the other eight digits. The eight digits are one digit (0–9)
/// per byte, the most significant digit in the least significant byte.
#[inline]
fn nine_digits(number: u64) -> (u8, u64) {
    let thousands = number / 1000;
    let millions = number / 1_000_000;
    let triple = |three: u64| u64::from(DIGIT_TRIPLES[three as usize & 1023]);
    let (first, second) = (triple(millions), triple(thousands - millions * 1000));
    let third = triple(number - thousands * 1000);
    (first as u8, first >> 8 | second << 16 | third << 40)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(number: f32) -> Option<String> {
        let mut out = b",".to_vec();
        let is_written = write(&mut out, number);
        let text = String::from_utf8(out).expect("ASCII").split_off(1);
        is_written.then_some(text).filter(|text| !text.is_empty())
    }

    /// Asserts that every float that [`write`] prints equals serde_json's text. Returns the number of these floats.
    fn compare(bits: impl Iterator<Item = u32>) -> usize {
        let compared = bits.map(f32::from_bits).filter(|number| {
            let expected = serde_json::to_string(number).expect("a number");
            written(*number).is_some_and(|text| {
                assert_eq!(text, expected);
                true
            })
        });
        compared.count()
    }

    #[test]
    fn digits_match_serde_json() {
        let (first, last) = (0.9e-5_f32.to_bits(), 1.7e7_f32.to_bits());
        let positive = (first..last).step_by(1009);
        let written = compare(positive.clone());
        assert!(written * 100 > positive.len() * 95, "{written} of {}", positive.len());
        assert_eq!(compare(positive.map(|bits| bits | 1 << 31)), written);
    }

    #[test]
    fn digits_match_serde_json_around_powers_of_two_and_ten() {
        let powers = (-17..24).map(|power| 2_f32.powi(power));
        let tens = (-5..8).map(|power| 10_f32.powi(power));
        let near =
            powers.chain(tens).flat_map(|number| number.to_bits() - 2..=number.to_bits() + 2);
        assert!(compare(near) > 150);
        assert!(compare((0..1000).map(|number| (number as f32 / 8.0).to_bits())) > 950);
    }

    #[test]
    fn leaves_other_floats_to_serde_json() {
        for number in
            [0.0, -0.0, 0.5, 1e-6, 1e8, f32::MAX, f32::NAN, f32::INFINITY, f32::NEG_INFINITY]
        {
            assert_eq!(written(number), None, "{number}");
        }
    }
}
