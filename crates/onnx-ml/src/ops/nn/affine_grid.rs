//! [AffineGrid](https://onnx.ai/onnx/operators/onnx__AffineGrid.html): the sampling grid of an
//! affine transformation. The output has, for each pixel of an image of the requested size, the
//! transformed coordinates of the pixel. Coordinates are normalized: -1 and 1 are opposite edges of
//! the image.

use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, tensor};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_ndarray::Dimension;

#[derive(Debug)]
struct AffineGrid {
    /// If `true`, the coordinates -1 and 1 are the centers of the first and the last pixel. If `false`, the coordinates
    /// -1 and 1 are the outer edges of these pixels.
    align_corners: bool,
}

pub fn affine_grid(_: &ParsingContext, node: &NodeProto) -> Built {
    let align_corners = node.get_attr_opt::<i64>("align_corners")?.unwrap_or(0) != 0;
    operator(node, 2, AffineGrid { align_corners })
}

impl Kernel for AffineGrid {
    const NAME: &'static str = "AffineGrid";
    const CONSTANTS: &'static [usize] = &[1];

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let size = inputs[1]
            .value
            .as_ref()
            .context("expected a constant size, found a computed size")?
            .cast_to::<TDim>()?;
        let size = size.try_as_plain_ram()?.as_slice::<TDim>()?.to_vec();
        let [batch, _, pixels @ ..] = &*size else {
            bail!("expected a size of at least 2 elements, found {size:?}");
        };
        let axes = pixels.len();
        ensure!(matches!(axes, 2 | 3), "expected 2 or 3 spatial dimensions, found {axes}");
        let expected = [batch.clone(), axes.to_dim(), (axes + 1).to_dim()];
        let found = &inputs[0].shape;
        ensure!(
            found[..] == expected,
            "expected affine matrices of shape {expected:?}, found {found:?}"
        );
        let shape = [batch].into_iter().chain(pixels).cloned().chain([axes.to_dim()]);
        Ok(tvec!(Fact::new(inputs[0].datum_type, shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let size = elements::<i64>(&inputs[1])?;
        let size = size.try_as_plain_ram()?.as_slice::<i64>()?.to_vec();
        let lengths = size[2..].iter().map(|length| Ok(usize::try_from(*length)?));
        let lengths = lengths.collect::<TractResult<Vec<usize>>>()?;
        let axes = lengths.len();
        let matrices = elements::<f64>(&inputs[0])?;
        let matrices = matrices.try_as_plain_ram()?;
        let mut grid = vec![];
        for matrix in matrices.as_slice::<f64>()?.chunks_exact(axes * (axes + 1)) {
            for pixel in tract_ndarray::indices(&*lengths) {
                // The last index of a pixel is x, but the first column of an affine matrix belongs
                // to x.
                let steps = pixel.slice().iter().zip(&lengths).rev();
                let coordinates: Vec<f64> =
                    steps.map(|(step, length)| self.coordinate(*step, *length)).collect();
                grid.extend(matrix.chunks_exact(axes + 1).map(|row| {
                    let product: f64 = row.iter().zip(&coordinates).map(|(a, b)| a * b).sum();
                    product + row[axes]
                }));
            }
        }
        let shape: Vec<usize> =
            [inputs[0].shape()[0]].into_iter().chain(lengths).chain([axes]).collect();
        Ok(vec![tensor(&shape, grid)?.cast_to_dt(inputs[0].datum_type())?.into_owned()])
    }
}

impl AffineGrid {
    /// Returns the normalized coordinate of pixel `step` along an axis of `length` pixels.
    fn coordinate(&self, step: usize, length: usize) -> f64 {
        match (self.align_corners, length) {
            (true, 1) => -1.0,
            (true, length) => 2.0 * step as f64 / (length - 1) as f64 - 1.0,
            (false, length) => (2.0 * step as f64 + 1.0) / length as f64 - 1.0,
        }
    }
}
