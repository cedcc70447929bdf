//! [AveragePool](https://onnx.ai/onnx/operators/onnx__AveragePool.html),
//! [MaxPool](https://onnx.ai/onnx/operators/onnx__MaxPool.html) and
//! [Conv](https://onnx.ai/onnx/operators/onnx__Conv.html): tract's operators. tract's pools ignore
//! `ceil_mode`, which allows a partial last window, unless `auto_pad` sets the padding. Window
//! attributes are checked, because tract takes unbounded time for a corrupt or hostile node.

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
    // The default is no padding.
    let mut node = node.clone();
    node.attribute.retain(|attribute| !matches!(attribute.name.as_str(), "auto_pad" | "pads"));
    tract_operators::operator(&node.op_type, context, &node)
}

/// Builds tract's convolution.
pub fn conv(context: &ParsingContext, node: &NodeProto) -> Built {
    expect_moderate(node)?;
    tract_operators::operator("Conv", context, node)
}
