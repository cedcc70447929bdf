//! Access to the elements of tensors, creation of tensors, and checks of axes and shapes.

use std::any::Any;
use tract_onnx::tract_hir::internal::*;

/// Returns `value` with elements of type `T`. If the elements have this type already, borrows `value`. Otherwise casts
/// the elements.
pub fn elements<T: Datum>(value: &TValue) -> TractResult<Cow<'_, Tensor>> {
    // tract may represent integers as dimensions (`TDim`). tract can cast dimensions to few types, so cast them to
    // `i64` first.
    if value.datum_type() == TDim::datum_type() {
        let integers = value.cast_to::<i64>()?.into_owned();
        return Ok(Cow::Owned(integers.cast_to::<T>()?.into_owned()));
    }
    value.cast_to::<T>()
}

/// Returns the elements of each tensor.
///
/// # Errors
///
/// Returns an error if the elements of a tensor are not of type `T`.
pub fn slices<'a, T: Datum>(tensors: &'a [Cow<'_, Tensor>]) -> TractResult<Vec<&'a [T]>> {
    tensors.iter().map(|tensor| tensor.try_as_plain_ram()?.as_slice::<T>()).collect()
}

/// Creates a tensor from its elements, in row-major order.
pub fn tensor<T: Datum>(shape: &[usize], elements: Vec<T>) -> TractResult<Tensor> {
    // `from_shape` is faster than the conversion from an array, but requires that `T` is `Copy`.
    // Use it for the two most frequent types.
    let any: &dyn Any = &elements;
    if let Some(floats) = any.downcast_ref::<Vec<f32>>() {
        return Tensor::from_shape(shape, floats);
    }
    if let Some(integers) = any.downcast_ref::<Vec<i64>>() {
        return Tensor::from_shape(shape, integers);
    }
    Ok(tract_ndarray::ArrayD::from_shape_vec(shape, elements)?.into_tensor())
}

/// Creates a tensor of zeros and lets `write` overwrite its elements. In contrast to [`tensor`],
/// this function does not copy the elements from a list.
pub fn tensor_in_place(shape: &[usize], write: impl FnOnce(&mut [f32])) -> TractResult<Tensor> {
    let mut tensor = Tensor::zero::<f32>(shape)?;
    write(tensor.try_as_plain_ram_mut()?.as_slice_mut()?);
    Ok(tensor)
}

/// Returns the number of rows and of columns of a tensor. A vector is a single row, as in
/// [`Fact::matrix`](super::kernel::Fact::matrix).
pub fn matrix(value: &TValue) -> (usize, usize) {
    match value.shape() {
        [rows, columns] => (*rows, *columns),
        shape => (1, shape.iter().product()),
    }
}

/// Maximum product of the dimensions of a tensor, without symbolic dimensions. 2^30 floats are 4 GiB. Usually the only
/// symbolic dimension is the number of rows, so the maximum limits the size of one row. Models with larger tensors are
/// rejected when they are loaded.
const MAX_ELEMENTS: i64 = 1 << 30;

/// Checks the size of a tensor whose shape follows from constants of the model. Without this check, a small model could
/// request an arbitrary amount of memory.
///
/// # Errors
///
/// Returns an error if a dimension is negative, or if the product of the dimensions that are not
/// symbolic exceeds [`MAX_ELEMENTS`].
pub fn check_size(shape: &[TDim]) -> TractResult<()> {
    let mut lengths = shape.iter().filter_map(|length| length.as_i64());
    let elements = lengths.try_fold(1_i64, |product, length| match length {
        0.. => product.checked_mul(length.max(1)),
        _ => None,
    });
    let in_bounds = elements.is_some_and(|elements| elements <= MAX_ELEMENTS);
    ensure!(in_bounds, "expected a shape of at most {MAX_ELEMENTS} elements, found {shape:?}");
    Ok(())
}

/// Returns the index of the axis that a model calls `found`, for a tensor of the given rank. A
/// negative `found` counts from the end: -1 is the last axis.
///
/// # Errors
///
/// Returns an error if the tensor has no such axis.
pub fn axis(found: i64, rank: usize) -> TractResult<usize> {
    let start = if found < 0 { rank as i64 } else { 0 };
    let axis = usize::try_from(found + start).ok().filter(|axis| *axis < rank);
    axis.with_context(|| format!("expected an axis of a tensor of rank {rank}, found axis {found}"))
}
