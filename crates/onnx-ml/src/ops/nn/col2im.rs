//! [Col2Im](https://onnx.ai/onnx/operators/onnx__Col2Im.html): the inverse of im2col. The columns
//! of the input are blocks of an image; they are added to the image at their positions. Blocks may
//! overlap.

use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, tensor};
use crate::ops::nn::windows::Windows;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug)]
struct Col2Im {
    /// The node, whose attributes describe the windows.
    node: NodeProto,
}

pub fn col2im(_: &ParsingContext, node: &NodeProto) -> Built {
    operator(node, 3, Col2Im { node: node.clone() })
}

impl Kernel for Col2Im {
    const NAME: &'static str = "Col2Im";
    const CONSTANTS: &'static [usize] = &[1, 2];

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let constant = |index: usize| {
            inputs[index]
                .value
                .as_deref()
                .context("expected constant shapes of image and block, found computed shapes")
        };
        let (image, block) = (lengths(constant(1)?)?, lengths(constant(2)?)?);
        ensure!(!block.contains(&0), "block shape: expected lengths above 0, found {block:?}");
        let size: usize = block.iter().product();
        let blocks: usize = Windows::new(&self.node, block)?.counts(&image)?.iter().product();
        let [batch, rows, columns] = inputs[0].shape.as_slice() else {
            bail!("expected an input of rank 3, found shape {:?}", inputs[0].shape);
        };
        let rows = rows.to_usize()?;
        ensure!(
            rows.is_multiple_of(size) && *columns == blocks.to_dim(),
            "expected an input of shape [batch, multiple of {size}, {blocks}], found {:?}",
            inputs[0].shape
        );
        let shape = [batch.clone(), (rows / size).to_dim()].into_iter();
        let shape = shape.chain(image.iter().map(|length| length.to_dim()));
        Ok(tvec!(Fact::new(inputs[0].datum_type, shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let (image, block) = (lengths(&inputs[1])?, lengths(&inputs[2])?);
        let size: usize = block.iter().product();
        let windows = Windows::new(&self.node, block)?.over(&image)?;
        let (batch, channels) = (inputs[0].shape()[0], inputs[0].shape()[1] / size);
        let columns = elements::<f32>(&inputs[0])?;
        let columns = columns.try_as_plain_ram()?;
        let columns = columns.as_slice::<f32>()?;
        let pixels: usize = image.iter().product();
        let mut images = vec![0.0; batch * channels * pixels];
        for (plane, image) in images.chunks_exact_mut(pixels.max(1)).enumerate() {
            for (column, window) in windows.iter().enumerate() {
                for (element, pixel) in &window.taps {
                    image[*pixel] += columns[(plane * size + element) * windows.len() + column];
                }
            }
        }
        let shape: Vec<usize> = [batch, channels].into_iter().chain(image).collect();
        Ok(vec![tensor(&shape, images)?.cast_to_dt(inputs[0].datum_type())?.into_owned()])
    }
}

/// Returns the elements of a shape.
fn lengths(tensor: &Tensor) -> TractResult<Vec<usize>> {
    let lengths = tensor.cast_to::<i64>()?;
    let lengths = lengths.try_as_plain_ram()?;
    lengths.as_slice::<i64>()?.iter().map(|length| Ok(usize::try_from(*length)?)).collect()
}
