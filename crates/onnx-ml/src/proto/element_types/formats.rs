//! Element types of ONNX that tract lacks, and the types with which tract computes instead.
//!
//! Each value of such a type is also a value of a wider type that tract has: `float` for the small
//! floats, and `int8` or `uint8` for the integers of 4 and 2 bits. The wider type is called the
//! carrier.

/// Codes of `TensorProto.DataType`. tract's enumeration ends at 23.
pub const FLOAT: i32 = 1;
pub const UINT8: i32 = 2;
pub const INT8: i32 = 3;
pub const FLOAT16: i32 = 10;
pub const BFLOAT16: i32 = 16;

/// An element type of ONNX that is replaced by a carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Float(FloatFormat),
    /// A two's complement or unsigned integer.
    Integer {
        bits: u32,
        is_signed: bool,
    },
}

/// The layout of a float: a sign, an exponent, and a mantissa.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FloatFormat {
    /// Number of bits of an element in a tensor's data.
    pub bits: u32,
    mantissa: u32,
    bias: u32,
    specials: Specials,
}

/// The representation of infinities and NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Specials {
    /// The specials of IEEE 754: the greatest exponent is infinity if the mantissa is 0, and NaN otherwise.
    Ieee,
    /// No infinity. NaN is a code whose exponent and mantissa have only ones.
    NanOnly,
    /// No infinity and no negative zero. The code of negative zero is NaN.
    NanForNegativeZero,
    /// Neither infinity nor NaN.
    None,
    /// A power of two without sign and mantissa. The greatest code is NaN.
    PowerOfTwo,
}

impl Format {
    /// Returns the format of an element type, or `None` if tract computes with the type itself.
    pub fn of(data_type: i32) -> Option<Format> {
        use Specials::{Ieee, NanForNegativeZero, NanOnly, None as Never, PowerOfTwo};
        let float = |bits, mantissa, bias, specials| {
            Some(Format::Float(FloatFormat { bits, mantissa, bias, specials }))
        };
        let integer = |bits, is_signed| Some(Format::Integer { bits, is_signed });
        match data_type {
            FLOAT16 => float(16, 10, 15, Ieee),
            BFLOAT16 => float(16, 7, 127, Ieee),
            17 => float(8, 3, 7, NanOnly),
            18 => float(8, 3, 8, NanForNegativeZero),
            19 => float(8, 2, 15, Ieee),
            20 => float(8, 2, 16, NanForNegativeZero),
            21 => integer(4, false),
            22 => integer(4, true),
            23 => float(4, 1, 1, Never),
            24 => float(8, 0, 127, PowerOfTwo),
            25 => integer(2, false),
            26 => integer(2, true),
            _ => None,
        }
    }

    /// Returns the carrier of this type.
    pub fn carrier(self) -> i32 {
        match self {
            Format::Float(_) => FLOAT,
            Format::Integer { is_signed: true, .. } => INT8,
            Format::Integer { is_signed: false, .. } => UINT8,
        }
    }

    /// Returns the number of bits of an element in a tensor's data.
    pub fn bits(self) -> u32 {
        match self {
            Format::Float(float) => float.bits,
            Format::Integer { bits, .. } => bits,
        }
    }
}

/// Returns the integer that `code` represents in the lowest `bits` bits.
pub fn integer(code: u16, bits: u32, is_signed: bool) -> i8 {
    let unused = 8 - bits;
    let shifted = (code as u8) << unused;
    if is_signed { (shifted as i8) >> unused } else { (shifted >> unused) as i8 }
}

impl FloatFormat {
    /// Returns the value of a code.
    pub fn decode(self, code: u16) -> f32 {
        if self.specials == Specials::PowerOfTwo {
            return if code == 0xff { f32::NAN } else { (f32::from(code) - 127.0).exp2() };
        }
        let sign = code >> (self.bits - 1) & 1;
        let magnitude = code & ((1 << (self.bits - 1)) - 1);
        let greatest = (1 << (self.bits - 1)) - 1;
        let value = match self.specials {
            Specials::Ieee if magnitude >> self.mantissa == greatest >> self.mantissa => {
                let is_infinite = magnitude & ((1 << self.mantissa) - 1) == 0;
                if is_infinite { f32::INFINITY } else { f32::NAN }
            }
            Specials::NanOnly if magnitude == greatest => f32::NAN,
            Specials::NanForNegativeZero if magnitude == 0 && sign == 1 => f32::NAN,
            _ => self.magnitude(magnitude),
        };
        if sign == 1 { -value } else { value }
    }

    /// Returns the value of a code without its sign, as if no code were infinite or NaN.
    fn magnitude(self, code: u16) -> f32 {
        // The bits of the code, moved to the place of an `f32`'s exponent and mantissa, are the
        // value for a bias of 127. The multiplication corrects the bias, also for subnormals.
        let moved = f32::from_bits(u32::from(code) << (23 - self.mantissa));
        moved * ((127 - self.bias as i32) as f32).exp2()
    }

