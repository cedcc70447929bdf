//! Softmax along the last axes.

use super::{Around, Fast};
use crate::kernels::simd::{Vectorized, exp, exp_double, vectorized};
use crate::operator::kernel::tensor;
use std::iter::Sum;
use std::ops::MulAssign;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::nn::{Softmax, SoftmaxKind};
use tract_onnx::tract_hir::tract_num_traits::Float;

/// A row's sum of powers of less than this is finite up to 10^17 elements, as `f32` too.
const NEAR: f32 = 48.0;

#[derive(Debug)]
struct FastSoftmax {
    axes: TVec<usize>,
}

pub fn fast(op: &Softmax) -> Option<Box<dyn Fast>> {
    let plain = op.quant_output_dt.is_none() && op.kind == SoftmaxKind::Softmax;
    plain.then(|| Box::new(FastSoftmax { axes: op.axes.clone() }) as Box<dyn Fast>)
}

impl Fast for FastSoftmax {
    fn eval(&self, inputs: &[TValue]) -> TractResult<Option<Vec<Tensor>>> {
        let input = &inputs[0];
        let around = Around::new(input.shape(), &self.axes);
        let Some(Around { length: length @ 1.., inner: 1, .. }) = around else { return Ok(None) };
        let softmax = match input.datum_type() {
            DatumType::F32 => rows(input, length, f32::MIN, NEAR, exp)?,
            DatumType::F64 => rows(input, length, f64::MIN, NEAR.into(), exp_double)?,
            _ => return Ok(None),
        };
        Ok(Some(vec![softmax]))
    }
}

/// Softmax of each row of so many elements.
pub fn softmax(x: &mut [f32], length: usize) {
    vectorized(Rows { x, length, least: f32::MIN, near: NEAR, exp });
}

fn rows<T>(
    input: &TValue,
    length: usize,
    least: T,
    near: T,
    exp: impl Fn(T) -> T + Copy,
) -> TractResult<Tensor>
where
    T: Datum + Float + MulAssign + Sum,
{
    let x = input.try_as_plain_ram()?;
    let mut x = x.as_slice::<T>()?.to_vec();
    vectorized(Rows { x: &mut x, length, least, near, exp });
    tensor(input.shape(), x)
}

struct Rows<'a, T, E> {
    x: &'a mut [T],
    length: usize,
    least: T,
    /// Elements nearer to zero need not be made smaller.
    near: T,
    exp: E,
}

impl<T, E> Vectorized for Rows<'_, T, E>
where
    T: Float + MulAssign + Sum,
    E: Fn(T) -> T,
{
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Rows { x, length, least, near, exp } = self;
        let is_near = x.iter().fold(true, |all, x| all & (x.abs() < near));
        if !is_near {
            for row in x.chunks_exact_mut(length) {
                let maximum = row.iter().fold(least, |max, x| if *x > max { *x } else { max });
                row.iter_mut().for_each(|x| *x = *x - maximum);
            }
        }
        // All rows at once: one alone is mostly shorter than a register.
        x.iter_mut().for_each(|x| *x = exp(*x));
        for row in x.chunks_exact_mut(length) {
            let scale = row.iter().copied().sum::<T>().recip();
            row.iter_mut().for_each(|x| *x *= scale);
        }
    }
}
