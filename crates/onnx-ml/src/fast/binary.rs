//! Arithmetic and comparisons of a tensor with another of its shape, with one row for all of its
//! rows, or with one element for each of its rows.

use super::Fast;
use crate::kernel::tensor;
use crate::simd::{Vectorized, vectorized};
use std::ops::{Add, Div, Mul, Sub};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::{logic, math};

/// A row is repeated until it is so long: shorter loops would not be worth entering.
const SHORTEST: usize = 128;

#[derive(Debug, Clone, Copy)]
enum FastBinary {
    Add,
    Sub,
    Mul,
    Div,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

pub fn fast(op: &TypedBinOp) -> Option<Box<dyn Fast>> {
    if op.1.is_some() {
        return None;
    }
    let op = &op.0;
    let fast = match () {
        () if op.downcast_ref::<math::Add>().is_some() => FastBinary::Add,
        () if op.downcast_ref::<math::Sub>().is_some() => FastBinary::Sub,
        () if op.downcast_ref::<math::Mul>().is_some() => FastBinary::Mul,
        () if op.downcast_ref::<math::Div>().is_some() => FastBinary::Div,
        () if op.downcast_ref::<logic::CompEq>().is_some() => FastBinary::Equal,
        () if op.downcast_ref::<logic::CompNE>().is_some() => FastBinary::NotEqual,
        () if op.downcast_ref::<logic::CompLT>().is_some() => FastBinary::Less,
        () if op.downcast_ref::<logic::CompLTE>().is_some() => FastBinary::LessOrEqual,
        () if op.downcast_ref::<logic::CompGT>().is_some() => FastBinary::Greater,
        () if op.downcast_ref::<logic::CompGTE>().is_some() => FastBinary::GreaterOrEqual,
        () => return None,
    };
    Some(Box::new(fast))
}

impl Fast for FastBinary {
    fn eval(&self, inputs: &[TValue]) -> TractResult<Option<Tensor>> {
        let [a, b] = inputs else { return Ok(None) };
        match (a.datum_type(), b.datum_type()) {
            (DatumType::F32, DatumType::F32) => self.floats::<f32>(a, b),
            (DatumType::F64, DatumType::F64) => self.floats::<f64>(a, b),
            (DatumType::I64, DatumType::I64) => self.compared::<i64>(a, b),
            _ => Ok(None),
        }
    }
}

impl FastBinary {
    fn floats<T>(&self, a: &TValue, b: &TValue) -> TractResult<Option<Tensor>>
    where
        T: Datum + Copy + PartialOrd,
        T: Add<Output = T> + Sub<Output = T> + Mul<Output = T> + Div<Output = T>,
    {
        match self {
            FastBinary::Add => combined(a, b, |a: T, b: T| a + b),
            FastBinary::Sub => combined(a, b, |a: T, b: T| a - b),
            FastBinary::Mul => combined(a, b, |a: T, b: T| a * b),
            FastBinary::Div => combined(a, b, |a: T, b: T| a / b),
            _ => self.compared::<T>(a, b),
        }
    }

    fn compared<T: Datum + Copy + PartialOrd>(
        &self,
        a: &TValue,
        b: &TValue,
    ) -> TractResult<Option<Tensor>> {
        match self {
            FastBinary::Equal => combined(a, b, |a: T, b: T| a == b),
            FastBinary::NotEqual => combined(a, b, |a: T, b: T| a != b),
            FastBinary::Less => combined(a, b, |a: T, b: T| a < b),
            FastBinary::LessOrEqual => combined(a, b, |a: T, b: T| a <= b),
            FastBinary::Greater => combined(a, b, |a: T, b: T| a > b),
            FastBinary::GreaterOrEqual => combined(a, b, |a: T, b: T| a >= b),
            _ => Ok(None),
        }
    }
}

/// How the elements of an operand lie along those of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Along {
    Whole,
    /// Again and again.
    Row,
    /// Each one for so many.
    Column(usize),
}

impl Along {
    fn new(shape: &[usize], result: &[usize]) -> Option<Along> {
        let ones = |dims: &[usize]| dims.iter().all(|dim| *dim == 1);
        let differs = |(own, result): (&usize, &usize)| own != result;
        let mut pairs = shape.iter().zip(result);
        let Some(first) = pairs.clone().position(differs) else { return Some(Along::Whole) };
        let last = pairs.rposition(differs)?;
        if ones(&shape[..=last]) {
            return Some(Along::Row);
        }
        let width = result[first..].iter().product();
        ones(&shape[first..]).then_some(Along::Column(width))
    }
}

fn combined<T: Datum + Copy, U: Datum + Copy>(
    a: &TValue,
    b: &TValue,
    combine: impl Fn(T, T) -> U + Copy,
) -> TractResult<Option<Tensor>> {
    let (x, y) = (a.shape(), b.shape());
    let fits = |(x, y): (&usize, &usize)| x == y || *x == 1 || *y == 1;
    if x.len() != y.len() || !x.iter().zip(y).all(fits) {
        return Ok(None);
    }
    let shape: TVec<usize> = x.iter().zip(y).map(|(x, y)| if *x == 1 { *y } else { *x }).collect();
    let (Some(x), Some(y)) = (Along::new(x, &shape), Along::new(y, &shape)) else {
        return Ok(None);
    };
    let (a, b) = (a.try_as_plain_ram()?, b.try_as_plain_ram()?);
    let (a, b) = (a.as_slice::<T>()?, b.as_slice::<T>()?);
    let elements = match (x, y) {
        (Along::Whole, along) => vectorized(Combined { whole: a, other: b, along, combine }),
        (along, Along::Whole) => {
            let combine = |b, a| combine(a, b);
            vectorized(Combined { whole: b, other: a, along, combine })
        }
        _ => return Ok(None),
    };
    tensor(&shape, elements).map(Some)
}

struct Combined<'a, T, F> {
    whole: &'a [T],
    other: &'a [T],
    along: Along,
    combine: F,
}

impl<T: Copy, U, F: Fn(T, T) -> U> Vectorized for Combined<'_, T, F> {
    type Output = Vec<U>;

    #[inline(always)]
    fn run(self) -> Vec<U> {
        let Combined { whole, other, along, combine } = self;
        let mut combined = Vec::with_capacity(whole.len());
        let mut extend = |whole: &[T], other: &[T]| {
            combined.extend(whole.iter().zip(other).map(|(a, b)| combine(*a, *b)));
        };
        match along {
            Along::Whole => extend(whole, other),
            Along::Row if other.len() < SHORTEST && !other.is_empty() => {
                let repeats = SHORTEST.min(whole.len()).div_ceil(other.len());
                let other = other.repeat(repeats);
                whole.chunks(other.len().max(1)).for_each(|whole| extend(whole, &other));
            }
            Along::Row => whole.chunks(other.len().max(1)).for_each(|whole| extend(whole, other)),
            Along::Column(width) => {
                for (whole, b) in whole.chunks_exact(width.max(1)).zip(other) {
                    combined.extend(whole.iter().map(|a| combine(*a, *b)));
                }
            }
        }
        combined
    }
}
