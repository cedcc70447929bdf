//! Floats as decimal numbers, written by hand: the digits that serde_json writes, in less time for those
//! that are neither tiny nor huge, as probabilities and most predictions are.

use std::ops::Range;

/// From 0.00001, the least that is written without an exponent, to 2²³, from where on all are integers.
const PLAIN: Range<u32> = 1e-5_f32.to_bits()..8_388_608_f32.to_bits();

const ONE: u32 = 1_f32.to_bits();

const FRACTION_BITS: u32 = f32::MANTISSA_DIGITS - 1;

/// Ten to the power of the index.
const POWERS: [u64; 16] = {
    let mut powers = [1; 16];
    let mut power = 1;
    while power < powers.len() {
        powers[power] = powers[power - 1] * 10;
        power += 1;
    }
    powers
};

/// Digits of the index, one a byte, the first in the least.
const THREE: [u32; 1024] = {
    let mut digits = [0; 1024];
    let mut number = 0;
    while number < 1000 {
        digits[number as usize] =
            (number / 100) | ((number / 10 % 10) << 8) | ((number % 10) << 16);
        number += 1;
    }
    digits
};

/// Characters.
const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);

/// Bytes of a sign and of any number in [`PLAIN`], with room for one store too far.
const ROOM: usize = 24;

/// Appends the shortest decimal number that is nearer to `number` than to any other float, as serde_json has
/// it; does nothing and gives `false` for those that take a longer way.
pub fn write(out: &mut Vec<u8>, number: f32) -> bool {
    let bits = number.abs().to_bits();
    let fraction = bits & ((1 << FRACTION_BITS) - 1);
    // Below a power of two floats are denser than above it.
    if !PLAIN.contains(&bits) || fraction == 0 {
        return false;
    }
    if number.is_sign_negative() {
        out.push(b'-');
    }
    let (digits, places) = shortest(fraction | 1 << FRACTION_BITS, bits >> FRACTION_BITS);
    let start = out.len();
    out.extend_from_slice(&[b'0'; ROOM]);
    let Some(text) = out.last_chunk_mut() else { return false };
    let len =
        if bits < ONE { less_than_one(text, digits, places) } else { mixed(text, digits, places) };
    out.truncate(start + len);
    true
}

/// An integer of at most nine digits, and how many of its decimal places stand behind the point. No branch:
/// half of them would be foretold wrongly.
///
/// All of it is exact. A float is `m`/2ᵉ, and the numbers nearer to it than to others reach half a unit of
/// `m` either way. Times the least power of ten by which that unit is at least 1, there is an integer
/// within reach, and at most one multiple of ten (R. Giulietti, "The Schubfach way to render doubles", 2020).
#[inline]
fn shortest(m: u32, exponent: u32) -> (u64, usize) {
    // 127 is the bias; log₁₀ 2 is 1233/4096.
    let shift = (127 + FRACTION_BITS - exponent) as usize;
    let places = (shift * 1233).div_ceil(4096) & 15;
    let unit = POWERS[places];
    // In halves of what `shift` leaves.
    let shift = shift + 1;
    let scaled = u128::from(m) * u128::from(unit << 1);
    let (high, low) = ((scaled >> 64) as u64, scaled as u64);
    let floor = high << (64 - shift) | low >> shift;
    let tens = floor / 10;
    let above = low.wrapping_sub((tens * 10) << shift);
    let below = (10 << shift) - above;
    // A float whose `m` is even has the ends of its reach.
    let odd = u64::from(m & 1);
    let up = below + odd <= unit;
    let is_ten = u64::from(up | (above + odd <= unit));
    let rest = above - ((floor - tens * 10) << shift);
    let nearest = floor + u64::from(rest * 2 + (floor & 1) > 1 << shift);
    let ten = tens + u64::from(up);
    (nearest ^ ((nearest ^ ten) & is_ten.wrapping_neg()), places - is_ten as usize)
}

/// A number less than 1 in a text of zeros: its length.
#[inline]
fn less_than_one(text: &mut [u8; ROOM], digits: u64, places: usize) -> usize {
    let (first, rest) = nine(digits);
    // Its first digits are zeros, or there are zeros before it.
    let at = 2 + places - 8;
    text[at - 1] = b'0' + first;
    text[at..at + 8].copy_from_slice(&(rest | ZEROS).to_le_bytes());
    text[1] = b'.';
    at + 8 - rest.leading_zeros() as usize / 8
}

/// One that is at least 1.
#[inline(never)]
fn mixed(text: &mut [u8; ROOM], digits: u64, places: usize) -> usize {
    let whole = digits / POWERS[places];
    let (_, fraction) = nine(digits - whole * POWERS[places]);
    let fraction = fraction >> (8 * (7 - places)) >> 8;
    let (_, whole) = nine(whole);
    let before = whole.trailing_zeros() as usize / 8;
    let point = 8 - before;
    text[..8].copy_from_slice(&((whole | ZEROS) >> (8 * before)).to_le_bytes());
    text[point] = b'.';
    text[point + 1..point + 9].copy_from_slice(&(fraction | ZEROS).to_le_bytes());
    point + 1 + (8 - fraction.leading_zeros() as usize / 8).max(1)
}

/// The first of nine digits, and the others, one a byte, the first in the least.
#[inline]
fn nine(number: u64) -> (u8, u64) {
    let thousands = number / 1000;
    let millions = number / 1_000_000;
    let of = |three: u64| u64::from(THREE[three as usize & 1023]);
    let (first, second) = (of(millions), of(thousands - millions * 1000));
    let third = of(number - thousands * 1000);
    (first as u8, first >> 8 | second << 16 | third << 40)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(number: f32) -> Option<String> {
        let mut out = b",".to_vec();
        let taken = write(&mut out, number);
        let text = String::from_utf8(out).expect("ASCII").split_off(1);
        taken.then_some(text).filter(|text| !text.is_empty())
    }

    /// Compares with serde_json; gives how many of the floats took the short way.
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
    fn digits_are_those_of_serde_json() {
        let (first, last) = (0.9e-5_f32.to_bits(), 1.7e7_f32.to_bits());
        let positive = (first..last).step_by(1009);
        let taken = compare(positive.clone());
        assert!(taken * 100 > positive.len() * 95, "{taken} of {}", positive.len());
        assert_eq!(compare(positive.map(|bits| bits | 1 << 31)), taken);
    }

    #[test]
    fn powers_and_their_neighbours_are_those_of_serde_json() {
        let powers = (-17..24).map(|power| 2_f32.powi(power));
        let tens = (-5..8).map(|power| 10_f32.powi(power));
        let of = powers.chain(tens).flat_map(|number| number.to_bits() - 2..=number.to_bits() + 2);
        assert!(compare(of) > 150);
        assert!(compare((0..1000).map(|number| (number as f32 / 8.0).to_bits())) > 950);
    }

    #[test]
    fn others_take_the_long_way() {
        for number in
            [0.0, -0.0, 0.5, 1e-6, 1e8, f32::MAX, f32::NAN, f32::INFINITY, f32::NEG_INFINITY]
        {
            assert_eq!(written(number), None, "{number}");
        }
    }
}
