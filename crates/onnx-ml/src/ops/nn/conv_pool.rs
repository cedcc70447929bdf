//! [AveragePool](https://onnx.ai/onnx/operators/onnx__AveragePool.html),
//! [MaxPool](https://onnx.ai/onnx/operators/onnx__MaxPool.html) and
//! [Conv](https://onnx.ai/onnx/operators/onnx__Conv.html): tract's operators, with two corrections.
//! If `auto_pad` is `VALID`, tract's pools ignore `ceil_mode` (which permits a partial last
//! window). So `auto_pad` is removed from the node, which means no padding. The sizes of windows are checked, because tract takes unbounded time for a corrupt or malicious node.

use crate::operator::adapter::Built;
use crate::operator::tract_operators;
use crate::ops::nn::windows::expect_moderate;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

/// Builds tract's pool.
pub fn pool(context: &ParsingContext, node: &NodeProto) -> Built {
    expect_moderate(node)?;
    if node.get_attr_opt("auto_pad")? != Some("VALID") {
        return tract_operators::operator(&node.op_type, context, node);
    }
    // Without the attributes there is no padding, as with `VALID`.
    let mut node = node.clone();
    node.attribute.retain(|attribute| !matches!(attribute.name.as_str(), "auto_pad" | "pads"));
    tract_operators::operator(&node.op_type, context, &node)
}

/// Builds tract's convolution.
pub fn conv(context: &ParsingContext, node: &NodeProto) -> Built {
    expect_moderate(node)?;
    tract_operators::operator("Conv", context, node)
}
