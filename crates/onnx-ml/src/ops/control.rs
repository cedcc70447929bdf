//! The operators that run a subgraph: `If` and `Loop`.

mod if_operator;
pub(crate) mod loop_operator;
pub(crate) mod subgraph;
mod subgraph_op;

use tract_onnx::model::OnnxOpRegister;

/// Registers the operators of this group.
pub(super) fn register(operators: &mut OnnxOpRegister) {
    operators.insert("If", if_operator::if_operator);
    operators.insert("Loop", loop_operator::loop_operator);
}
