//! Converts a client's value to its feature's kind and element type.

use crate::datatype::{Datatype, Kind};
use crate::tensor::Data;
use crate::value::{Mismatch, Value, article};
use tract_onnx::prelude::f16;

/// A value of a feature's kind, before it is converted to the element type.
enum Scalar<'a> {
    Bool(bool),
    Integer(i128),
    Number(f64),
    String(&'a str),
}

impl Data {
    /// Appends an element. If `value` does not fit, the element is zero.
    ///
    /// # Errors
    ///
    /// Returns an error if the value is of another kind, or out of range.
    #[inline]
    pub fn push(&mut self, value: Value<'_>) -> Result<(), Mismatch> {
        if let (Data::Float32(elements), Some(element)) = (&mut *self, plain(Kind::Number, value)) {
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
/// Returns an error if the value is not of the given kind, or does not fit the element type.
#[inline]
pub(crate) fn store(
    data: &mut Data,
    index: usize,
    kind: Kind,
    value: Value<'_>,
) -> Result<(), Mismatch> {
    if let (Data::Float32(elements), Some(element)) = (&mut *data, plain(kind, value)) {
        elements[index] = element;
        return Ok(());
    }
    store_any(data, index, kind, value)
}

/// Fast path: converts a plain number to a float. Returns `None` for everything else, valid or not.
#[inline]
pub(crate) fn plain(kind: Kind, value: Value<'_>) -> Option<f32> {
    match (kind, value) {
        (Kind::Number | Kind::Integer, Value::Integer(integer)) => {
            i32::try_from(integer).ok().map(|integer| integer as f32)
        }
        (Kind::Number, Value::Number(number)) => {
            Some(number as f32).filter(|element| element.is_finite())
        }
        (Kind::Integer, Value::Number(number)) if number.trunc() == number => {
            (number.abs() <= EXACT).then_some(number as f32)
        }
        (Kind::Number | Kind::Integer | Kind::Boolean, Value::Missing) => Some(f32::NAN),
        _ => None,
    }
}

fn store_any(data: &mut Data, index: usize, kind: Kind, value: Value<'_>) -> Result<(), Mismatch> {
    let datatype = data.datatype();
    let scalar = interpret(kind, datatype, value)?;
    let stored = match data {
        Data::Bool(elements) => put(elements, index, scalar.bool()),
        Data::String(elements) => put(elements, index, scalar.string()),
        Data::Float32(elements) => put(elements, index, scalar.float().and_then(narrow)),
        Data::Float16(elements) => put(elements, index, scalar.float().and_then(halve)),
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

/// Sets an element, if there is one.
fn put<T>(elements: &mut [T], index: usize, element: Option<T>) -> Option<()> {
    elements[index] = element?;
    Some(())
}

/// Returns `None` if the number is finite as a double but not as a float.
fn narrow(number: f64) -> Option<f32> {
    let element = number as f32;
    (element.is_finite() || !number.is_finite()).then_some(element)
}

/// Returns `None` if the number is finite as a double but not as a half-precision float.
fn halve(number: f64) -> Option<f16> {
    let element = f16::from_f64(number);
    (element.is_finite() || !number.is_finite()).then_some(element)
}

impl Scalar<'_> {
    fn bool(&self) -> Option<bool> {
        match *self {
            Scalar::Bool(flag) => Some(flag),
            _ => None,
        }
    }

    fn string(&self) -> Option<String> {
        match *self {
            Scalar::String(text) => Some(text.to_owned()),
            _ => None,
        }
    }

    fn float(&self) -> Option<f64> {
        match *self {
            Scalar::Number(number) => Some(number),
            Scalar::Integer(integer) => {
                // Converting an `i64` is far faster than an `i128`, and most integers are small.
                Some(i64::try_from(integer).map_or(integer as f64, |integer| integer as f64))
            }
            Scalar::Bool(flag) => Some(f64::from(u8::from(flag))),
            Scalar::String(_) => None,
        }
    }

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
        // Fast paths, which parse the text only once.
        (Kind::Integer, Value::Text(text)) if let Ok(integer) = text.parse::<i64>() => {
            exact(integer.into(), datatype)
        }
        (Kind::Number, Value::Text(text))
            if let Some(number) = number(text.trim()).filter(|number| number.is_finite()) =>
        {
            Some(Scalar::Number(number))
        }
        (Kind::String, Value::String(text) | Value::Text(text)) => Some(Scalar::String(text)),
        (Kind::String, Value::Missing) => None,
        (_, value) if datatype.is_float() && not_finite(value).is_some() => {
            not_finite(value).map(Scalar::Number)
        }
        (Kind::Boolean, Value::Bool(flag)) => Some(Scalar::Bool(flag)),
        (Kind::Boolean, Value::Text(text)) => flag(text.trim()).map(Scalar::Bool),
        (Kind::Integer, Value::Integer(integer)) => exact(integer, datatype),
        (Kind::Integer, Value::Number(number)) => whole(number).map(Scalar::Integer),
        (Kind::Integer, Value::Text(text)) => match text.trim().parse() {
            Ok(integer) => exact(integer, datatype),
            Err(_) => number(text.trim()).and_then(whole).map(Scalar::Integer),
        },
        (Kind::Number, Value::Integer(integer)) => Some(Scalar::Integer(integer)),
        (Kind::Number, Value::Number(number)) => Some(Scalar::Number(number)),
        (Kind::Number, Value::Text(text)) => number(text.trim()).map(Scalar::Number),
        _ => None,
    };
    scalar.ok_or_else(|| Mismatch::new(article(kind), value.to_string()))
}

/// Parses a boolean.
fn flag(text: &str) -> Option<bool> {
    match text {
        "1" => Some(true),
        "0" => Some(false),
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// Returns NaN or an infinity for a value that stands for it: a missing value, or a text, because JSON
/// numbers are finite.
fn not_finite(value: Value<'_>) -> Option<f64> {
    match value {
        Value::Missing | Value::String("NaN") => Some(f64::NAN),
        Value::String("Infinity") => Some(f64::INFINITY),
        Value::String("-Infinity") => Some(f64::NEG_INFINITY),
        Value::Text(text) if text.trim().is_empty() => Some(f64::NAN),
        Value::Text(text) => number(text.trim()).filter(|number| !number.is_finite()),
        _ => None,
    }
}

/// Parses a number. Returns `None` if the text is not a number, or is too large for a double.
fn number(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    let spelt_out = text.trim_start_matches(['+', '-']).starts_with(['i', 'I']);
    (!number.is_infinite() || spelt_out).then_some(number)
}

/// 2^53, up to which a double represents every integer.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Returns `None` for an integer that the element type may not represent exactly.
fn exact<'a>(integer: i128, datatype: Datatype) -> Option<Scalar<'a>> {
    let exact = !datatype.is_float() || integer.unsigned_abs() <= EXACT as u128;
    exact.then_some(Scalar::Integer(integer))
}

/// Returns a number as an integer, if it is one that a double represents exactly.
fn whole(number: f64) -> Option<i128> {
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i128)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, datatype: Datatype, value: Value<'_>) -> Result<Data, String> {
        let mut data = Data::new(datatype);
        data.resize(1);
        store(&mut data, 0, kind, value).map_err(|mismatch| mismatch.to_string())?;
        Ok(data)
    }

    #[test]
    fn converts_numbers_to_the_element_type() {
        let float = |value| read(Kind::Number, Datatype::Float32, value);
        assert_eq!(float(Value::Integer(21)), Ok(Data::Float32(vec![21.0])));
        assert_eq!(float(Value::Text(" 2.5 ")), Ok(Data::Float32(vec![2.5])));
        assert_eq!(float(Value::String("-Infinity")), Ok(Data::Float32(vec![f32::NEG_INFINITY])));
        assert_eq!(float(Value::Text("-inf")), Ok(Data::Float32(vec![f32::NEG_INFINITY])));
        for missing in [Value::Missing, Value::Text(""), Value::Text("nan"), Value::String("NaN")] {
            assert!(matches!(float(missing), Ok(Data::Float32(x)) if x[0].is_nan()), "{missing:?}");
        }
    }

    #[test]
    fn keeps_integers_exact() {
        let int = |value| read(Kind::Integer, Datatype::Int64, value);
        assert_eq!(int(Value::Integer(i64::MIN.into())), Ok(Data::Int64(vec![i64::MIN])));
        assert_eq!(int(Value::Text("9007199254740993")), Ok(Data::Int64(vec![9007199254740993])));
        assert_eq!(int(Value::Number(3.0)), Ok(Data::Int64(vec![3])));
        assert_eq!(int(Value::Text("3.0")), Ok(Data::Int64(vec![3])));
        assert_eq!(
            read(Kind::Integer, Datatype::Float32, Value::Integer(7)),
            Ok(Data::Float32(vec![7.0]))
        );
        for beyond in [Value::Integer((1 << 53) + 1), Value::Text("9007199254740993")] {
            assert!(read(Kind::Integer, Datatype::Float32, beyond).is_err(), "{beyond:?}");
        }
    }

    #[test]
    fn rejects_values_that_do_not_fit() {
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
                Value::Text("1e400"),
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
            assert_eq!(read(kind, datatype, value), Err(message.to_owned()));
        }
    }
}
