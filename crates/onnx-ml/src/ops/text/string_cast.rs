//! [Cast](https://onnx.ai/onnx/operators/onnx__Cast.html) from and to strings.
//!
//! A float is formatted like C's `%.8g`, as in ONNX Runtime. A string must consist of a number and
//! nothing else, except for spaces around it. A cast to an integer drops the decimal places.

use crate::encoding::fields::datum_type;
use crate::operator::invalid_value::{Expected, InvalidValue};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::tensor;
use serde::{Deserialize, Serialize};
use tract_onnx::tract_hir::internal::*;

/// A cast from or to strings.
#[derive(Debug, Deserialize, Serialize)]
pub struct StringCast {
    /// Type of the output.
    #[serde(with = "datum_type")]
    pub to: DatumType,
}

impl Kernel for StringCast {
    const NAME: &'static str = "StringCast";

    fn may_reject(&self) -> bool {
        true
    }

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        Ok(tvec!(Fact::new(self.to, inputs[0].shape.iter().cloned())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let input = &inputs[0];
        let shape = input.shape();
        let output = match (input.datum_type(), self.to) {
            (DatumType::String, DatumType::F64) => parse(input, &Expected::Number, float)?,
            (DatumType::String, DatumType::F32) => {
                parse(input, &Expected::Number, |text| Some(float(text)? as f32))?
            }
            (DatumType::String, DatumType::Bool) => {
                parse(input, &Expected::Number, |text| Some(float(text)? != 0.0))?
            }
            (DatumType::String, to) if to.is_float() => {
                parse(input, &Expected::Number, float)?.cast_to_dt(to)?.into_owned()
            }
            (DatumType::String, to) => {
                parse(input, &Expected::Integer, integer)?.cast_to_dt(to)?.into_owned()
            }
            (DatumType::Bool, _) => {
                let flags = input.cast_to::<u8>()?;
                print(flags.try_as_plain_ram()?.as_slice::<u8>()?, shape)?
            }
            (from, _) if from.is_float() => {
                let numbers = input.cast_to::<f64>()?;
                let texts =
                    numbers.try_as_plain_ram()?.as_slice::<f64>()?.iter().map(|x| formatted(*x));
                tensor(shape, texts.collect())?
            }
            (DatumType::U64, _) => print(input.try_as_plain_ram()?.as_slice::<u64>()?, shape)?,
            _ => {
                let integers = input.cast_to::<i64>()?;
                print(integers.try_as_plain_ram()?.as_slice::<i64>()?, shape)?
            }
        };
        Ok(vec![output])
    }
}

/// Formats each number as a string.
fn print<T: ToString>(numbers: &[T], shape: &[usize]) -> TractResult<Tensor> {
    tensor(shape, numbers.iter().map(T::to_string).collect())
}

/// Parses each string with `read`. The first string for which `read` returns `None` is an
/// [`InvalidValue`].
fn parse<T: Datum>(
    input: &TValue,
    expected: &Expected,
    read: impl Fn(&str) -> Option<T>,
) -> TractResult<Tensor> {
    let texts = input.try_as_plain_ram()?;
    let numbers = texts.as_slice::<String>()?.iter().map(|text| {
        let invalid = || InvalidValue { expected: expected.clone(), found: text.clone() };
        Ok(read(text.trim()).ok_or_else(invalid)?)
    });
    tensor(input.shape(), numbers.collect::<TractResult<Vec<T>>>()?)
}

fn float(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// Parses an integer. Also accepts a float in the range of `i64`, and drops its decimal places.
fn integer(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| {
        let number = float(text)?.trunc();
        let in_range = number >= i64::MIN as f64 && number < i64::MAX as f64;
        in_range.then_some(number as i64)
    })
}

/// Formats `x` with at most 8 significant digits, without trailing zeros. Uses scientific notation
/// if the exponent is below -4 or above 7.
fn formatted(x: f64) -> String {
    /// Maximum number of significant digits.
    const DIGITS: i32 = 8;
    if x.is_nan() {
        return "NaN".to_owned();
    }
    if x.is_infinite() {
        return if x > 0.0 { "INF" } else { "-INF" }.to_owned();
    }
    let scientific = format!("{x:.*e}", DIGITS as usize - 1);
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let without_zeros = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    if !(-4..DIGITS).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", without_zeros(digits), exponent.abs());
    }
    let decimals = usize::try_from(DIGITS - 1 - exponent).unwrap_or(0);
    without_zeros(&format!("{x:.decimals$}"))
}
