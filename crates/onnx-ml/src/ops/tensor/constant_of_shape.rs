//! [ConstantOfShape](https://onnx.ai/onnx/operators/onnx__ConstantOfShape.html): tract's operator,
//! with one correction: the default value is a float.

use crate::operator::adapter::Built;
use crate::ops::tensor::expand::Expanded;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{NodeProto, TensorProto};
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::array::ConstantOfShape;

pub fn constant_of_shape(context: &ParsingContext, node: &NodeProto) -> Built {
    let value = match node.get_attr_opt::<&TensorProto>("value")? {
        Some(value) => context.load_tensor(value)?,
        None => tensor0(0f32),
    };
    let found = value.len();
    node.expect_attr("value", found == 1, || format!("one element, found {found}"))?;
    let value = value.into_shape(&[])?.into_arc_tensor();
    Ok((expand(Expanded(Box::new(ConstantOfShape::new(value)))), vec![]))
}
