//! Arithmetic and comparisons of two tensors, with broadcasting.

use super::fast_path::FastPath;
use crate::kernels::broadcast::Loops;
use crate::kernels::simd::{Vectorized, vectorized};
use crate::operator::tensors::tensor;
use std::ops::{Add, Div, Mul, Sub};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::{logic, math};

/// Minimum length of an inner loop if one operand has a single row for all rows of the other
/// operand. A shorter row is repeated, so that one loop processes several rows. A short loop would
/// spend more time on its start and end than on its elements.
const MIN_LOOP: usize = 128;

/// Maximum number of columns for which an operand with one element for each row is expanded to the
/// full shape.
const MAX_REPEATED_COLUMNS: usize = 8;

/// The function of the operator.
#[derive(Debug, Clone, Copy)]
enum FastBinary {
    Add,
    Sub,
    Mul,
    Div,
    Max,
    Min,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Returns the fast path of `op`, or `None` if its function is not supported.
pub fn fast_path(op: &TypedBinOp) -> Option<Box<dyn FastPath>> {
    // The second field is an explicit output type.
    if op.1.is_some() {
        return None;
    }
    let op = &op.0;
    let fast = match () {
        () if op.downcast_ref::<math::Add>().is_some() => FastBinary::Add,
        () if op.downcast_ref::<math::Sub>().is_some() => FastBinary::Sub,
        () if op.downcast_ref::<math::Mul>().is_some() => FastBinary::Mul,
        () if op.downcast_ref::<math::Div>().is_some() => FastBinary::Div,
        () if op.downcast_ref::<math::Max>().is_some() => FastBinary::Max,
        () if op.downcast_ref::<math::Min>().is_some() => FastBinary::Min,
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

impl FastPath for FastBinary {
    fn eval(&self, inputs: &[TValue]) -> TractResult<Option<Vec<Tensor>>> {
        let [a, b] = inputs else { return Ok(None) };
        let combined = match (a.datum_type(), b.datum_type()) {
            (DatumType::F32, DatumType::F32) => self.floats::<f32>(a, b)?,
            (DatumType::F64, DatumType::F64) => self.floats::<f64>(a, b)?,
            (DatumType::I64, DatumType::I64) => self.compared::<i64>(a, b)?,
            (DatumType::I32, DatumType::I32) => self.compared::<i32>(a, b)?,
            _ => None,
        };
        Ok(combined.map(|combined| vec![combined]))
    }
}

impl FastBinary {
    /// Computes any of the functions for floats.
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
            FastBinary::Max => combined(a, b, |a: T, b: T| if a > b || is_nan(a) { a } else { b }),
            FastBinary::Min => combined(a, b, |a: T, b: T| if a < b || is_nan(a) { a } else { b }),
            _ => self.compared::<T>(a, b),
        }
    }

    /// Computes the function if it is a comparison. Returns `None` for other functions.
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

fn is_nan<T: PartialOrd>(x: T) -> bool {
    x.partial_cmp(&x).is_none()
}

/// Applies `combine` to each pair of elements. Returns `None` if the shapes cannot be broadcast.
fn combined<T: Datum + Copy, U: Datum + Copy>(
    a: &TValue,
    b: &TValue,
    combine: impl Fn(T, T) -> U + Copy,
) -> TractResult<Option<Tensor>> {
    let Some(mut loops) = Loops::new([a.shape(), b.shape()]) else { return Ok(None) };
    let (a, b) = (a.try_as_plain_ram()?, b.try_as_plain_ram()?);
    let (mut a, mut b) = (a.as_slice::<T>()?, b.as_slice::<T>()?);
    // `loops.loops` lists (length, strides of both operands), see `Loops`. A stride of 0 in the
    // inner loop means that the operand has one element for all columns of a row. If there are few
    // columns, expand that operand: one long loop is faster than many short loops.
    let repeated;
    match loops.loops[..] {
        [(rows, [1, other]), (width @ ..=MAX_REPEATED_COLUMNS, [0, 1])] => {
            repeated = repeat_each(a, width);
            a = &repeated;
            loops.loops = expanded_loops(rows, width, other, |steps| steps);
        }
        [(rows, [other, 1]), (width @ ..=MAX_REPEATED_COLUMNS, [1, 0])] => {
            repeated = repeat_each(b, width);
            b = &repeated;
            loops.loops = expanded_loops(rows, width, other, |[own, other]| [other, own]);
        }
        _ => {}
    }
    let elements = vectorized(Combined { a, b, loops: &loops, combine });
    tensor(&loops.shape, elements).map(Some)
}

/// Returns the loops over an expanded operand of `rows` × `width` elements and the other operand.
/// `other` is the stride of the other operand from row to row: `width` if that operand has all
/// rows, 0 if it has one row. `order` takes the strides as `[expanded, other]` and returns them in
/// the order of the operands.
fn expanded_loops(
    rows: usize,
    width: usize,
    other: usize,
    order: impl Fn([usize; 2]) -> [usize; 2],
) -> TVec<(usize, [usize; 2])> {
    if other == width {
        tvec!((rows * width, [1, 1]))
    } else {
        tvec!((rows, order([width, other])), (width, [1, 1]))
    }
}

/// Repeats each element of `x` `times` times. For 2 to 4 repetitions, the number is a constant and
/// the compiler unrolls the loop.
fn repeat_each<T: Copy>(x: &[T], times: usize) -> Vec<T> {
    match times {
        2 => x.iter().map(|x| [*x; 2]).collect::<Vec<_>>().into_flattened(),
        3 => x.iter().map(|x| [*x; 3]).collect::<Vec<_>>().into_flattened(),
        4 => x.iter().map(|x| [*x; 4]).collect::<Vec<_>>().into_flattened(),
        _ => x.iter().flat_map(|x| std::iter::repeat_n(*x, times)).collect(),
    }
}

/// Application of `combine` over broadcast operands.
struct Combined<'a, T, F> {
    a: &'a [T],
    b: &'a [T],
    loops: &'a Loops<2>,
    combine: F,
}

impl<T: Copy, U, F: Fn(T, T) -> U> Vectorized for Combined<'_, T, F> {
    type Output = Vec<U>;

