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
                "expected inputs of at most {COLUMNS} columns or {ELEMENTS} elements a row, \
                 found {input}"
            );
            return Err(LoadError::Input { name: input.name.clone(), reason });
        }
    }
    Ok(())
}

/// tract believes what a `Scan` says of its inputs, and makes as many; it seeks for ever to undo a
/// `Transpose` that is no permutation.
///
/// # Errors
///
/// [`LoadError::Plan`].
pub(crate) fn check_nodes(graph: &GraphProto) -> Result<(), LoadError> {
    for node in &graph.node {
        let error = |text: String| LoadError::Plan(format!("node `{}`: {text}", node.name));
        for attribute in &node.attribute {
            attribute.g.iter().chain(&attribute.graphs).try_for_each(check_nodes)?;
            match attribute.name.as_str() {
                "num_scan_inputs" => {
                    let inputs = node.input.len();
                    if usize::try_from(attribute.i).map_or(true, |count| count > inputs) {
                        return Err(error(format!(
                            "expected num_scan_inputs of at most {inputs}, found {}",
                            attribute.i
                        )));
                    }
                }
                "perm" => {
                    let mut axes = attribute.ints.clone();
                    axes.sort_unstable();
                    if !axes.iter().copied().eq((0..).take(axes.len())) {
                        return Err(error(format!(
                            "expected a permutation as perm, found {:?}",
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