    /// Rounds to the nearest value of the format, and to the even code if two values are equally
    /// near. If `saturates` is true, a value beyond the greatest finite value becomes the greatest finite value.
    pub fn round(self, value: f32, saturates: bool) -> f32 {
        if self.bits == 16 && self.mantissa == 7 {
            return round_to_bfloat16(value);
        }
        if self.specials == Specials::PowerOfTwo {
            return round_to_power_of_two(value);
        }
        if value.is_nan() {
            return if self.specials == Specials::None { self.greatest() } else { value };
        }
        let greatest = self.greatest();
        let magnitude = self.round_magnitude(value.abs());
        let magnitude = if magnitude <= greatest {
            magnitude
        } else if saturates || self.specials == Specials::None {
            greatest
        } else if self.specials == Specials::Ieee {
            f32::INFINITY
        } else {
            f32::NAN
        };
        let drops_sign = magnitude == 0.0 && self.specials == Specials::NanForNegativeZero;
        if value.is_sign_negative() && !drops_sign { -magnitude } else { magnitude }
    }

    /// Returns the greatest finite value.
    fn greatest(self) -> f32 {
        let greatest = (1 << (self.bits - 1)) - 1;
        self.magnitude(match self.specials {
            Specials::Ieee => greatest - (1 << self.mantissa),
            Specials::NanOnly => greatest - 1,
            _ => greatest,
        })
    }

    /// Rounds a number of at least 0 as if the exponent had no upper bound.
    fn round_magnitude(self, value: f32) -> f32 {
        if value.is_infinite() {
            return value;
        }
        // The distance of two adjacent values is constant between powers of two, and below the
        // smallest normal value.
        let exponent = (value.to_bits() >> 23) as i32 - 127;
        let lowest = 1 - self.bias as i32;
        let distance = ((exponent.max(lowest) - self.mantissa as i32) as f64).exp2();
        ((f64::from(value) / distance).round_ties_even() * distance) as f32
    }
}

/// Rounds to the nearest `bfloat16`, which has the upper half of the bits of an `f32`.
fn round_to_bfloat16(value: f32) -> f32 {
    if value.is_nan() {
        return value;
    }
    let bits = value.to_bits();
    let ties_to_even = 0x7fff + (bits >> 16 & 1);
    f32::from_bits((bits + ties_to_even) & 0xffff_0000)
}

/// Rounds the absolute value to the next power of two that is not smaller, at most 2^127.
fn round_to_power_of_two(value: f32) -> f32 {
    if value.is_nan() {
        return value;
    }
    f64::from(value.abs()).log2().ceil().clamp(-127.0, 127.0).exp2() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(data_type: i32) -> FloatFormat {
        match Format::of(data_type) {
            Some(Format::Float(float)) => float,
            other => panic!("expected a float, found {other:?}"),
        }
    }

    #[test]
    fn decodes_the_extremes_of_each_format() {
        for (data_type, code, expected) in [
            (FLOAT16, 0x7bff, 65504.0),
            (FLOAT16, 0x0001, 5.960_464_5e-8),
            (FLOAT16, 0xfc00, f32::NEG_INFINITY),
            (BFLOAT16, 0x3fc0, 1.5),
            (BFLOAT16, 0x0001, 9.183_55e-41),
            (17, 0x7e, 448.0),
            (17, 0x01, 0.001_953_125),
            (18, 0x7f, 240.0),
            (19, 0x7b, 57344.0),
            (20, 0x7f, 57344.0),
            (23, 0x7, 6.0),
            (23, 0xf, -6.0),
            (24, 0x7f, 1.0),
        ] {
            assert_eq!(float(data_type).decode(code), expected, "{data_type} {code:#x}");
        }
        assert!(
            [(FLOAT16, 0x7e00), (17, 0x7f), (18, 0x80), (19, 0x7d), (24, 0xff)]
                .iter()
                .all(|(data_type, code)| float(*data_type).decode(*code).is_nan())
        );
        assert_eq!([7, 8, 15].map(|code| integer(code, 4, true)), [7, -8, -1]);
        assert_eq!([7, 8, 15].map(|code| integer(code, 4, false)), [7, 8, 15]);
    }

    #[test]
    fn values_of_a_format_round_to_themselves() {
        for data_type in [FLOAT16, BFLOAT16, 17, 18, 19, 20, 23] {
            let format = float(data_type);
            for code in 0..=u16::MAX >> (16 - format.bits) {
                let value = format.decode(code);
                let rounded = format.round(value, false);
                assert!(rounded == value || value.is_nan(), "{data_type} {code:#x}");
            }
        }
    }

    #[test]
    fn rounds_ties_to_the_even_code_and_saturates() {
        assert_eq!(float(BFLOAT16).round(1.0 + 1.0 / 256.0, false), 1.0);
        assert_eq!(float(BFLOAT16).round(1.0 + 3.0 / 256.0, false), 1.015_625);
        assert_eq!(float(17).round(464.0, false), 448.0);
        assert!(float(17).round(465.0, false).is_nan());
        assert_eq!(float(17).round(-1e9, true), -448.0);
        assert_eq!(float(19).round(1e9, false), f32::INFINITY);
        assert_eq!(float(23).round(2.5, true), 2.0);
        assert_eq!(float(23).round(5.0, true), 4.0);
    }
}
