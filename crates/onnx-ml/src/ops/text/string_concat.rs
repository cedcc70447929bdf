//! [StringConcat](https://onnx.ai/onnx/operators/onnx__StringConcat.html): concatenates the
//! strings of two tensors element by element, with broadcasting.

use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_core::broadcast::multi_broadcast;

#[derive(Debug)]
struct StringConcat;

/// Builds the operator.
pub fn string_concat(_: &ParsingContext, node: &NodeProto) -> Built {
    operator(node, 2, StringConcat)
}

impl Kernel for StringConcat {
    const NAME: &'static str = "StringConcat";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        for input in inputs {
            let found = input.datum_type;
            ensure!(found == String::datum_type(), "expected strings, found {found:?}");
        }
        let shape = multi_broadcast(&[&inputs[0].shape, &inputs[1].shape])?;
        Ok(tvec!(Fact::new(String::datum_type(), shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let shape = multi_broadcast(&[inputs[0].shape(), inputs[1].shape()])?;
        let (left, right) = (inputs[0].try_as_plain_ram()?, inputs[1].try_as_plain_ram()?);
        let left = left.to_array_view::<String>()?;
        let right = right.to_array_view::<String>()?;
        let (left, right) = (left.broadcast(&*shape), right.broadcast(&*shape));
        let (left, right) = left.zip(right).with_context(|| {
            let shapes = [inputs[0].shape(), inputs[1].shape()];
            format!("expected shapes that broadcast to {shape:?}, found {shapes:?}")
        })?;
        let joined = tract_ndarray::Zip::from(&left)
            .and(&right)
            .map_collect(|left, right| [left.as_str(), right.as_str()].concat());
        Ok(vec![joined.into_tensor()])
    }
}
