//! Turns an ONNX graph into a plan that tract can run.

use crate::error::LoadError;
use crate::signature::TensorSpec;
use std::sync::Arc;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::matmul::optimized::OptMatMul;
use tract_onnx::tract_hir::internal::{AxisOp, Factoid, InferenceFact, ShapeFactoid};

/// Reads the graph with the inputs' shapes pinned, so that every inner shape is known in terms of the
/// batch size `N`. With `single`, the batch is one row.
pub(crate) fn typed(
    proto: &ModelProto,
    inputs: &[TensorSpec],
    single: bool,
) -> TractResult<TypedModel> {
    let mut model = onnx_ml::onnx().with_ignore_value_info(true).model_for_proto_model(proto)?;
    let batch: TDim = if single { 1.to_dim() } else { model.symbols.sym("N").into() };
    for (index, input) in inputs.iter().enumerate() {
        let declared = model.input_fact(index)?.clone();
        let mut dims: TVec<TDim> = tvec!(batch.clone());
        for (axis, len) in input.shape.iter().enumerate().skip(1) {
            let named = declared.shape.dim(axis).and_then(|dim| dim.concretize());
            dims.push(match (len, named) {
                (Some(len), _) => len.to_dim(),
                (None, Some(symbol)) => symbol,
                (None, None) => model.symbols.new_with_prefix("d").into(),
            });
        }
        let mut fact = InferenceFact::default().with_shape(ShapeFactoid::from(dims));
        fact.datum_type = declared.datum_type;
        model.set_input_fact(index, fact)?;
    }
    let mut model = model.into_typed()?;
    if !single {
        rows_first(&mut model, &batch)?;
    }
    model.into_decluttered()
}

/// Moves the axis of the rows to the front of each output.
///
/// `[1, N]` becomes `[N]`: `ArrayFeatureExtractor` returns the labels of some classifiers so. `[M, N, …]`
/// becomes `[N, M, …]`: so do forests for several labels, and recurrent networks for their states.
fn rows_first(model: &mut TypedModel, batch: &TDim) -> TractResult<()> {
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

/// Returns whether a state of the plan can run again.
///
/// It cannot if an operator has a state of its own. Nor can it if the plan has one of tract's matrix
/// products: dropping their state reads a thread-local variable, which may be gone when a thread ends
/// and drops the state that it has kept.
pub(crate) fn reusable(plan: &Arc<TypedRunnableModel>) -> Result<bool, LoadError> {
    let state = plan.spawn().map_err(|error| plan_error(&error))?;
    let mut nodes = plan.model().nodes().iter();
    let keeps = |node: &TypedNode| node.op_is::<OptMatMul>();
    Ok(state.op_states.iter().all(Option::is_none) && !nodes.any(keeps))
}

/// Converts an error of tract, with its causes.
pub(crate) fn plan_error(error: &TractError) -> LoadError {
    LoadError::Plan(format!("{error:#}"))
}
