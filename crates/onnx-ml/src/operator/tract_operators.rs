//! Access to tract's own operators, for operators of this crate that correct or extend an operator of tract.

use std::sync::LazyLock;
use tract_onnx::Onnx;
use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::{ModelProto, NodeProto};
use tract_onnx::tract_hir::internal::*;

/// The registry of tract's own operators, without the operators of this crate.
static OPERATORS: LazyLock<OnnxOpRegister> = LazyLock::new(|| tract_onnx::onnx().op_register);

/// Builds tract's operator `name` from a node.
///
/// # Errors
///
/// Returns an error if tract lacks the operator or rejects the node.
pub fn operator(
    name: &str,
    context: &ParsingContext,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let build = OPERATORS
        .0
        .get(name)
        .with_context(|| format!("expected an operator of tract, found {name}"))?;
    build(context, node)
}

/// Builds an operator like [`operator`], and returns it as an `Expansion`: an operator that tract
/// replaces by other operators when it creates a typed model.
///
/// # Errors
///
/// Returns an error if [`operator`] returns an error, or if the operator is not an `Expansion`.
pub fn expansion(
    name: &str,
    context: &ParsingContext,
    node: &NodeProto,
) -> TractResult<Box<dyn Expansion>> {
    let (operator, _) = operator(name, context, node)?;
    let expansion = operator.as_op().downcast_ref::<Box<dyn Expansion>>();
    expansion.cloned().with_context(|| format!("expected an expansion, found operator {name}"))
}

/// Builds an operator like [`expansion`], without a surrounding model. The operator must not have
/// subgraphs or external weights.
///
/// # Errors
///
/// Returns an error if [`expansion`] returns an error.
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
