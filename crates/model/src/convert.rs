//! Converts a client's value to the kind and the element type of its feature.

use crate::datatype::{Datatype, Kind};
use crate::tensor::Data;
use crate::value::{Mismatch, Value, with_article};
use tract_onnx::prelude::f16;

/// A value that is already converted to the kind of its feature, but not yet to the element type.
enum Scalar<'a> {
    Bool(bool),
    Integer(i128),
    Number(f64),
    String(&'a str),
}

impl Data {
    /// Appends an element. If `value` does not fit, appends zero or an empty string and returns an error.
    ///
    /// # Errors
    ///
    /// Returns an error if the value cannot be converted to the default kind of the element type, or if the value is
    /// out of the range of the element type.
    #[inline]
    pub fn push(&mut self, value: Value<'_>) -> Result<(), Mismatch> {
        if let (Data::Float32(elements), Some(element)) =
            (&mut *self, fast_f32(Kind::Number, value))
        {
            elements.push(element);
            return Ok(());
        }
        let index = self.len();
        self.resize(index + 1);
        store(self, index, self.datatype().kind(), value)
    }
}

/// Sets the element of `data` at `index`.
///
/// # Errors
///
/// Returns an error if the value cannot be converted to `kind`, or if the value is out of the range of the element
/// type.
#[inline]
pub(crate) fn store(
    data: &mut Data,
    index: usize,
    kind: Kind,
    value: Value<'_>,
) -> Result<(), Mismatch> {
    if let (Data::Float32(elements), Some(element)) = (&mut *data, fast_f32(kind, value)) {
        elements[index] = element;
        return Ok(());
    }
    store_slow(data, index, kind, value)
}

/// Converts a value to an `f32` if the conversion is simple. Returns `None` for all other values, valid or not.
/// [`store`] then converts the value on the slow path, or returns the error.
#[inline]
pub(crate) fn fast_f32(kind: Kind, value: Value<'_>) -> Option<f32> {
    match (kind, value) {
        (Kind::Number | Kind::Integer, Value::Integer(integer)) => {
            i32::try_from(integer).ok().map(|integer| integer as f32)
        }
        (Kind::Number, Value::Number(number)) => {
            Some(number as f32).filter(|element| element.is_finite())
        }
        (Kind::Integer, Value::Number(number)) if number.trunc() == number => {
            (number.abs() <= MAX_EXACT_INTEGER).then_some(number as f32)
        }
        (Kind::Number | Kind::Integer | Kind::Boolean, Value::Missing) => Some(f32::NAN),
        _ => None,
    }
}

/// Sets the element of `data` at `index`, like [`store`], for all kinds, values and element types.
fn store_slow(data: &mut Data, index: usize, kind: Kind, value: Value<'_>) -> Result<(), Mismatch> {
    let datatype = data.datatype();
    let scalar = interpret(kind, datatype, value)?;
    let stored = match data {
        Data::Bool(elements) => put(elements, index, scalar.bool()),
        Data::String(elements) => put(elements, index, scalar.string()),
        Data::Float32(elements) => put(elements, index, scalar.float().and_then(to_f32)),
        Data::Float16(elements) => put(elements, index, scalar.float().and_then(to_f16)),
        Data::Float64(elements) => put(elements, index, scalar.float()),
        Data::Uint8(elements) => put(elements, index, scalar.integer()),
        Data::Uint16(elements) => put(elements, index, scalar.integer()),
        Data::Uint32(elements) => put(elements, index, scalar.integer()),
        Data::Uint64(elements) => put(elements, index, scalar.integer()),
        Data::Int8(elements) => put(elements, index, scalar.integer()),
        Data::Int16(elements) => put(elements, index, scalar.integer()),
        Data::Int32(elements) => put(elements, index, scalar.integer()),
        Data::Int64(elements) => put(elements, index, scalar.integer()),
    };
    stored.ok_or_else(|| {
        Mismatch::new(
            format!("a value in the range of {}", datatype.onnx_name()),
            value.to_string(),
        )
    })
}

/// Sets the element at `index`. Returns `None`, and sets nothing, if `element` is `None`.
fn put<T>(elements: &mut [T], index: usize, element: Option<T>) -> Option<()> {
    elements[index] = element?;
    Some(())
}

/// Converts a double to a float. Returns `None` if a finite number becomes infinite.
fn to_f32(number: f64) -> Option<f32> {
    let element = number as f32;
    (element.is_finite() || !number.is_finite()).then_some(element)
}

/// Converts a double to a half-precision float. Returns `None` if a finite number becomes infinite.
fn to_f16(number: f64) -> Option<f16> {
    let element = f16::from_f64(number);
    (element.is_finite() || !number.is_finite()).then_some(element)
}

