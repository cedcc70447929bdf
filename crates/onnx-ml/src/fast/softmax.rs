//! Softmax along the last axes.

use super::{Around, Fast};
use crate::kernel::tensor;
use crate::simd::{Vectorized, exp, vectorized};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::nn::{Softmax, SoftmaxKind};

#[derive(Debug)]
struct FastSoftmax {
    axes: TVec<usize>,
}

pub fn fast(op: &Softmax) -> Option<Box<dyn Fast>> {
    let plain = op.quant_output_dt.is_none() && op.kind == SoftmaxKind::Softmax;
    plain.then(|| Box::new(FastSoftmax { axes: op.axes.clone() }) as Box<dyn Fast>)
}

impl Fast for FastSoftmax {
    fn eval(&self, inputs: &[TValue]) -> TractResult<Option<Tensor>> {
        let input = &inputs[0];
        let around = Around::new(input.shape(), &self.axes);
        let Some(Around { length: 1.., inner: 1, .. }) = around else { return Ok(None) };
        if input.datum_type() != f32::datum_type() {
            return Ok(None);
        }
        let x = input.try_as_plain_ram()?;
        let mut x = x.as_slice::<f32>()?.to_vec();
        vectorized(Rows { x: &mut x, length: around.map_or(1, |around| around.length) });
        tensor(input.shape(), x).map(Some)
    }
}

struct Rows<'a> {
    x: &'a mut [f32],
    length: usize,
}

impl Vectorized for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Rows { x, length } = self;
        for row in x.chunks_exact_mut(length) {
            let maximum = row.iter().fold(f32::MIN, |max, x| if *x > max { *x } else { max });
            row.iter_mut().for_each(|x| *x -= maximum);
        }
        // All rows at once: one alone is mostly shorter than a register.
        x.iter_mut().for_each(|x| *x = exp(*x));
        for row in x.chunks_exact_mut(length) {
            let sum: f32 = row.iter().sum();
            row.iter_mut().for_each(|x| *x /= sum);
        }
    }
}
