//! tract's own operators, for those of this crate that only correct or complete them.

use std::sync::LazyLock;
use tract_onnx::Onnx;
use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::{ModelProto, NodeProto};
use tract_onnx::tract_hir::internal::*;

static OPERATORS: LazyLock<OnnxOpRegister> = LazyLock::new(|| tract_onnx::onnx().op_register);

/// What tract makes of the node, as an operator of that name.
///
/// # Errors
///
/// Where it has none, or takes no such node.
pub fn operator(
    name: &str,
    context: &ParsingContext,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let build = OPERATORS.0.get(name).with_context(|| format!("expected an operator {name}"))?;
    build(context, node)
}

/// As [`operator`], for one whose nodes are made of others.
///
/// # Errors
///
/// As [`operator`], and where it is of another kind.
pub fn expansion(
    name: &str,
    context: &ParsingContext,
    node: &NodeProto,
) -> TractResult<Box<dyn Expansion>> {
    let (operator, _) = operator(name, context, node)?;
    let expansion = operator.as_op().downcast_ref::<Box<dyn Expansion>>();
    expansion.cloned().with_context(|| format!("expected {name} to be made of other operators"))
}

/// As [`expansion`], for one that asks nothing of the model around its node.
///
/// # Errors
///
/// As [`expansion`].
pub fn expansion_alone(name: &str, node: &NodeProto) -> TractResult<Box<dyn Expansion>> {
    let context = ParsingContext {
        onnx_operator_set_version: 0,
        framework: &Onnx::default(),
        model: &ModelProto::default(),
        parent_graphs: vec![],
        model_dir: None,
        template: InferenceModel::default(),
    };
    expansion(name, &context, node)
}
