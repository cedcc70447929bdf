//! Shortest decimal text of an `f32`, by the Schubfach algorithm.
//!
//! Encoding a response consists mostly of printing floats. [`write`] prints a float faster than serde_json does, with
//! exactly the same digits. It supports absolute values from 0.00001 to 2²³, except powers of two. This range covers
//! probabilities and most predictions. For every other float, [`write`] appends nothing and returns `false`, and the
//! caller uses serde_json.
//!
//! The shortest text has the fewest digits of all decimal numbers that parse back to the float. If several numbers
//! have the fewest digits, it is the number nearest to the float.

use std::ops::Range;

/// Bit patterns of the absolute values that [`write`] prints. Below the start, 0.00001, serde_json prints an exponent.
/// At the end, 2²³, and above, every float is an integer. A range of bit patterns is a range of floats, because the bit
/// patterns of positive floats have the same order as the floats.
const PRINTABLE: Range<u32> = 1e-5_f32.to_bits()..8_388_608_f32.to_bits();

/// Bit pattern of 1.0.
const ONE: u32 = 1_f32.to_bits();

/// Number of bits that an `f32` stores of its significand. The leading 1 of the significand is not stored.
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

/// The three decimal digits of each number below 1000, as one digit (0–9) per byte. The most significant digit is in
/// the lowest byte, so that it comes first after `to_le_bytes`: entry 123 is `0x00_03_02_01`. The table is padded to
/// 1024 entries, so that an index masked with 1023 needs no bounds check.
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

/// Eight times the character `0`. An OR with eight bytes from 0 to 9 turns these digits into ASCII.
const ASCII_ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);

/// Size in bytes of the buffer for the text of a number without its sign. The longest text has 15 bytes. The buffer is
/// larger, because eight digits are stored at once, and such a store may reach past the end of the text.
const BUFFER_SIZE: usize = 24;

