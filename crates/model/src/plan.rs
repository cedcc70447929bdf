//! Turns an ONNX graph into a plan. A plan is a graph that tract can run.

use crate::error::LoadError;
use crate::signature::TensorSpec;
use std::sync::Arc;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::matmul::optimized::OptMatMul;
use tract_onnx::tract_hir::internal::{AxisOp, Factoid, InferenceFact, ShapeFactoid};

/// Reads the graph and infers its types and shapes. In the shapes of the inputs, the batch size is the
/// symbol `N`, or 1 if `single_row` is true. Every other dynamic axis has the symbol that the model
/// declares, or a new symbol.
pub(crate) fn infer_types(
    proto: &ModelProto,
    inputs: &[TensorSpec],
    single_row: bool,
) -> TractResult<TypedModel> {
    let mut model = onnx_ml::onnx().with_ignore_value_info(true).model_for_proto_model(proto)?;
    let batch: TDim = if single_row { 1.to_dim() } else { model.symbols.sym("N").into() };
    for (index, input) in inputs.iter().enumerate() {
        let declared = model.input_fact(index)?.clone();
        let mut dims: TVec<TDim> = tvec!(batch.clone());
        for (axis, len) in input.shape.iter().enumerate().skip(1) {
            let declared_len = declared.shape.dim(axis).and_then(|dim| dim.concretize());
            dims.push(match (len, declared_len) {
                (Some(len), _) => len.to_dim(),
                (None, Some(declared)) => declared,
                (None, None) => model.symbols.new_with_prefix("d").into(),
            });
        }
        let mut fact = InferenceFact::default().with_shape(ShapeFactoid::from(dims));
        fact.datum_type = declared.datum_type;
        model.set_input_fact(index, fact)?;
    }
    let mut model = model.into_typed()?;
    if !single_row {
        move_rows_first(&mut model, &batch)?;
    }
    model.into_decluttered()
}

/// Moves the axis of the rows to the front of each output.
///
/// - `[1, N]` becomes `[N]`. `ArrayFeatureExtractor` returns the labels of some classifiers with shape
///   `[1, N]`.
/// - `[M, N, …]` becomes `[N, M, …]`. Forests that predict several labels, and recurrent networks that
///   return their states, have outputs of shape `[M, N, …]`.
fn move_rows_first(model: &mut TypedModel, batch: &TDim) -> TractResult<()> {
    let mut outlets = model.output_outlets()?.to_vec();
    for (index, outlet) in outlets.iter_mut().enumerate() {
        let shape = &model.outlet_fact(*outlet)?.shape;
        let mut rows = shape.iter().enumerate().filter(|(_, dim)| *dim == batch);
        let moved = match (rows.next(), rows.next()) {
            (Some((1, _)), None) if shape.rank() == 2 && shape[0].is_one() => AxisOp::Rm(0),
            (Some((axis @ 1.., _)), None) => AxisOp::Move(axis, 0),
            _ => continue,
        };
        let name = format!("output_{index}.rows");
        *outlet = model.wire_node(name, moved, &[*outlet])?[0];
    }
    model.select_output_outlets(&outlets)
}

/// Returns whether a thread can use one state of the plan for several runs.
///
/// Returns false if an operator keeps data from one run to the next. Also returns false if the plan
/// contains `OptMatMul`: dropping a state of that operator reads a thread-local variable. If a thread kept
/// the state until the thread ends, the variable might be destroyed before the state is dropped.
pub(crate) fn can_reuse_state(plan: &Arc<TypedRunnableModel>) -> Result<bool, LoadError> {
    let state = plan.spawn().map_err(|error| plan_error(&error))?;
    let mut nodes = plan.model().nodes().iter();
    let is_mat_mul = |node: &TypedNode| node.op_is::<OptMatMul>();
    Ok(state.op_states.iter().all(Option::is_none) && !nodes.any(is_mat_mul))
}

/// Converts an error of tract to one message that includes its causes.
pub(crate) fn plan_error(error: &TractError) -> LoadError {
    LoadError::Plan(format!("{error:#}"))
}
