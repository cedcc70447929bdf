//! What a model may not ask for, as it would take all the memory or for ever. Each operator sees to
//! its own attributes; this is about the rest.

use crate::error::LoadError;
use crate::signature::TensorSpec;
use tract_onnx::pb::GraphProto;

/// Columns and elements of a row have bounds: each has a name, an example, a place in the
/// documentation.
///
/// # Errors
///
/// [`LoadError::Input`].
pub(crate) fn check_inputs(inputs: &[TensorSpec]) -> Result<(), LoadError> {
    const COLUMNS: usize = 1 << 18;
    const ELEMENTS: usize = 1 << 22;
    let (mut columns, mut elements) = (0_usize, 0_usize);
    for input in inputs {
        let row = input.shape.iter().skip(1).flatten();
        let len = row.fold(1_usize, |len, dim| len.saturating_mul(*dim));
        elements = elements.saturating_add(len);
        columns = columns.saturating_add(if input.shape.len() > 2 { 1 } else { len });
        if columns > COLUMNS || elements > ELEMENTS {
            let reason = format!(
                "expected inputs of at most {COLUMNS} columns or {ELEMENTS} elements a row, but \
                 found {input}"
            );
            return Err(LoadError::Input { name: input.name.clone(), reason });
        }
    }
    Ok(())
}

/// tract believes what a `Scan` says of its inputs, and makes as many.
///
/// # Errors
///
/// [`LoadError::Plan`].
pub(crate) fn check_scans(graph: &GraphProto) -> Result<(), LoadError> {
    for node in &graph.node {
        for attribute in &node.attribute {
            attribute.g.iter().chain(&attribute.graphs).try_for_each(check_scans)?;
            let count = usize::try_from(attribute.i).unwrap_or(usize::MAX);
            if attribute.name == "num_scan_inputs" && count > node.input.len() {
                return Err(LoadError::Plan(format!(
                    "node `{}`: expected num_scan_inputs of at most {}, but found {}",
                    node.name,
                    node.input.len(),
                    attribute.i
                )));
            }
        }
    }
    Ok(())
}
