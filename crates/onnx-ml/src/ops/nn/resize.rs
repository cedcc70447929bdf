//! [Resize](https://onnx.ai/onnx/operators/onnx__Resize.html) and its predecessor
//! [Upsample](https://onnx.ai/onnx/operators/onnx__Upsample.html): tract's operator. In `Upsample`,
//! and in `Resize` up to opset 10, nearest interpolation takes the element at or before a
//! coordinate (`nearest_mode` is `floor`).

use crate::operator::adapter::Built;
use crate::operator::tract_operators;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto};
use tract_onnx::tract_hir::internal::*;

pub fn resize(context: &ParsingContext, node: &NodeProto) -> Built {
    match context.onnx_operator_set_version {
        ..=10 => with_floor(context, node),
        _ => tract_operators::operator("Resize", context, node),
    }
}

pub fn upsample(context: &ParsingContext, node: &NodeProto) -> Built {
    let version = context.onnx_operator_set_version;
    ensure!(version >= 9, "expected opset 9 or later, found {version}");
    with_floor(context, node)
}

/// Builds tract's operator with `nearest_mode` set to `floor`.
fn with_floor(context: &ParsingContext, node: &NodeProto) -> Built {
    let context = ParsingContext { onnx_operator_set_version: 10, ..context.clone() };
    let mut node = node.clone();
    node.attribute.push(AttributeProto {
        name: "nearest_mode".into(),
        r#type: AttributeType::String.into(),
        s: b"floor".to_vec(),
        ..AttributeProto::default()
    });
    tract_operators::operator("Resize", &context, &node)
}
