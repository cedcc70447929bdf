//! Rejects graphs that would use all memory or run forever. This module checks the inputs of the graph, its
//! intermediate values and the operators of tract. The operators of `onnx-ml` check their own attributes.

use crate::error::LoadError;
use crate::signature::TensorSpec;
use tract_onnx::pb::GraphProto;
use tract_onnx::prelude::*;

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

/// Checks the number of elements of each value that the graph computes from its inputs. A few numbers in a small file,
/// such as strides, can require any amount of memory. The length of each dynamic axis counts as 1.
///
/// # Errors
///
/// Returns [`LoadError::Node`] if a row of a value, or a value of a fixed batch, has too many elements.
pub(crate) fn check_values(model: &TypedModel, fixed_rows: Option<usize>) -> Result<(), LoadError> {
    /// Maximum number of elements in a row of a value. An example is an image of 1024 × 1024 pixels and 64 channels.
    const MAX_ELEMENTS: usize = 1 << 26;
    /// Maximum number of elements of a value in a fixed batch.
    const MAX_BATCH_ELEMENTS: usize = 1 << 28;
    let max_elements = match fixed_rows {
        Some(rows) => MAX_ELEMENTS.saturating_mul(rows).min(MAX_BATCH_ELEMENTS),
        None => MAX_ELEMENTS,
    };
    let symbols = model.symbols.all_symbols().into_iter();
    let ones = symbols.fold(SymbolValues::default(), |ones, symbol| ones.with(&symbol, 1));
    for node in model.nodes.iter().filter(|node| !node.inputs.is_empty()) {
        for output in &node.outputs {
            let lens = output.fact.shape.iter().map(|dim| dim.eval(&ones).to_i64().unwrap_or(1));
            let lens = lens.map(|len| usize::try_from(len).unwrap_or(1));
            let elements = lens.fold(1_usize, usize::saturating_mul);
            if elements > max_elements {
                let reason = format!(
                    "expected an output of at most {max_elements} elements, found shape {:?}",
                    output.fact.shape
                );
                return Err(LoadError::Node { name: node.name.clone(), reason });
            }
        }
    }
    Ok(())
}

/// Valid indices of axes in the attributes of a node. Tensors have far fewer axes.
const AXES: std::ops::RangeInclusive<i64> = -64..=63;

/// Checks attributes that tract does not check. Without these checks, tract would
///
/// - allocate as many inputs as `num_scan_inputs` of a `Scan` declares;
/// - loop forever on a `Transpose` whose `perm` is not a permutation;
/// - loop over `0..axis` of a `LayerNormalization`, for any `axis` up to 2⁶³.
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
                            "expected `{}` to be from {} to {}, found {axis}",
                            attribute.name,
                            AXES.start(),
                            AXES.end()
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
