//! [Upsample](https://onnx.ai/onnx/operators/onnx__Upsample.html), which ONNX gave up for Resize: it
//! is Resize as of opset 10, which takes the element at or before each place.

use crate::kernel::Built;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto};
use tract_onnx::tract_hir::internal::*;

pub fn upsample(context: &ParsingContext, node: &NodeProto) -> Built {
    let resize = context.framework.op_register.0.get("Resize").context("expected Resize")?;
    let version = context.onnx_operator_set_version;
    ensure!(version >= 9, "expected opset 9 or later, but found {version}");
    let context = ParsingContext { onnx_operator_set_version: 10, ..context.clone() };
    let mut node = node.clone();
    node.attribute.push(AttributeProto {
        name: "nearest_mode".into(),
        r#type: AttributeType::String.into(),
        s: b"floor".to_vec(),
        ..AttributeProto::default()
    });
    resize(&context, &node)
}
