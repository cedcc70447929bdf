//! [CenterCropPad](https://onnx.ai/onnx/operators/onnx__CenterCropPad.html): crops each axis to
//! the requested length or pads it with zeros, equally on both sides.

use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{axis, elements};
use crate::ops::tensor::gathered::{grid, pick};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug)]
struct CenterCropPad {
    /// The axes of the requested lengths; `None` means all axes.
    axes: Option<Vec<i64>>,
}

pub fn center_crop_pad(_: &ParsingContext, node: &NodeProto) -> Built {
    operator(node, 2, CenterCropPad { axes: node.get_attr_opt_vec("axes")? })
}

impl CenterCropPad {
    /// Returns the shape of the output: the shape of the data with the requested lengths.
    fn shape<D: Clone>(&self, data: &[D], lengths: &[D]) -> TractResult<TVec<D>> {
        let axes = match &self.axes {
            Some(axes) => axes.iter().map(|found| axis(*found, data.len())).collect(),
            None => Ok((0..data.len()).collect()),
        };
        let axes: Vec<usize> = axes?;
        let (expected, found) = (axes.len(), lengths.len());
        ensure!(expected == found, "expected {expected} lengths, found {found}");
        let mut shape: TVec<D> = data.iter().cloned().collect();
        for (axis, length) in axes.into_iter().zip(lengths) {
            shape[axis] = length.clone();
        }
        Ok(shape)
    }
}

impl Kernel for CenterCropPad {
    const NAME: &'static str = "CenterCropPad";
    const CONSTANTS: &'static [usize] = &[1];

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let lengths = inputs[1]
            .value
            .as_ref()
            .context("expected a constant shape, found a computed shape")?;
        let lengths = lengths.cast_to::<TDim>()?;
        let lengths = lengths.try_as_plain_ram()?;
        let shape = self.shape(&inputs[0].shape, lengths.as_slice::<TDim>()?)?;
        Ok(tvec!(Fact::new(inputs[0].datum_type, shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let data_shape = inputs[0].shape();
        let lengths = elements::<i64>(&inputs[1])?;
        let lengths = lengths.try_as_plain_ram()?;
        let lengths = lengths.as_slice::<i64>()?.iter().map(|length| Ok(usize::try_from(*length)?));
        let shape = self.shape(data_shape, &lengths.collect::<TractResult<Vec<usize>>>()?)?;
        let axes: Vec<Vec<Option<usize>>> = data_shape.iter().zip(&shape).map(centered).collect();
        Ok(vec![pick(&inputs[0], &shape, &grid(data_shape, &axes), None)?])
    }
}

/// Returns, for each index along an axis of the output, the index in the input, or `None` for
/// padding.
fn centered((from, to): (&usize, &usize)) -> Vec<Option<usize>> {
    let (cut, filled) = (from.saturating_sub(*to) / 2, to.saturating_sub(*from) / 2);
    (0..*to)
        .map(|position| (position + cut).checked_sub(filled).filter(|source| source < from))
        .collect()
}
