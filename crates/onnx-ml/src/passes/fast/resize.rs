//! Image resizing, one axis after the other.

use super::fast_path::FastPath;
use crate::kernels::axis_view::AxisView;
use crate::kernels::simd::{Vectorized, vectorized};
use crate::operator::kernel::tensor;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::nn::resize::{AxisPlan, Resize};
use tract_onnx::tract_hir::internal::*;

#[derive(Debug)]
pub struct FastResize {
    op: Resize,
}

pub fn fast(op: &Resize) -> Box<dyn FastPath> {
    Box::new(FastResize { op: op.clone() })
}

impl FastPath for FastResize {
    fn eval(&self, inputs: &[TValue]) -> TractResult<Option<Vec<Tensor>>> {
        let x = &inputs[0];
        if x.datum_type() != f32::datum_type() || x.len() == 0 {
            return Ok(None);
        }
        let input = |index: Option<usize>| index.and_then(|index| inputs.get(index));
        let scales = input(self.op.optional_scales_input).filter(|scales| scales.len() == x.rank());
        let sizes = input(self.op.optional_sizes_input);
        let wanted = self.op.compute_output_shape(
            x.shape(),
            scales.map(|scales| &**scales),
            sizes.map(|sizes| &**sizes),
        )?;
        let ratio = |(to, from): (&usize, &usize)| *to as f32 / *from as f32;
        let scales: Vec<f32> = match scales {
            Some(scales) => scales.try_as_plain_ram()?.as_slice::<f32>()?.to_vec(),
            None => wanted.iter().zip(x.shape()).map(ratio).collect(),
        };
        if wanted.contains(&0) {
            return Ok(None);
        }
        let mut shape: TVec<usize> = x.shape().into();
        let plain = x.try_as_plain_ram()?;
        let mut y = Cow::Borrowed(plain.as_slice::<f32>()?);
        // Start with the last axis, whose elements are interpolated one by one.
        for axis in (0..shape.len()).rev() {
            if shape[axis] == wanted[axis] && scales[axis] == 1.0 {
                continue;
            }
            let plan = self.op.plan_axis(scales[axis], shape[axis], wanted[axis]);
            let around = AxisView::new(&shape, &[axis]).context("expected an axis")?;
            y = Cow::Owned(vectorized(Resampled { x: &y, around, plan: &plan }));
            shape[axis] = wanted[axis];
        }
        Ok(Some(vec![tensor(&shape, y.into_owned())?]))
    }
}

struct Resampled<'a> {
    x: &'a [f32],
    around: AxisView,
    plan: &'a AxisPlan,
}

impl Vectorized for Resampled<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run(self) -> Vec<f32> {
        let Resampled { x, around: AxisView { length, inner, .. }, plan } = self;
        let taps = plan.indices.chunks_exact(plan.window);
        let taps = taps.zip(plan.weights.chunks_exact(plan.window));
        let mut y = Vec::with_capacity(x.len() / length * plan.extrapolated.len());
        for x in x.chunks_exact(length * inner) {
            if inner == 1 {
                let pairs = taps.clone().map(|(places, weights)| {
                    let pairs = places.iter().zip(weights);
                    pairs.map(|(place, weight)| x[*place] * weight).sum::<f32>()
                });
                y.extend(pairs);
                continue;
            }
            for (places, weights) in taps.clone() {
                let line = |tap: usize| &x[places[tap] * inner..][..inner];
                if let &[first, second] = weights {
                    let pairs = line(0).iter().zip(line(1));
                    y.extend(pairs.map(|(a, b)| a * first + b * second));
                    continue;
                }
                let start = y.len();
                y.resize(start + inner, 0.0);
                for (tap, weight) in weights.iter().enumerate() {
                    let pairs = y[start..].iter_mut().zip(line(tap));
                    pairs.for_each(|(y, x)| *y += x * weight);
                }
            }
        }
        y
    }
}
