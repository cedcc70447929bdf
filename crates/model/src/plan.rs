//! Infers the types of an ONNX graph, and inspects the plan that tract makes from it. A plan is a graph that tract can
//! run.

use crate::error::LoadError;
use crate::signature::TensorSpec;
use std::sync::Arc;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::matmul::optimized::OptMatMul;
use tract_onnx::tract_hir::internal::{Factoid, InferenceFact, ShapeFactoid};

/// Reads the graph and infers its types and shapes. The shape of an input consists of numbers and symbols. If
/// `fixed_rows` is `None`, one symbol stands for the number of rows. Each other dynamic axis has a further symbol, and
/// axes with the same name in the graph share a symbol. Also returns the number of rows in a run: `fixed_rows`, or the
/// symbol for the number of rows.
pub(crate) fn infer_types(
    proto: &ModelProto,
    inputs: &[TensorSpec],
    fixed_rows: Option<usize>,
) -> TractResult<(TypedModel, TDim)> {
    let mut model = onnx_ml::onnx().with_ignore_value_info(true).model_for_proto_model(proto)?;
    let declared = (0..inputs.len())
        .map(|index| model.input_fact(index).cloned())
        .collect::<TractResult<Vec<InferenceFact>>>()?;
    let declared_len = |index: usize, axis: usize| -> Option<TDim> {
        declared[index].shape.dim(axis).and_then(|dim| dim.concretize())
    };
    let rows = match fixed_rows {
        Some(rows) => rows.to_dim(),
        None => {
            let batches = inputs.iter().enumerate();
            let mut symbols = batches.filter_map(|(index, input)| {
                declared_len(index, input.batch_axis?).filter(|len| matches!(len, TDim::Sym(_)))
            });
            symbols.next().unwrap_or_else(|| model.symbols.new_with_prefix("N").into())
        }
    };
    for (index, input) in inputs.iter().enumerate() {
        let mut dims: TVec<TDim> = tvec!();
        for (axis, len) in input.shape.iter().enumerate() {
            dims.push(match len {
                _ if input.batch_axis == Some(axis) => rows.clone(),
                Some(len) => len.to_dim(),
                None => declared_len(index, axis)
                    .filter(|len| len.to_i64().is_err())
                    .unwrap_or_else(|| model.symbols.new_with_prefix("d").into()),
            });
        }
        let mut fact = InferenceFact::default().with_shape(ShapeFactoid::from(dims));
        fact.datum_type = declared[index].datum_type;
        model.set_input_fact(index, fact)?;
    }
    Ok((model.into_typed()?.into_decluttered()?, rows))
}

/// Returns whether a thread can use one state of the plan for several runs.
///
/// Returns false if an operator keeps data from one run to the next. Also returns false if the plan contains
/// `OptMatMul`. When a state of `OptMatMul` is dropped, tract reads a thread-local variable. A thread that kept the
/// state to its end might destroy the variable before it drops the state.
pub(crate) fn can_reuse_state(plan: &Arc<TypedRunnableModel>) -> Result<bool, LoadError> {
    let state = plan.spawn().map_err(|error| plan_error(&error))?;
    let mut nodes = plan.model().nodes().iter();
    let is_mat_mul = |node: &TypedNode| node.op_is::<OptMatMul>();
    Ok(state.op_states.iter().all(Option::is_none) && !nodes.any(is_mat_mul))
}

/// Converts an error of tract to a message that includes the causes of the error.
pub(crate) fn plan_error(error: &TractError) -> LoadError {
    LoadError::Plan(format!("{error:#}"))
}
