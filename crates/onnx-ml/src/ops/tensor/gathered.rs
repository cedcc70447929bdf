//! Creates tensors from selected elements of a tensor, for any element type.

use tract_onnx::tract_hir::internal::*;

/// For each element of the output, the index of an element of the flattened data, or `None` for the
/// fill value.
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
            fill_value.context("expected a fill value, found an empty tensor")?
        }
        None => T::default(),
    };
    let data = data.try_as_plain_ram()?;
    let data = data.as_slice::<T>()?;
    let elements = sources
        .iter()
        .map(|source| match source {
            Some(source) => data
                .get(*source)
                .cloned()
                .with_context(|| format!("expected an index below {}, found {source}", data.len())),
            None => Ok(fill_value.clone()),
        })
        .collect::<TractResult<Vec<T>>>()?;
    Ok(tract_ndarray::ArrayD::from_shape_vec(shape, elements)?.into_tensor())
}

/// Returns the sources for an output in which each axis selects indices along the same axis of the data. `axes` has a
/// list for each axis. The list has an entry for each index along this axis of the output: the index in the data, or
/// `None` for the fill value.
pub fn grid(data_shape: &[usize], axes: &[Vec<Option<usize>>]) -> Sources {
    axes.iter().zip(data_shape).fold(vec![Some(0)], |sources, (positions, length)| {
        let mut next = Vec::with_capacity(sources.len() * positions.len());
        for source in sources {
            next.extend(positions.iter().map(|position| Some(source? * length + (*position)?)));
        }
        next
    })
}
