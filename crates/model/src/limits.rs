//! Rejects graphs that would use all memory or run forever. This module checks the inputs of the graph and
//! the operators of tract. The operators of `onnx-ml` check their own attributes.

use crate::error::LoadError;
use crate::signature::TensorSpec;
use tract_onnx::pb::GraphProto;

/// Checks the number of columns and the number of elements in a row, in all inputs together. Each column needs memory
/// for a name, an example and an entry in the documentation. Also checks the product of the fixed lengths of each
/// input, which is the number of elements in a fixed batch.
///
/// # Errors
///
/// Returns [`LoadError::Input`] if a number exceeds its limit.
pub(crate) fn check_inputs(inputs: &[TensorSpec]) -> Result<(), LoadError> {
    /// Maximum number of columns of all inputs together.
    const MAX_COLUMNS: usize = 1 << 18;
    /// Maximum number of elements in a row of all inputs together.
    const MAX_ELEMENTS: usize = 1 << 22;
    /// Maximum number of elements in a fixed batch of one input.
    const MAX_BATCH_ELEMENTS: usize = 1 << 26;
    let (mut columns, mut elements) = (0_usize, 0_usize);
    for input in inputs {
        let row_shape = input.row_shape();
        let row = row_shape.iter().flatten();
        let len = row.fold(1_usize, |len, dim| len.saturating_mul(*dim));
        let is_one_feature = row_shape.len() > 1 || input.batch_axis.is_none();
        elements = elements.saturating_add(len);
        columns = columns.saturating_add(if is_one_feature { 1 } else { len });
        if columns > MAX_COLUMNS || elements > MAX_ELEMENTS {
            let reason = format!(
                "expected at most {MAX_COLUMNS} columns and {MAX_ELEMENTS} elements per row in all \
                 inputs, found {input}"
            );
            return Err(LoadError::Input { name: input.name.clone(), reason });
        }
        let batch = input.shape.iter().flatten();
        let batch = batch.fold(1_usize, |len, dim| len.saturating_mul(*dim));
        if batch > MAX_BATCH_ELEMENTS {
            let reason = format!(
                "expected at most {MAX_BATCH_ELEMENTS} elements in a fixed batch, found {input}"
            );
            return Err(LoadError::Input { name: input.name.clone(), reason });
        }
    }
    Ok(())
}

/// Valid indices of axes in the attributes of a node. Tensors have far fewer axes.
const AXES: std::ops::Range<i64> = -64..64;

/// Checks attributes that tract does not check. Without these checks, tract would
///
/// - allocate as many inputs as `num_scan_inputs` of a `Scan` declares;
/// - loop forever on a `Transpose` whose `perm` is not a permutation;
/// - count up to the `axis` of a `LayerNormalization`.
///
/// # Errors
///
/// Returns [`LoadError::Plan`] if an attribute is invalid.
pub(crate) fn check_nodes(graph: &GraphProto) -> Result<(), LoadError> {
    for node in &graph.node {
        let error = |reason: String| LoadError::Plan(format!("node `{}`: {reason}", node.name));
        for attribute in &node.attribute {
            attribute.g.iter().chain(&attribute.graphs).try_for_each(check_nodes)?;
            match attribute.name.as_str() {
                "num_scan_inputs" => {
                    let inputs = node.input.len();
                    if usize::try_from(attribute.i).map_or(true, |count| count > inputs) {
                        return Err(error(format!(
                            "expected `num_scan_inputs` to be at most {inputs}, found {}",
                            attribute.i
                        )));
                    }
                }
                "axis" | "axes" => {
                    let axes = std::iter::once(&attribute.i).chain(&attribute.ints);
                    if let Some(axis) = axes.into_iter().find(|axis| !AXES.contains(axis)) {
                        return Err(error(format!(
                            "expected `{}` to be within {AXES:?}, found {axis}",
                            attribute.name
                        )));
                    }
                }
                "perm" => {
                    let mut axes = attribute.ints.clone();
                    axes.sort_unstable();
                    if !axes.iter().copied().eq((0..).take(axes.len())) {
                        return Err(error(format!(
                            "expected `perm` to be a permutation, found {:?}",
                            attribute.ints
                        )));
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}
