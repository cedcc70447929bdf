//! [Resize](https://onnx.ai/onnx/operators/onnx__Resize.html): tract's operator. In opset 10, and
//! in [Upsample](https://onnx.ai/onnx/operators/onnx__Upsample.html) before it, the nearest element
//! is the one at or before a coordinate.

use crate::operator::kernel::Built;
use crate::operator::tract_operators;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto};
use tract_onnx::tract_hir::internal::*;

pub fn resize(context: &ParsingContext, node: &NodeProto) -> Built {
    match context.onnx_operator_set_version {
        ..=10 => at_or_before(context, node),
        _ => tract_operators::operator("Resize", context, node),
    }
}

pub fn upsample(context: &ParsingContext, node: &NodeProto) -> Built {
    let version = context.onnx_operator_set_version;
    ensure!(version >= 9, "expected opset 9 or later, found {version}");
    at_or_before(context, node)
}

fn at_or_before(context: &ParsingContext, node: &NodeProto) -> Built {
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
