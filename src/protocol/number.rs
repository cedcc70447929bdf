//! Decimal numbers, read by hand.

use ml_app_model::Value;

/// Of decimal digits, as many as a `u64` and an `i64` have in any case.
const MOST_DIGITS: usize = 18;

/// Of ten, those that are doubles.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// As [`read`] an integer of up to seven digits, all at once: `None` is anything else.
#[inline]
pub fn short_integer(text: &[u8]) -> Option<(u32, usize)> {
    const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
    const MORE_THAN_NINE: u64 = u64::from_ne_bytes([0x80 - 10; 8]);
    const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);
    let word = match text.first_chunk() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => few_bytes(text),
    };
    let digits = word ^ ZEROS;
    let others = (digits.wrapping_add(MORE_THAN_NINE) | digits) & HIGH_BITS;
    let len = others.trailing_zeros() as usize / 8;
    let follows = word.checked_shr(8 * len as u32)? as u8;
    if len == 0 || matches!(follows, b'.' | b'e' | b'E') || (len > 1 && word as u8 == b'0') {
        return None;
    }
    // Zeros before them make it eight; then pairs, and pairs of pairs, are put together.
    let digits = digits << (64 - 8 * len);
    let pairs = (digits * 10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    Some(((fours as u32) * 10_000 + (fours >> 32) as u32, len))
}

/// Less than eight, and zeros after them.
#[inline]
fn few_bytes(text: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        let after = u64::from(u32::from_le_bytes(*last)) << (8 * (text.len() - 4));
        return u64::from(u32::from_le_bytes(*first)) | after;
    }
    text.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// The number that `text` begins with, as JSON writes numbers ([RFC
/// 8259](https://www.rfc-editor.org/rfc/rfc8259#section-6)), and how many bytes it takes. `None` where
/// there is none, and for an integer of more than 18 digits and for `-0`, which are not only integers.
pub fn read(text: &[u8]) -> Option<(Value<'static>, usize)> {
    let is_negative = text.first() == Some(&b'-');
    let first = usize::from(is_negative);
    let (digits, end) = digits(text, first, 0);
    let count = end - first;
    if count == 0 || (count > 1 && text[first] == b'0') {
        return None;
    }
    match text.get(end) {
        Some(b'.' | b'e' | b'E') => fraction(text, first, end, digits),
        _ if count > MOST_DIGITS || (is_negative && digits == 0) => None,
        _ => {
            let integer = digits as i64;
            Some((Value::Integer(if is_negative { -integer } else { integer }.into()), end))
        }
    }
}

/// The digits from `at` on, after those `before`, and where they end; too many are no number any more.
#[inline]
fn digits(text: &[u8], mut at: usize, before: u64) -> (u64, usize) {
    let mut digits = before;
    while let Some(byte @ b'0'..=b'9') = text.get(at) {
        digits = digits.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
        at += 1;
    }
    (digits, at)
}

/// A number that is no integer, whose digits before `at` are read, from `first` on.
#[inline]
fn fraction(
    text: &[u8],
    first: usize,
    mut at: usize,
    mut whole: u64,
) -> Option<(Value<'static>, usize)> {
    let (mut count, mut power) = (at - first, 0);
    if text.get(at) == Some(&b'.') {
        let point = at + 1;
        (whole, at) = digits(text, point, whole);
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
        (exponent, at) = digits(text, begin, 0);
        let exponent = exponent as i64;
        match at - begin {
            // No exponent of a double has more.
            1..=3 => power += if sign == Some(&b'-') { -exponent } else { exponent },
            0 => return None,
            _ => count = usize::MAX,
        }
    }
    // Both are exact as doubles then, so that the one rounding is right (Clinger, "How to read
    // floating point numbers accurately", PLDI 1990).
    let is_exact = count <= MOST_DIGITS && whole <= 1 << f64::MANTISSA_DIGITS;
    let number = match usize::try_from(power.abs()) {
        Ok(places) if is_exact && places < POWERS.len() => {
            let digits = if first == 1 { -(whole as f64) } else { whole as f64 };
            if power < 0 { digits / POWERS[places] } else { digits * POWERS[places] }
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
    fn integers_at_the_end_of_a_text_are_read_as_before_another() {
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
    fn what_is_no_integer_is_read_otherwise() {
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