impl Scalar<'_> {
    /// Returns the element of a tensor of booleans. Returns `None` if the scalar is not a boolean.
    fn bool(&self) -> Option<bool> {
        match *self {
            Scalar::Bool(flag) => Some(flag),
            _ => None,
        }
    }

    /// Returns the element of a tensor of strings. Returns `None` if the scalar is not a string.
    fn string(&self) -> Option<String> {
        match *self {
            Scalar::String(text) => Some(text.to_owned()),
            _ => None,
        }
    }

    /// Returns the element of a tensor of floats. A boolean becomes 0 or 1. Returns `None` if the scalar is a string.
    fn float(&self) -> Option<f64> {
        match *self {
            Scalar::Number(number) => Some(number),
            Scalar::Integer(integer) => {
                // Most integers are small, and converting an `i64` is far faster than converting an
                // `i128`.
                Some(i64::try_from(integer).map_or(integer as f64, |integer| integer as f64))
            }
            Scalar::Bool(flag) => Some(f64::from(u8::from(flag))),
            Scalar::String(_) => None,
        }
    }

    /// Returns the element of a tensor of integers of type `T`. A boolean becomes 0 or 1. Returns `None` if the scalar
    /// is a float or a string, or if it is out of the range of `T`.
    fn integer<T: TryFrom<i128>>(&self) -> Option<T> {
        match *self {
            Scalar::Integer(integer) => T::try_from(integer).ok(),
            Scalar::Bool(flag) => T::try_from(i128::from(flag)).ok(),
            Scalar::Number(_) | Scalar::String(_) => None,
        }
    }
}

