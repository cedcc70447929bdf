//! [LpPool](https://onnx.ai/onnx/operators/onnx__LpPool.html): the `p`-norm of each window, and
//! [GlobalLpPool](https://onnx.ai/onnx/operators/onnx__GlobalLpPool.html): the `p`-norm of each
//! channel.

use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, tensor};
use crate::ops::nn::windows::Windows;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// The kernel for sliding windows.
#[derive(Debug)]
struct LpPool {
    windows: Windows,
    p: i32,
}

pub fn lp_pool(_: &ParsingContext, node: &NodeProto) -> Built {
    let windows = Windows::new(node, node.get_attr_vec("kernel_shape")?)?;
    operator(node, 1, LpPool { windows, p: node.get_attr_opt("p")?.unwrap_or(2) })
}

impl Kernel for LpPool {
    const NAME: &'static str = "LpPool";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let [batch, channels, lengths @ ..] = inputs[0].shape.as_slice() else {
            bail!("expected a batch of channels, found shape {:?}", inputs[0].shape);
        };
        let counts = self.windows.counts(lengths)?;
        let shape = [batch, channels].into_iter().cloned().chain(counts);
        Ok(tvec!(Fact::new(inputs[0].datum_type, shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let (planes, lengths) = inputs[0].shape().split_at(2);
        let input = elements::<f32>(&inputs[0])?;
        let input = input.try_as_plain_ram()?;
        let windows = self.windows.over(lengths)?;
        let size: usize = lengths.iter().product();
        let mut norms = Vec::with_capacity(planes.iter().product::<usize>() * windows.len());
        for plane in input.as_slice::<f32>()?.chunks_exact(size.max(1)) {
            norms.extend(
                windows
                    .iter()
                    .map(|window| norm(window.taps.iter().map(|(_, index)| plane[*index]), self.p)),
            );
        }
        let shape: Vec<usize> =
            planes.iter().copied().chain(self.windows.counts(lengths)?).collect();
        Ok(vec![tensor(&shape, norms)?.cast_to_dt(inputs[0].datum_type())?.into_owned()])
    }
}

/// The kernel for one window over each channel.
#[derive(Debug)]
struct GlobalLpPool {
    p: i32,
}

pub fn global_lp_pool(_: &ParsingContext, node: &NodeProto) -> Built {
    operator(node, 1, GlobalLpPool { p: node.get_attr_opt("p")?.unwrap_or(2) })
}

impl Kernel for GlobalLpPool {
    const NAME: &'static str = "GlobalLpPool";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let [batch, channels, lengths @ ..] = inputs[0].shape.as_slice() else {
            bail!("expected a batch of channels, found shape {:?}", inputs[0].shape);
        };
        let shape = [batch, channels].into_iter().cloned();
        let shape = shape.chain(lengths.iter().map(|_| 1.to_dim()));
        Ok(tvec!(Fact::new(inputs[0].datum_type, shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let mut shape = inputs[0].shape().to_vec();
        let size: usize = shape[2..].iter().product();
        shape[2..].fill(1);
        let input = elements::<f32>(&inputs[0])?;
        let input = input.try_as_plain_ram()?;
        let planes = input.as_slice::<f32>()?.chunks_exact(size.max(1));
        let norms = planes.map(|plane| norm(plane.iter().copied(), self.p)).collect();
        Ok(vec![tensor(&shape, norms)?.cast_to_dt(inputs[0].datum_type())?.into_owned()])
    }
}

/// Returns the `p`-norm of the elements.
fn norm(elements: impl Iterator<Item = f32>, p: i32) -> f32 {
    elements.map(|element| element.abs().powi(p)).sum::<f32>().powf(1.0 / p as f32)
}
