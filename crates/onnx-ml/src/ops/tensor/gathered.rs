//! Tensors made of another's elements, whatever their type.

use tract_onnx::tract_hir::internal::*;

/// For each element of an output, whence it is taken; or nowhere, where it is the filling.
pub type Sources = Vec<Option<usize>>;

/// The output of `shape` whose elements are those of `data` at `sources`, else `filling`.
///
/// # Errors
///
/// Where a source is beyond the data, or the filling is not one element of its type.
pub fn pick(
    data: &Tensor,
    shape: &[usize],
    sources: &[Option<usize>],
    filling: Option<&Tensor>,
) -> TractResult<Tensor> {
    dispatch_datum!(pick_as(data.datum_type())(data, shape, sources, filling))
}

fn pick_as<T: Datum>(
    data: &Tensor,
    shape: &[usize],
    sources: &[Option<usize>],
    filling: Option<&Tensor>,
) -> TractResult<Tensor> {
    let filling = match filling {
        Some(filling) => {
            let filling = filling.cast_to::<T>()?;
            let filling = filling.try_as_plain_ram()?.as_slice::<T>()?.first().cloned();
            filling.context("expected an element to fill up with, found none")?
        }
        None => T::default(),
    };
    let data = data.try_as_plain_ram()?;
    let data = data.as_slice::<T>()?;
    let elements = sources
        .iter()
        .map(|source| match source {
            Some(source) => data.get(*source).cloned().context("expected a source in the data"),
            None => Ok(filling.clone()),
        })
        .collect::<TractResult<Vec<T>>>()?;
    Ok(tract_ndarray::ArrayD::from_shape_vec(shape, elements)?.into_tensor())
}

/// The sources in data of shape `from`, where `axes` gives, for each axis of the output, the
/// positions on that axis of the data.
pub fn grid(from: &[usize], axes: &[Vec<Option<usize>>]) -> Sources {
    axes.iter().zip(from).fold(vec![Some(0)], |sources, (positions, length)| {
        let mut next = Vec::with_capacity(sources.len() * positions.len());
        for source in sources {
            next.extend(positions.iter().map(|position| Some(source? * length + (*position)?)));
        }
        next
    })
}