/// Appends the shortest text of `number` to `out` and returns `true`. If `number` is not in the supported range,
/// returns `false` and leaves `out` unchanged.
pub fn write(out: &mut Vec<u8>, number: f32) -> bool {
    let bits = number.abs().to_bits();
    let fraction = bits & ((1 << FRACTION_BITS) - 1);
    // `shortest` relies on neighbors at equal distances. The lower neighbor of a power of two (fraction 0) is only half
    // as far away as the upper neighbor.
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

/// Returns the shortest decimal number that parses back to a float, as an integer of at most nine digits and the number
/// of its decimal places: `(digits, places)` stands for `digits` / 10^`places`. The digits may end with zeros, which
/// the caller cuts off: the result for 1.5 is `(1500000, 6)`.
///
/// `m` is the significand with its leading 1, as an integer. `exponent` is the biased exponent, as the float stores it.
///
/// This is the Schubfach algorithm (R. Giulietti, "The Schubfach way to render doubles", 2020). The comments in
/// [OpenJDK's implementation][jdk] also explain it. Schubfach usually multiplies by approximated powers of ten from a
/// table. In the range of this module, every intermediate value fits into 128 bits, so the arithmetic here is exact:
///
/// 1. The float is v = `m` / 2ˢ. Its neighbors are (`m` ± 1) / 2ˢ. The rounding interval reaches halfway to both
///    neighbors, from (`m` - ½) / 2ˢ to (`m` + ½) / 2ˢ. Every number inside the interval parses back to the float. The
///    two ends do so only if `m` is even, because parsing rounds ties to even.
/// 2. Multiply everything by 10ᵖ (p is `places`), with the least p for which the interval is at least 1 wide. The
///    interval is then less than 10 wide, so it contains at least one integer and at most one multiple of ten.
/// 3. If the interval contains a multiple of ten, return this multiple divided by ten, with p - 1 decimal places: no
///    other number in the interval has p - 1 decimal places. Otherwise return the integer nearest to v · 10ᵖ.
///
/// For example, the float nearest to 0.3 is 10066330 / 2²⁵, so p is 8, and v · 10⁸ is about 30000001.19. The interval
/// is from 29999999.70 to 30000002.68. It contains 30000000, so the result is `(3000000, 7)`.
///
/// The code has no branches. A branch on step 3 would be mispredicted often, because the floats in a response contain
/// no pattern that the processor could learn.
///
/// [jdk]: https://github.com/openjdk/jdk/blob/master/src/java.base/share/classes/jdk/internal/math/DoubleToDecimal.java
#[inline]
fn shortest(m: u32, exponent: u32) -> (u64, usize) {
    // Step 1: s. The bias of the exponent is 127. Within `PRINTABLE`, s is from 1 to 40.
    let shift = (127 + FRACTION_BITS - exponent) as usize;
    // Step 2: the interval is 10ᵖ / 2ˢ wide, so p = ⌈s · log₁₀ 2⌉. The approximation log₁₀ 2 ≈ 1233/4096 yields the
    // right p for all s up to 40. The mask makes a bounds check of the table unnecessary.
    let places = (shift * 1233).div_ceil(4096) & 15;
    let unit = POWERS[places];
    // From here on, numbers are in fixed-point form with s + 1 fractional bits: the integer n stands for n / 2ˢ⁺¹. In
    // this form, v · 10ᵖ is m · 10ᵖ · 2 (`scaled`), and half the width of the interval is 10ᵖ (`unit`).
    let shift = shift + 1;
    let scaled = u128::from(m) * u128::from(unit << 1);
    let (high, low) = ((scaled >> 64) as u64, scaled as u64);
    // The integer part of v · 10ᵖ is `scaled` >> shift, which fits into 64 bits. The multiples of ten around v · 10ᵖ
    // are 10 · `tens` and 10 · (`tens` + 1).
    let floor = high << (64 - shift) | low >> shift;
    let tens = floor / 10;
    // The distances of v · 10ᵖ to the lower and to the upper multiple, in fixed-point form. Both are at most 10 · 2⁴¹,
    // so the low 64 bits suffice.
    let to_lower = low.wrapping_sub((tens * 10) << shift);
    let to_upper = (10 << shift) - to_lower;
    // Step 3: a multiple is in the interval if its distance is at most `unit`, or less than `unit` for an odd `m`.
    let odd = u64::from(m & 1);
    let has_upper = to_upper + odd <= unit;
    let has_lower = to_lower + odd <= unit;
    let has_ten = u64::from(has_lower | has_upper);
    // The multiple in the interval, divided by ten. This value is not used if `has_ten` is 0.
    let ten = tens + u64::from(has_upper);
    // The integer nearest to v · 10ᵖ. `rest` is the fractional part. If `rest` is exactly ½, round to the even integer.
    let rest = to_lower - ((floor - tens * 10) << shift);
    let nearest = floor + u64::from(rest * 2 + (floor & 1) > 1 << shift);
    // Select `ten` if `has_ten` is 1, else `nearest`: the mask is all ones for 1 and all zeros for 0.
    let mask = has_ten.wrapping_neg();
    (nearest ^ ((nearest ^ ten) & mask), places - has_ten as usize)
}

/// Writes `digits` / 10^`places`, which is below 1, to the start of `text`, and returns the length of the text. `text`
/// must be filled with the character `0`. `places` is from 7 to 13 for a float below 1.
///
/// The text consists of `0.` and `places` digits, without trailing zeros. `digits` is written as nine digits with
/// leading zeros, so that the last digit is at index 1 + `places`.
#[inline]
fn write_below_one(text: &mut [u8; BUFFER_SIZE], digits: u64, places: usize) -> usize {
    let (first, rest) = nine_digits(digits);
    // Index of the last eight digits; the first digit is before them. For more than nine places, the bytes between the
    // `0.` and the first digit stay zeros. For seven or eight places, the first digits are zeros and are written over
    // the `0.`, so the point is written last.
    let at = 2 + places - 8;
    text[at - 1] = b'0' + first;
    text[at..at + 8].copy_from_slice(&(rest | ASCII_ZEROS).to_le_bytes());
    text[1] = b'.';
    // The last digits are in the high bytes of `rest`, so leading zero bytes of `rest` are trailing zeros of the
    // number. Cut them off.
    at + 8 - rest.leading_zeros() as usize / 8
}

/// Writes `digits` / 10^`places`, which is at least 1 and less than 2²³, to the start of `text`, and returns the length
/// of the text. `places` is at most 7.
#[inline(never)]
fn write_at_least_one(text: &mut [u8; BUFFER_SIZE], digits: u64, places: usize) -> usize {
    let whole = digits / POWERS[places];
    // The last `places` digits of the eight, which are in the high bytes, are the fraction. Shift them to the low
    // bytes, so that the first decimal place comes first in memory. The shift by 8 - `places` bytes has two steps,
    // because a single shift by 64 bits (for 0 places) would overflow.
    let (_, fraction) = nine_digits(digits - whole * POWERS[places]);
    let fraction = fraction >> (8 * (7 - places)) >> 8;
    let (_, whole) = nine_digits(whole);
    // Low zero bytes are leading zeros of the whole part. Shift them out. The point follows the remaining digits.
    let leading_zeros = whole.trailing_zeros() as usize / 8;
    let point = 8 - leading_zeros;
    text[..8].copy_from_slice(&((whole | ASCII_ZEROS) >> (8 * leading_zeros)).to_le_bytes());
    text[point] = b'.';
    text[point + 1..point + 9].copy_from_slice(&(fraction | ASCII_ZEROS).to_le_bytes());
    // Cut off trailing zeros, but keep at least one decimal place, as in `3.0`.
    point + 1 + (8 - fraction.leading_zeros() as usize / 8).max(1)
}

/// Splits a number below 10⁹ into its first digit and the other eight digits. The eight digits are packed into a word,
/// one digit (0–9) per byte, with the most significant digit in the lowest byte.
#[inline]
fn nine_digits(number: u64) -> (u8, u64) {
    let thousands = number / 1000;
    let millions = number / 1_000_000;
    let triple = |three: u64| u64::from(DIGIT_TRIPLES[three as usize & 1023]);
    let (first, second) = (triple(millions), triple(thousands - millions * 1000));
    let third = triple(number - thousands * 1000);
    // The lowest byte of `first` is the first digit. Its other two digits become bytes 0 and 1 of the word, `second`
    // becomes bytes 2 to 4, and `third` becomes bytes 5 to 7.
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

    /// Asserts that [`write`] prints the same text as serde_json, and returns the number of floats that it printed.
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
