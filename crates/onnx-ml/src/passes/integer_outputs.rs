//! Casts outputs of a model that have tract's type for dimensions (`TDim`) to `int64`, the type that the ONNX graph
//! declares for these outputs.

use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_hir::internal::*;

/// Casts the outputs of type `TDim` to `int64`.
///
/// # Errors
///
/// Returns an error if the model is invalid.
pub fn cast_dimensions(model: &mut TypedModel) -> TractResult<()> {
    let mut outputs: TVec<OutletId> = model.output_outlets()?.into();
    for (index, output) in outputs.iter_mut().enumerate() {
        if model.outlet_fact(*output)?.datum_type.is_tdim() {
            let name = model.unique_name(format!("output-{index}.integers"));
            *output = model.wire_node(name, cast(i64::datum_type()), &[*output])?[0];
        }
    }
    model.select_output_outlets(&outputs)
}
