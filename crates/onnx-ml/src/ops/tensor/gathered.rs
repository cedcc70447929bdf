//! Tensors gathered from the elements of another tensor of any type.

use tract_onnx::tract_hir::internal::*;

/// The index of each output element in the data, or `None` for the fill value.
pub type Sources = Vec<Option<usize>>;

/// Returns a tensor of `shape` with the elements of `data` at `sources`, and `fill_value` for
/// `None`.
///
/// # Errors
///
/// Returns an error if a source is out of bounds, or if `fill_value` is not one element of the
/// data's type.
pub fn pick(
    data: &Tensor,
    shape: &[usize],
    sources: &[Option<usize>],
    fill_value: Option<&Tensor>,
) -> TractResult<Tensor> {
    dispatch_datum!(pick_as(data.datum_type())(data, shape, sources, fill_value))
}

fn pick_as<T: Datum>(
    data: &Tensor,
    shape: &[usize],
    sources: &[Option<usize>],
    fill_value: Option<&Tensor>,
) -> TractResult<Tensor> {
    let fill_value = match fill_value {
        Some(fill_value) => {
            let fill_value = fill_value.cast_to::<T>()?;
            let fill_value = fill_value.try_as_plain_ram()?.as_slice::<T>()?.first().cloned();
            fill_value.context("expected an element to fill up with, found none")?
        }
        None => T::default(),
    };
    let data = data.try_as_plain_ram()?;
    let data = data.as_slice::<T>()?;
    let elements = sources
        .iter()
        .map(|source| match source {
            Some(source) => data.get(*source).cloned().context("expected a source in the data"),
            None => Ok(fill_value.clone()),
        })
        .collect::<TractResult<Vec<T>>>()?;
    Ok(tract_ndarray::ArrayD::from_shape_vec(shape, elements)?.into_tensor())
}

/// Returns the sources for an output whose axes select positions of the data's axes. `from` is the
/// shape of the data.
pub fn grid(from: &[usize], axes: &[Vec<Option<usize>>]) -> Sources {
    axes.iter().zip(from).fold(vec![Some(0)], |sources, (positions, length)| {
        let mut next = Vec::with_capacity(sources.len() * positions.len());
        for source in sources {
            next.extend(positions.iter().map(|position| Some(source? * length + (*position)?)));
        }
        next
    })
}
