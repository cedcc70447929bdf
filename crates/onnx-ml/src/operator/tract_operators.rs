//! tract's own operators, for operators of this crate that only correct or extend them.

use std::sync::LazyLock;
use tract_onnx::Onnx;
use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::{ModelProto, NodeProto};
use tract_onnx::tract_hir::internal::*;

static OPERATORS: LazyLock<OnnxOpRegister> = LazyLock::new(|| tract_onnx::onnx().op_register);

/// Builds tract's operator `name` for the node.
///
/// # Errors
///
/// Returns an error if tract lacks the operator or rejects the node.
pub fn operator(
    name: &str,
    context: &ParsingContext,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let build = OPERATORS.0.get(name).with_context(|| format!("expected an operator {name}"))?;
    build(context, node)
}

/// Builds tract's operator like [`operator`], for an operator that tract expands into others.
///
/// # Errors
///
/// Returns an error if [`operator`] does, or if the operator is not expanded.
pub fn expansion(
    name: &str,
    context: &ParsingContext,
    node: &NodeProto,
) -> TractResult<Box<dyn Expansion>> {
    let (operator, _) = operator(name, context, node)?;
    let expansion = operator.as_op().downcast_ref::<Box<dyn Expansion>>();
    expansion.cloned().with_context(|| format!("expected {name} to be made of other operators"))
}

/// Builds tract's operator like [`expansion`], without the context of a model.
///
/// # Errors
///
/// Returns an error if [`expansion`] does.
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
