//! [AveragePool](https://onnx.ai/onnx/operators/onnx__AveragePool.html) and
//! [MaxPool](https://onnx.ai/onnx/operators/onnx__MaxPool.html): tract's, which forget that a last
//! window may be cut (`ceil_mode`) where there is no padding by `auto_pad`; and
//! [Conv](https://onnx.ai/onnx/operators/onnx__Conv.html). A damaged or hostile node of these would
//! keep tract busy for ever.

use crate::operator::kernel::Built;
use crate::operator::tract_operators;
use crate::ops::nn::windows::expect_moderate;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

pub fn pool(context: &ParsingContext, node: &NodeProto) -> Built {
    expect_moderate(node)?;
    if node.get_attr_opt("auto_pad")? != Some("VALID") {
        return tract_operators::operator(&node.op_type, context, node);
    }
    // No padding is the default.
    let mut node = node.clone();
    node.attribute.retain(|attribute| !matches!(attribute.name.as_str(), "auto_pad" | "pads"));
    tract_operators::operator(&node.op_type, context, &node)
}

/// tract's convolution.
pub fn conv(context: &ParsingContext, node: &NodeProto) -> Built {
    expect_moderate(node)?;
    tract_operators::operator("Conv", context, node)
}
