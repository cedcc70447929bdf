//! Image resizing. Each axis is resampled in turn, from the last to the first.

use super::fast_path::FastPath;
use crate::kernels::axis_view::AxisView;
use crate::kernels::simd::{Vectorized, vectorized};
use crate::operator::tensors::tensor;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::nn::resize::{AxisPlan, Resize};
use tract_onnx::tract_hir::internal::*;

/// The fast path of `Resize`.
#[derive(Debug)]
pub struct FastResize {
    op: Resize,
}

/// Returns the fast path of `op`.
pub fn fast_path(op: &Resize) -> Box<dyn FastPath> {
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
        let output_shape = self.op.compute_output_shape(
            x.shape(),
            scales.map(|scales| &**scales),
            sizes.map(|sizes| &**sizes),
        )?;
        let ratio = |(to, from): (&usize, &usize)| *to as f32 / *from as f32;
        let scales: Vec<f32> = match scales {
            Some(scales) => scales.try_as_plain_ram()?.as_slice::<f32>()?.to_vec(),
            None => output_shape.iter().zip(x.shape()).map(ratio).collect(),
        };
        if output_shape.contains(&0) {
            return Ok(None);
        }
        let mut shape: TVec<usize> = x.shape().into();
        let x_view = x.try_as_plain_ram()?;
        let mut y = Cow::Borrowed(x_view.as_slice::<f32>()?);
        // Start with the last axis. The loop for the last axis (`inner == 1`) computes single
        // elements; this is slower than the loops for the other axes, which compute rows. If the
        // image is enlarged, the slow loop computes few elements, because the other axes are still
        // short.
        for axis in (0..shape.len()).rev() {
            if shape[axis] == output_shape[axis] && scales[axis] == 1.0 {
                continue;
            }
            let plan = self.op.plan_axis(scales[axis], shape[axis], output_shape[axis]);
            let view = AxisView::new(&shape, &[axis])
                .with_context(|| format!("expected an axis below {}, found {axis}", shape.len()))?;
            y = Cow::Owned(vectorized(Resample { x: &y, view, plan: &plan }));
            shape[axis] = output_shape[axis];
        }
        Ok(Some(vec![tensor(&shape, y.into_owned())?]))
    }
}

/// Resampling of one axis.
struct Resample<'a> {
    x: &'a [f32],
    /// The tensor as `[outer, length, inner]`, where `length` is the resampled axis.
    view: AxisView,
    /// For each output position along the axis: `window` input positions (`indices`), and a weight for each of these
    /// positions (`weights`). The output is the weighted sum of the elements at the input positions.
    plan: &'a AxisPlan,
}

impl Vectorized for Resample<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run(self) -> Vec<f32> {
        let Resample { x, view: AxisView { length, inner, .. }, plan } = self;
        let taps = plan.indices.chunks_exact(plan.window);
        let taps = taps.zip(plan.weights.chunks_exact(plan.window));
        let mut y = Vec::with_capacity(x.len() / length * plan.extrapolated.len());
        for x in x.chunks_exact(length * inner) {
            if inner == 1 {
                let pairs = taps.clone().map(|(positions, weights)| {
                    let pairs = positions.iter().zip(weights);
                    pairs.map(|(position, weight)| x[*position] * weight).sum::<f32>()
                });
                y.extend(pairs);
                continue;
            }
            for (positions, weights) in taps.clone() {
                let line = |tap: usize| &x[positions[tap] * inner..][..inner];
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
