//! Rewrites the protobuf of a model before tract parses it: replaces operators and types that tract does not support.
//! Also finds example values for the inputs.

pub mod categories;
pub mod element_types;
pub mod functions;
pub mod label_outputs;
pub mod maps;
pub(crate) mod mat_mul_n_bits;
pub mod microsoft;
pub(crate) mod qdq;
pub mod sequence_outputs;
pub mod zip_map;

use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::TractResult;

/// Replaces operators and element types that tract lacks, and fuses products of quantized tensors.
/// All constants must be in the model and have the size of their shape.
///
/// # Errors
///
/// Returns an error if a constant or an attribute is invalid.
pub fn lower_operators(model: &mut ModelProto) -> TractResult<()> {
    microsoft::expand(model);
    element_types::lower(model)?;
    mat_mul_n_bits::lower(model)?;
    qdq::fuse(model);
    Ok(())
}