/// Converts a value to its feature's kind.
fn interpret(kind: Kind, datatype: Datatype, value: Value<'_>) -> Result<Scalar<'_>, Mismatch> {
    let scalar = match (kind, value) {
        // The most common cases come first, so that a string is parsed only once in these cases.
        (Kind::Integer, Value::Untyped(text)) if let Ok(integer) = text.parse::<i64>() => {
            exact_integer(integer.into(), datatype)
        }
        (Kind::Number, Value::Untyped(text))
            if let Some(number) = parse_number(text.trim()).filter(|number| number.is_finite()) =>
        {
            Some(Scalar::Number(number))
        }
        (Kind::String, Value::String(text) | Value::Untyped(text)) => Some(Scalar::String(text)),
        (Kind::String, Value::Missing) => None,
        (_, value) if datatype.is_float() && non_finite(value).is_some() => {
            non_finite(value).map(Scalar::Number)
        }
        (Kind::Boolean, Value::Bool(flag)) => Some(Scalar::Bool(flag)),
        (Kind::Boolean, Value::Untyped(text)) => parse_bool(text.trim()).map(Scalar::Bool),
        (Kind::Integer, Value::Integer(integer)) => exact_integer(integer, datatype),
        (Kind::Integer, Value::Number(number)) => as_exact_integer(number).map(Scalar::Integer),
        (Kind::Integer, Value::Untyped(text)) => match text.trim().parse() {
            Ok(integer) => exact_integer(integer, datatype),
            Err(_) => parse_number(text.trim()).and_then(as_exact_integer).map(Scalar::Integer),
        },
        (Kind::Number, Value::Integer(integer)) => Some(Scalar::Integer(integer)),
        (Kind::Number, Value::Number(number)) => Some(Scalar::Number(number)),
        (Kind::Number, Value::Untyped(text)) => parse_number(text.trim()).map(Scalar::Number),
        _ => None,
    };
    scalar.ok_or_else(|| Mismatch::new(with_article(kind), value.to_string()))
}

/// Parses a boolean: `1`, `0`, `true` or `false` in any case.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" => Some(true),
        "0" => Some(false),
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// Returns NaN for a missing value. Returns NaN or an infinity for a string such as "NaN" or "Infinity", because a JSON
/// number cannot represent these values. Returns `None` for all other values.
fn non_finite(value: Value<'_>) -> Option<f64> {
    match value {
        Value::Missing | Value::String("NaN") => Some(f64::NAN),
        Value::String("Infinity") => Some(f64::INFINITY),
        Value::String("-Infinity") => Some(f64::NEG_INFINITY),
        Value::Untyped(text) if text.trim().is_empty() => Some(f64::NAN),
        Value::Untyped(text) => parse_number(text.trim()).filter(|number| !number.is_finite()),
        _ => None,
    }
}

/// Parses a number. Returns `None` if the string is not a number, or if the number is too large for a
/// double.
fn parse_number(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    // Parsing returns an infinity for `inf` and `infinity`, but also for a number such as `1e400`.
    let names_infinity = text.trim_start_matches(['+', '-']).starts_with(['i', 'I']);
    (!number.is_infinite() || names_infinity).then_some(number)
}

/// 2^53. A double represents every integer from -2^53 to 2^53.
pub(crate) const MAX_EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;

/// Returns an integer as a scalar. Returns `None` if the element type is a float type and the absolute value of the
/// integer exceeds [`MAX_EXACT_INTEGER`]. All float types have the same limit, although `float` and `float16` round
/// some integers below the limit.
fn exact_integer<'a>(integer: i128, datatype: Datatype) -> Option<Scalar<'a>> {
    let exact = !datatype.is_float() || integer.unsigned_abs() <= MAX_EXACT_INTEGER as u128;
    exact.then_some(Scalar::Integer(integer))
}

/// Converts a number to an integer. Returns `None` for a fraction, and for a number whose absolute value
/// exceeds [`MAX_EXACT_INTEGER`].
fn as_exact_integer(number: f64) -> Option<i128> {
    (number.fract() == 0.0 && number.abs() <= MAX_EXACT_INTEGER).then_some(number as i128)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(kind: Kind, datatype: Datatype, value: Value<'_>) -> Result<Data, String> {
        let mut data = Data::new(datatype);
        data.resize(1);
        store(&mut data, 0, kind, value).map_err(|mismatch| mismatch.to_string())?;
        Ok(data)
    }

    #[test]
    fn converts_numbers_to_the_element_type() {
        let float = |value| convert(Kind::Number, Datatype::Float32, value);
        assert_eq!(float(Value::Integer(21)), Ok(Data::Float32(vec![21.0])));
        assert_eq!(float(Value::Untyped(" 2.5 ")), Ok(Data::Float32(vec![2.5])));
        assert_eq!(float(Value::String("-Infinity")), Ok(Data::Float32(vec![f32::NEG_INFINITY])));
        assert_eq!(float(Value::Untyped("-inf")), Ok(Data::Float32(vec![f32::NEG_INFINITY])));
        for missing in
            [Value::Missing, Value::Untyped(""), Value::Untyped("nan"), Value::String("NaN")]
        {
            assert!(matches!(float(missing), Ok(Data::Float32(x)) if x[0].is_nan()), "{missing:?}");
        }
    }

    #[test]
    fn keeps_integers_exact() {
        let int = |value| convert(Kind::Integer, Datatype::Int64, value);
        assert_eq!(int(Value::Integer(i64::MIN.into())), Ok(Data::Int64(vec![i64::MIN])));
        assert_eq!(
            int(Value::Untyped("9007199254740993")),
            Ok(Data::Int64(vec![9007199254740993]))
        );
        assert_eq!(int(Value::Number(3.0)), Ok(Data::Int64(vec![3])));
        assert_eq!(int(Value::Untyped("3.0")), Ok(Data::Int64(vec![3])));
        assert_eq!(
            convert(Kind::Integer, Datatype::Float32, Value::Integer(7)),
            Ok(Data::Float32(vec![7.0]))
        );
        for beyond in [Value::Integer((1 << 53) + 1), Value::Untyped("9007199254740993")] {
            assert!(convert(Kind::Integer, Datatype::Float32, beyond).is_err(), "{beyond:?}");
        }
    }

    #[test]
    fn rejects_values_of_a_wrong_kind_or_range() {
        let cases = [
            (
                Kind::Number,
                Datatype::Float32,
                Value::String("abc"),
                "expected a number, found \"abc\"",
            ),
            (
                Kind::Number,
                Datatype::Float32,
                Value::Number(1e39),
                "expected a value in the range of float, found 1e39",
            ),
            (
                Kind::Number,
                Datatype::Float64,
                Value::Untyped("1e400"),
                "expected a number, found `1e400`",
            ),
            (Kind::Number, Datatype::Float64, Value::Bool(true), "expected a number, found true"),
            (Kind::Integer, Datatype::Int64, Value::Number(2.5), "expected an integer, found 2.5"),
            (Kind::Integer, Datatype::Int64, Value::Missing, "expected an integer, found nothing"),
            (
                Kind::Integer,
                Datatype::Uint8,
                Value::Integer(256),
                "expected a value in the range of uint8, found 256",
            ),
            (Kind::Boolean, Datatype::Bool, Value::Integer(1), "expected a boolean, found 1"),
            (Kind::String, Datatype::String, Value::Integer(1), "expected a string, found 1"),
        ];
        for (kind, datatype, value, message) in cases {
            assert_eq!(convert(kind, datatype, value), Err(message.to_owned()));
        }
    }
}
