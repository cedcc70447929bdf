//! [MaxUnpool](https://onnx.ai/onnx/operators/onnx__MaxUnpool.html): writes the results of
//! `MaxPool` to the positions that `MaxPool` returned, and zeros elsewhere. A position is an index
//! in the flattened output. If the optional input with the output's shape is present, positions are
//! indices in a tensor of that shape, as in ONNX Runtime.

use crate::operator::adapter::{Built, variadic};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, tensor};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug)]
struct MaxUnpool {
    kernel: Vec<usize>,
    strides: Vec<usize>,
    pads: Vec<usize>,
}

pub fn max_unpool(_: &ParsingContext, node: &NodeProto) -> Built {
    let kernel: Vec<usize> = node.get_attr_vec("kernel_shape")?;
    let axes = kernel.len();
    let strides = node.get_attr_opt_vec("strides")?.unwrap_or_else(|| vec![1; axes]);
    let pads = node.get_attr_opt_vec("pads")?.unwrap_or_else(|| vec![0; 2 * axes]);
    let has_all = strides.len() == axes && pads.len() == 2 * axes;
    node.expect(has_all, || {
        let (strides, pads) = (strides.len(), pads.len());
        format!("{axes} strides and {} pads, found {strides} and {pads}", 2 * axes)
    })?;
    variadic(node, MaxUnpool { kernel, strides, pads })
}

impl Kernel for MaxUnpool {
    const NAME: &'static str = "MaxUnpool";
    const CONSTANTS: &'static [usize] = &[2];

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let (values, positions) = (&inputs[0], &inputs[1]);
        ensure!(
            values.shape == positions.shape,
            "expected indices of shape {:?}, found {:?}",
            values.shape,
            positions.shape
        );
        let (axes, rank) = (self.kernel.len(), values.shape.len());
        ensure!(rank == axes + 2, "expected an input of rank {}, found rank {rank}", axes + 2);
        let mut shape = values.shape.clone();
        if let Some(output_shape) = inputs.get(2) {
            let output_shape = output_shape
                .value
                .as_ref()
                .context("expected a constant output shape, found a computed shape")?;
            let output_shape = output_shape.cast_to::<TDim>()?;
            let output_shape = output_shape.try_as_plain_ram()?.as_slice::<TDim>()?.to_vec();
            ensure!(
                output_shape.len() == rank,
                "expected an output shape of rank {rank}, found {output_shape:?}"
            );
            shape[2..].clone_from_slice(&output_shape[2..]);
        } else {
            for (axis, length) in shape[2..].iter_mut().enumerate() {
                let last = (length.clone() - 1) * self.strides[axis] + self.kernel[axis];
                *length = last - self.pads[axis] - self.pads[axis + axes];
            }
        }
        Ok(tvec!(Fact::new(values.datum_type, shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let facts = inputs.iter().map(|input| {
            let shape = input.shape().iter().map(|length| length.to_dim());
            let value = Some(input.clone().into_arc_tensor());
            Fact { value, ..Fact::new(input.datum_type(), shape) }
        });
        let shape = self.outputs(&facts.collect::<Vec<_>>())?.remove(0).shape;
        let shape = shape.iter().map(|length| Ok(length.to_usize()?));
        let shape = shape.collect::<TractResult<Vec<usize>>>()?;
        let (values, positions) = (elements::<f32>(&inputs[0])?, elements::<i64>(&inputs[1])?);
        let (values, positions) = (values.try_as_plain_ram()?, positions.try_as_plain_ram()?);
        let mut output = vec![0.0; shape.iter().product()];
        let count = output.len();
        for (value, position) in values.as_slice::<f32>()?.iter().zip(positions.as_slice::<i64>()?)
        {
            let target =
                usize::try_from(*position).ok().and_then(|position| output.get_mut(position));
            *target
                .with_context(|| format!("expected indices below {count}, found {position}"))? =
                *value;
        }
        Ok(vec![tensor(&shape, output)?.cast_to_dt(inputs[0].datum_type())?.into_owned()])
    }
}
