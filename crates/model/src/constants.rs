//! Visits and checks the tensors in an ONNX file. The tensors are the weights of the graphs, and constants in
//! attributes of nodes.

use crate::error::LoadError;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{GraphProto, ModelProto, TensorProto};

/// Calls `visit` for each tensor, including the tensors of inner graphs. Skips sparse tensors, because tract does not
/// read them.
///
/// # Errors
///
/// Returns the first error of `visit`.
pub(crate) fn visit(
    model: &mut ModelProto,
    visit: &mut impl FnMut(&mut TensorProto) -> Result<(), LoadError>,
) -> Result<(), LoadError> {
    model.graph.iter_mut().try_for_each(|graph| visit_graph(graph, visit))
}

/// Calls `visit` for each tensor of a graph, including the tensors of inner graphs.
fn visit_graph(
    graph: &mut GraphProto,
    visit: &mut impl FnMut(&mut TensorProto) -> Result<(), LoadError>,
) -> Result<(), LoadError> {
    graph.initializer.iter_mut().try_for_each(&mut *visit)?;
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        attribute.t.iter_mut().chain(&mut attribute.tensors).try_for_each(&mut *visit)?;
        for inner in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            visit_graph(inner, visit)?;
        }
    }
    Ok(())
}

/// Returns true if the data of a tensor is in a separate file.
pub(crate) fn is_external(tensor: &TensorProto) -> bool {
    tensor.data_location == Some(DataLocation::External as i32)
}

/// Checks that the data of a tensor is in the model file. If the data is in `raw_data`, also checks that `raw_data` has
/// the size of the tensor's shape. tract does not check the size. It allocates memory for the declared shape before it
/// reads `raw_data`, so a huge shape would exhaust the memory.
///
/// # Errors
///
/// Returns [`LoadError::Tensor`] if the data is in a separate file, or if `raw_data` has a different size.
pub(crate) fn check(tensor: &mut TensorProto) -> Result<(), LoadError> {
    let error = |reason| LoadError::Tensor { name: tensor.name.clone(), reason };
    if is_external(tensor) {
        return Err(error(
            "its data is in a separate file; save the model as one file: \
             `onnx.save(onnx.load(path), path, save_as_external_data=False)`"
                .into(),
        ));
    }
    let Some(size) = element_size(tensor.data_type) else { return Ok(()) };
    let found = tensor.raw_data.len();
    let expected = tensor.dims.iter().try_fold(size, |bytes, dim| {
        usize::try_from(*dim).ok().and_then(|dim| bytes.checked_mul(dim))
    });
    match expected {
        // The tensor is empty, or its elements are in a typed field such as `float_data`.
        _ if found == 0 => Ok(()),
        Some(expected) if expected == found => Ok(()),
        Some(expected) => {
            let shape = &tensor.dims;
            Err(error(format!("expected {expected} bytes for shape {shape:?}, found {found}")))
        }
        None => Err(error(format!(
            "expected lengths of at least 0 and a size below 2⁶⁴ bytes, found shape {:?}",
            tensor.dims
        ))),
    }
}

/// Returns the size of an element in `raw_data`, in bytes. Returns `None` for strings, which ONNX never stores in
/// `raw_data`, and for types that tract does not read.
fn element_size(data_type: i32) -> Option<usize> {
    Some(match DataType::try_from(data_type).ok()? {
        DataType::Bool | DataType::Uint8 | DataType::Int8 => 1,
        DataType::Uint16 | DataType::Int16 | DataType::Float16 | DataType::Bfloat16 => 2,
        DataType::Uint32 | DataType::Int32 | DataType::Float => 4,
        DataType::Uint64 | DataType::Int64 | DataType::Double => 8,
        _ => return None,
    })
}
