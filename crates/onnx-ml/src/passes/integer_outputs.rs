//! Turns outputs of tract's type for dimensions into `int64`.

use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_hir::internal::*;

/// Casts the outputs that are dimensions to `int64`.
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
