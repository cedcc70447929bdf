//! [DynamicQuantizeLinear](https://onnx.ai/onnx/operators/onnx__DynamicQuantizeLinear.html):
//! quantizes a tensor to the range of its elements. tract's operator gives NaN as the scale of a
//! tensor of zeros, and is slow.

use crate::kernels::quantize::{self, Layout, Scales};
use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use serde::{Deserialize, Serialize};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// The outputs are the integers, the scale and the zero point.
#[derive(Debug, Deserialize, Serialize)]
pub struct DynamicQuantizeLinear;

/// Builds the operator.
pub fn dynamic_quantize_linear(_: &ParsingContext, node: &NodeProto) -> Built {
    operator(node, 1, DynamicQuantizeLinear)
}

impl Kernel for DynamicQuantizeLinear {
    const NAME: &'static str = "DynamicQuantizeLinear";
    const OUTPUTS: usize = 3;

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let found = inputs[0].datum_type;
        ensure!(found == f32::datum_type(), "expected floats, found {found:?}");
        let integers = Fact::new(u8::datum_type(), inputs[0].shape.iter().cloned());
        let scalar = |datum_type| Fact::new(datum_type, []);
        Ok(tvec!(integers, scalar(f32::datum_type()), scalar(u8::datum_type())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let x = inputs[0].try_as_plain_ram()?.as_slice::<f32>()?;
        let [scale, zero] = quantize::dynamic_scale(x);
        let mut integers = Tensor::zero::<u8>(inputs[0].shape())?;
        let layout = Layout { inner: x.len() };
        let scales = Scales { scales: &[scale], zeros: &[zero], layout };
        let mut view = integers.try_as_plain_ram_mut()?;
        quantize::quantize::<u8>(x, view.as_slice_mut()?, scales);
        Ok(vec![integers, tensor0(scale), tensor0(zero as u8)])
    }
}
