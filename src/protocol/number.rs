//! Parser for decimal numbers as JSON writes them, for the fast paths of JSON and CSV.
//!
//! [`short_integer`] parses up to seven digits at once, which covers most values of tables. [`read`] parses almost
//! every other number. Both return the number and the length of its text in bytes. They accept only numbers that
//! serde_json accepts, and return the same value.

use ml_app_model::Value;

/// Number of decimal digits that always fit into a `u64` and into an `i64`.
const MAX_DIGITS: usize = 18;

/// Powers of ten that an `f64` represents exactly: `EXACT_POWERS[n]` is 10ⁿ.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Parses the unsigned integer of one to seven digits that `text` begins with. Returns `None` if `text` begins with
/// a different number or with none.
///
/// This is SWAR ("SIMD within a register") parsing. The next eight bytes are loaded as one `u64`, little-endian, so
/// that the first character is the lowest byte. A few operations on the word then classify and convert all eight
/// characters at once.
#[inline]
pub fn short_integer(text: &[u8]) -> Option<(u32, usize)> {
    const ASCII_ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
    // Added to a byte of 10 or more, it sets the high bit.
    const ABOVE_NINE: u64 = u64::from_ne_bytes([0x80 - 10; 8]);
    const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);
    let word = match text.first_chunk() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => load_short(text),
    };
    // A digit's byte becomes its value 0–9, any other byte 10 or more.
    let digits = word ^ ASCII_ZEROS;
    // The high bit of each byte that is not a digit: it is set by the addition for 10–127, and is set in `digits`
    // itself for 128–255. The addition carries only out of a byte that is not a digit, into the bytes after that
    // byte. So the first byte that is not a digit is found correctly, and the bytes after it do not matter.
    let others = (digits.wrapping_add(ABOVE_NINE) | digits) & HIGH_BITS;
    // The number of digits. It is 8 if all bytes are digits: then the shift by 64 bits below returns `None`.
    let len = others.trailing_zeros() as usize / 8;
    let follows = word.checked_shr(8 * len as u32)? as u8;
    // There is no digit, a fraction or an exponent follows, or there is a leading zero, which JSON forbids.
    if len == 0 || matches!(follows, b'.' | b'e' | b'E') || (len > 1 && word as u8 == b'0') {
        return None;
    }
    // Shift the digits to the high bytes, which drops the bytes after the number and puts zeros before it.
    // The word now has exactly eight digits d₀…d₇, with d₀ in the lowest byte.
    let digits = digits << (64 - 8 * len);
    // Combine neighbors: each 16-bit lane becomes 10·d₀ + d₁, and so on.
    let pairs = (digits * 10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    // Combine pairs: each 32-bit lane becomes a number of four digits. The last line combines the two lanes.
    let fours = (pairs * 100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    Some(((fours as u32) * 10_000 + (fours >> 32) as u32, len))
}

/// Loads fewer than eight bytes into a little-endian `u64`, padded with zero bytes.
#[inline]
fn load_short(text: &[u8]) -> u64 {
    // Four to seven bytes: two 4-byte loads that overlap. OR-ing the same bytes twice does no harm.
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        let after = u64::from(u32::from_le_bytes(*last)) << (8 * (text.len() - 4));
        return u64::from(u32::from_le_bytes(*first)) | after;
    }
    text.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Parses the number that `text` begins with, as JSON writes numbers ([RFC
/// 8259](https://www.rfc-editor.org/rfc/rfc8259#section-6)).
///
/// Returns `None` if `text` does not begin with a number. Also returns `None` for an integer of more than 18
/// digits, because it may not fit into an `i64`, and for `-0`, because serde_json reads it as a float.
pub fn read(text: &[u8]) -> Option<(Value<'static>, usize)> {
    let is_negative = text.first() == Some(&b'-');
    let first = usize::from(is_negative);
    let (digits, end) = append_digits(text, first, 0);
    let count = end - first;
    if count == 0 || (count > 1 && text[first] == b'0') {
        return None;
    }
    match text.get(end) {
        Some(b'.' | b'e' | b'E') => parse_fraction(text, first, end, digits),
        _ if count > MAX_DIGITS || (is_negative && digits == 0) => None,
        _ => {
            let integer = digits as i64;
            Some((Value::Integer(if is_negative { -integer } else { integer }.into()), end))
        }
    }
}

/// Appends the decimal digits of `text` that start at index `at` to the number `before`. Returns the number and the
/// index after the last digit. The number overflows if it has more than 19 digits.
#[inline]
fn append_digits(text: &[u8], mut at: usize, before: u64) -> (u64, usize) {
    let mut digits = before;
    while let Some(byte @ b'0'..=b'9') = text.get(at) {
        digits = digits.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
        at += 1;
    }
    (digits, at)
}

/// Parses the rest of a number after its integer part: a fraction, an exponent, or both. The rest starts at index
/// `at`.
///
/// `first` is the index of the number's first digit, and `whole` is the integer formed by the digits before `at`.
/// The function appends the decimal places to `whole`, so that the value is `whole` · 10^`power`.
#[inline]
fn parse_fraction(
    text: &[u8],
    first: usize,
    mut at: usize,
    mut whole: u64,
) -> Option<(Value<'static>, usize)> {
    // `count` is the number of digits in `whole`.
    let (mut count, mut power) = (at - first, 0);
    if text.get(at) == Some(&b'.') {
        let point = at + 1;
        (whole, at) = append_digits(text, point, whole);
        let places = at - point;
        if places == 0 {
            return None;
        }
        count += places;
        power = -(places as i64);
    }
    if let Some(b'e' | b'E') = text.get(at) {
        let sign = text.get(at + 1).filter(|byte| matches!(byte, b'+' | b'-'));
        let begin = at + 1 + usize::from(sign.is_some());
        let exponent;
        (exponent, at) = append_digits(text, begin, 0);
        let exponent = exponent as i64;
        match at - begin {
            1..=3 => power += if sign == Some(&b'-') { -exponent } else { exponent },
            0 => return None,
            // Longer exponents are rare (`1e0001`): leave them to the standard library.
            _ => count = usize::MAX,
        }
    }
    // Clinger's fast path (W. Clinger, "How to read floating point numbers accurately", PLDI 1990): if both
    // the digits and the power of ten are exact as an `f64`, a single multiplication or division rounds only once,
    // so its result is correctly rounded. Otherwise use the standard library's parser.
    let is_exact = count <= MAX_DIGITS && whole <= 1 << f64::MANTISSA_DIGITS;
    let number = match usize::try_from(power.abs()) {
        Ok(places) if is_exact && places < EXACT_POWERS.len() => {
            let digits = if first == 1 { -(whole as f64) } else { whole as f64 };
            if power < 0 { digits / EXACT_POWERS[places] } else { digits * EXACT_POWERS[places] }
        }
        _ => {
            let text = std::str::from_utf8(&text[..at]).ok()?;
            text.parse().ok().filter(|number: &f64| number.is_finite())?
        }
    };
    Some((Value::Number(number), at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_an_integer_before_any_other_text() {
        let numbers = ["0", "7", "10", "999", "1234", "56789", "123456", "7654321", "12345678"];
        for number in numbers {
            let integer = number.parse().expect("an integer");
            for after in ["", ",", "]", ",5", "], [1, 2, 3]"] {
                let text = format!("{number}{after}");
                let expected = Some((Value::Integer(integer), number.len()));
                assert_eq!(read(text.as_bytes()), expected, "{text}");
                let short = short_integer(text.as_bytes());
                let short = short.map(|(integer, len)| (Value::Integer(integer.into()), len));
                assert_eq!(short, expected.filter(|_| number.len() < 8), "{text}");
            }
        }
    }

    #[test]
    fn short_integer_leaves_other_numbers_to_read() {
        for (text, number) in [("1.5", 1.5), ("1234.5", 1234.5), ("1e3,", 1000.0), ("12E1", 120.0)]
        {
            assert_eq!(short_integer(text.as_bytes()), None, "{text}");
            let read = read(text.as_bytes());
            assert_eq!(read.map(|(read, _)| read), Some(Value::Number(number)), "{text}");
        }
        for text in ["", "a", "01", "00000001", ",1", "-", "é"] {
            assert_eq!(short_integer(text.as_bytes()), None, "{text}");
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }
}
