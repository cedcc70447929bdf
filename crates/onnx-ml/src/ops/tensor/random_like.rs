//! [RandomNormalLike](https://onnx.ai/onnx/operators/onnx__RandomNormalLike.html) and
//! [RandomUniformLike](https://onnx.ai/onnx/operators/onnx__RandomUniformLike.html): random numbers
//! in the shape of the input. tract recognizes these operators by the name of the node instead of
//! the type of the operator.

use crate::operator::adapter::Built;
use crate::operator::tract_operators;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

pub fn random_like(context: &ParsingContext, node: &NodeProto) -> Built {
    let named = NodeProto { name: node.op_type.clone(), ..node.clone() };
    tract_operators::operator(&node.op_type, context, &named)
}
