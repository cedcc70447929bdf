//! [MaxUnpool](https://onnx.ai/onnx/operators/onnx__MaxUnpool.html): writes the results of MaxPool
//! back to the positions that MaxPool returned, with zeros elsewhere. If an output shape is given,
//! positions count in that shape, as in ONNX Runtime.

use crate::operator::kernel::{Built, Fact, Kernel, elements, tensor, variadic};
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
    let fits = strides.len() == axes && pads.len() == 2 * axes;
    node.expect(fits, || format!("strides and pads for {axes} axes"))?;
    variadic(node, MaxUnpool { kernel, strides, pads })
}

impl Kernel for MaxUnpool {
    const NAME: &'static str = "MaxUnpool";
    const CONSTANTS: &'static [usize] = &[2];

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let (values, places) = (&inputs[0], &inputs[1]);
        ensure!(values.shape == places.shape, "expected as many places as values");
        let (axes, rank) = (self.kernel.len(), values.shape.len());
        ensure!(rank == axes + 2, "expected {} dimensions, found {rank}", axes + 2);
        let mut shape = values.shape.clone();
        if let Some(wanted) = inputs.get(2) {
            let wanted = wanted.value.as_ref().context("expected a constant shape")?;
            let wanted = wanted.cast_to::<TDim>()?;
            let wanted = wanted.try_as_plain_ram()?.as_slice::<TDim>()?.to_vec();
            ensure!(wanted.len() == rank, "expected a shape of {rank} dimensions");
            shape[2..].clone_from_slice(&wanted[2..]);
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
        let (values, places) = (elements::<f32>(&inputs[0])?, elements::<i64>(&inputs[1])?);
        let (values, places) = (values.try_as_plain_ram()?, places.try_as_plain_ram()?);
        let mut output = vec![0.0; shape.iter().product()];
        let count = output.len();
        for (value, place) in values.as_slice::<f32>()?.iter().zip(places.as_slice::<i64>()?) {
            let target = usize::try_from(*place).ok().and_then(|place| output.get_mut(place));
            *target.with_context(|| format!("expected places below {count}, found {place}"))? =
                *value;
        }
        Ok(vec![tensor(&shape, output)?.cast_to_dt(inputs[0].datum_type())?.into_owned()])
    }
}
