//! [ReverseSequence](https://onnx.ai/onnx/operators/onnx__ReverseSequence.html): reverses each
//! sequence up to its length. The steps after the end of a sequence stay in place.

use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::elements;
use crate::ops::tensor::gathered::pick;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug)]
struct ReverseSequence {
    /// `true` if the batch is the first axis and time is the second axis. `false` if time is the first axis and the
    /// batch is the second axis.
    batch_first: bool,
}

pub fn reverse_sequence(_: &ParsingContext, node: &NodeProto) -> Built {
    let batch = node.get_attr_opt::<i64>("batch_axis")?.unwrap_or(1);
    let time = node.get_attr_opt::<i64>("time_axis")?.unwrap_or(0);
    let batch_first = match (batch, time) {
        (0, 1) => true,
        (1, 0) => false,
        _ => {
            bail!("expected batch_axis and time_axis 0 and 1 or 1 and 0, found {batch} and {time}")
        }
    };
    operator(node, 2, ReverseSequence { batch_first })
}

impl Kernel for ReverseSequence {
    const NAME: &'static str = "ReverseSequence";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let shape = &inputs[0].shape;
        ensure!(shape.len() >= 2, "expected an input of rank 2 or more, found shape {shape:?}");
        let batch = &shape[usize::from(!self.batch_first)];
        let is_expected = inputs[1].shape.as_slice() == [batch.clone()];
        ensure!(is_expected, "expected {batch} lengths, found shape {:?}", inputs[1].shape);
        Ok(tvec!(Fact::new(inputs[0].datum_type, shape.iter().cloned())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let shape = inputs[0].shape();
        let inner: usize = shape[2..].iter().product();
        let steps = shape[usize::from(self.batch_first)];
        let lengths = elements::<i64>(&inputs[1])?;
        let lengths = lengths.try_as_plain_ram()?;
        let lengths = lengths
            .as_slice::<i64>()?
            .iter()
            .map(|length| {
                let found = usize::try_from(*length).ok().filter(|length| *length <= steps);
                found.with_context(|| format!("expected at most {steps} steps, found {length}"))
            })
            .collect::<TractResult<Vec<usize>>>()?;
        let mut sources = Vec::with_capacity(inputs[0].len());
        for first in 0..shape[0] {
            for second in 0..shape[1] {
                let (batch, step) =
                    if self.batch_first { (first, second) } else { (second, first) };
                let length = lengths[batch];
                let step = if step < length { length - 1 - step } else { step };
                let (first, second) = if self.batch_first { (batch, step) } else { (step, batch) };
                let start = (first * shape[1] + second) * inner;
                sources.extend((start..start + inner).map(Some));
            }
        }
        Ok(vec![pick(&inputs[0], shape, &sources, None)?])
    }
}
