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

/// Parses the unsigned integer of one to seven digits at the start of `text`. Returns `None` if `text` starts with any
/// other number or with no number.
///
/// This is SWAR parsing ("SIMD within a register"). The first eight bytes are loaded into a little-endian `u64`, so
/// that the first character is in the lowest byte. A few operations on this word then classify and convert all eight
/// characters at once.
#[inline]
pub fn short_integer(text: &[u8]) -> Option<(u32, usize)> {
    const ASCII_ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
    // Adding this constant to a byte from 10 to 127 sets the byte's high bit. Adding it to 0–9 does not.
    const ABOVE_NINE: u64 = u64::from_ne_bytes([0x80 - 10; 8]);
    const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);
    let word = match text.first_chunk() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => load_short(text),
    };
    // The byte of a digit becomes its value, 0–9. Any other byte becomes 10 or more.
    let digits = word ^ ASCII_ZEROS;
    // Keep the high bit of each byte that is not a digit. The addition sets it for 10–127, and it is already set in
    // `digits` for 128–255. A byte that is not a digit may carry into the following bytes and make them wrong. This
    // does no harm, because only the first byte that is not a digit matters.
    let others = (digits.wrapping_add(ABOVE_NINE) | digits) & HIGH_BITS;
    // The number of digits. If all eight bytes are digits, it is 8, and `checked_shr` by 64 bits returns `None`.
    let len = others.trailing_zeros() as usize / 8;
    let follows = word.checked_shr(8 * len as u32)? as u8;
    // Reject a text without digits, a number with a fraction or an exponent, and a leading zero, which JSON forbids.
    if len == 0 || matches!(follows, b'.' | b'e' | b'E') || (len > 1 && word as u8 == b'0') {
        return None;
    }
    // Shift the digits to the high bytes. This drops the bytes after the number and inserts leading zeros, so the word
    // now has exactly eight digits d₀…d₇, with d₀ in the lowest byte.
    let digits = digits << (64 - 8 * len);
    // Combine neighbors: the four 16-bit lanes become 10·d₀ + d₁, 10·d₂ + d₃, 10·d₄ + d₅ and 10·d₆ + d₇.
    let pairs = (digits * 10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    // Combine pairs: the low 32-bit lane becomes the number d₀d₁d₂d₃, and the high lane the number d₄d₅d₆d₇.
    let fours = (pairs * 100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    Some(((fours as u32) * 10_000 + (fours >> 32) as u32, len))
}

/// Loads fewer than eight bytes into a little-endian `u64`, padded with zero bytes.
#[inline]
fn load_short(text: &[u8]) -> u64 {
    // For four to seven bytes, load the first four and the last four bytes. Bytes that are in both loads have the same
    // position in the word, so the OR does not change them.
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        let last = u64::from(u32::from_le_bytes(*last)) << (8 * (text.len() - 4));
        return u64::from(u32::from_le_bytes(*first)) | last;
    }
    text.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Parses the JSON number ([RFC 8259](https://www.rfc-editor.org/rfc/rfc8259#section-6)) at the start of `text`.
///
/// Returns `None` if `text` does not start with a number. Also returns `None` for an integer of more than 18 digits,
/// because it may not fit into an `i64`, and for `-0`, because serde_json reads it as a float.
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

/// Appends the decimal digits from index `at` of `text` on to the number `digits`. Returns the resulting number and the
/// index after the last digit. A number of more than 19 digits may wrap around.
#[inline]
fn append_digits(text: &[u8], mut at: usize, mut digits: u64) -> (u64, usize) {
    while let Some(byte @ b'0'..=b'9') = text.get(at) {
        digits = digits.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
        at += 1;
    }
    (digits, at)
}

/// Parses a number that has a fraction, an exponent, or both, from the byte after its integer part on. `at` is the
/// index of that byte.
///
/// `first` is the index of the number's first digit, which is 1 after a minus sign. `digits` is the integer part.
/// The function appends the decimal places to `digits`, so that the absolute value is `digits` · 10^`power`.
#[inline]
fn parse_fraction(
    text: &[u8],
    first: usize,
    mut at: usize,
    mut digits: u64,
) -> Option<(Value<'static>, usize)> {
    // `count` is the number of decimal digits in `digits`.
    let (mut count, mut power) = (at - first, 0);
    if text.get(at) == Some(&b'.') {
        let start = at + 1;
        (digits, at) = append_digits(text, start, digits);
        let places = at - start;
        if places == 0 {
            return None;
        }
        count += places;
        power = -(places as i64);
    }
    if let Some(b'e' | b'E') = text.get(at) {
        let sign = text.get(at + 1).filter(|byte| matches!(byte, b'+' | b'-'));
        let start = at + 1 + usize::from(sign.is_some());
        let exponent;
        (exponent, at) = append_digits(text, start, 0);
        let exponent = exponent as i64;
        match at - start {
            1..=3 => power += if sign == Some(&b'-') { -exponent } else { exponent },
            0 => return None,
            // A longer exponent (`1e0001`) is rare. This count makes the standard library parse the number.
            _ => count = usize::MAX,
        }
    }
    // Clinger's fast path (W. Clinger, "How to read floating point numbers accurately", PLDI 1990): if an `f64`
    // represents both `digits` and the power of ten exactly, one multiplication or division computes the number. It
    // rounds once, so its result is correctly rounded. Otherwise use the standard library's parser.
    let is_exact = count <= MAX_DIGITS && digits <= 1 << f64::MANTISSA_DIGITS;
    let number = match usize::try_from(power.abs()) {
        Ok(places) if is_exact && places < EXACT_POWERS.len() => {
            let signed = if first == 1 { -(digits as f64) } else { digits as f64 };
            if power < 0 { signed / EXACT_POWERS[places] } else { signed * EXACT_POWERS[places] }
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
