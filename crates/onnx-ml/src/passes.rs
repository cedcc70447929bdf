//! Rewrites of typed models: fusions of several operators, and fast paths around tract's operators.

pub(crate) mod chain;
pub(crate) mod conv;
mod conv_fusion;
pub(crate) mod deconv;
pub(crate) mod dense;
pub(crate) mod fast;
mod flat_product;
pub(crate) mod integer_outputs;
pub(crate) mod mat_mul;
pub mod row_wise;

use tract_onnx::prelude::*;

/// Optimizes the model with tract, and replaces operators that tract computes slowly by operators
/// of this crate. Outputs of tract's type for dimensions become integers.
///
/// # Errors
///
/// Returns an error if tract cannot optimize the model.
pub fn optimize(mut model: TypedModel) -> TractResult<TypedModel> {
    integer_outputs::cast_dimensions(&mut model)?;
    flat_product::flatten(&mut model)?;
    dense::fuse(&mut model)?;
    mat_mul::fuse(&mut model)?;
    conv_fusion::fuse(&mut model)?;
    deconv::fuse(&mut model)?;
    let mut model = model.into_optimized()?;
    chain::fuse(&mut model)?;
    for node in &mut model.nodes {
        node.op = fast::with_fast_path(node.op.clone());
    }
    Ok(model)
}

#[cfg(test)]
mod tests;