    #[inline(always)]
    fn run(self) -> Vec<U> {
        let Combined { a, b, loops, combine } = self;
        let mut combined = Vec::with_capacity(loops.shape.iter().product());
        if loops.shape.contains(&0) {
            return combined;
        }
        match loops.loops[..] {
            // The second operand has one short row for all rows: repeat it.
            [(rows, [_, 0]), (width, [1, 1])] if width < MIN_LOOP => {
                let b = b.repeat(MIN_LOOP.div_ceil(width).min(rows.max(1)));
                for a in a.chunks(b.len()) {
                    combined.extend(a.iter().zip(&b).map(|(a, b)| combine(*a, *b)));
                }
            }
            // The first operand has one short row for all rows.
            [(rows, [0, _]), (width, [1, 1])] if width < MIN_LOOP => {
                let a = a.repeat(MIN_LOOP.div_ceil(width).min(rows.max(1)));
                for b in b.chunks(a.len()) {
                    combined.extend(a.iter().zip(b).map(|(a, b)| combine(*a, *b)));
                }
            }
            // One element of the first operand for each run of the inner loop.
            [.., (length, [0, _])] => loops.for_each_inner_loop(|[i, j]| {
                let a = a[i];
                combined.extend(b[j..][..length].iter().map(|b| combine(a, *b)));
            }),
            // One element of the second operand for each run of the inner loop.
            [.., (length, [_, 0])] => loops.for_each_inner_loop(|[i, j]| {
                let b = b[j];
                combined.extend(a[i..][..length].iter().map(|a| combine(*a, b)));
            }),
            // Both operands are contiguous in the inner loop.
            [.., (length, _)] => loops.for_each_inner_loop(|[i, j]| {
                let pairs = a[i..][..length].iter().zip(&b[j..][..length]);
                combined.extend(pairs.map(|(a, b)| combine(*a, *b)));
            }),
            [] => {}
        }
        combined
    }
}
