//! [TensorScatter](https://onnx.ai/onnx/operators/onnx__TensorScatter.html): writes an update into
//! the sequence axis of a cache of keys or values. Each row of the batch has its own start index.

use crate::operator::adapter::{Built, variadic};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{axis, elements};
use crate::ops::tensor::gathered::pick;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug)]
struct TensorScatter {
    axis: i64,
    /// `true` if an update that passes the end of the axis continues at the start of the axis.
    circular: bool,
}

pub fn tensor_scatter(_: &ParsingContext, node: &NodeProto) -> Built {
    let circular = match node.get_attr_opt("mode")?.unwrap_or("linear") {
        "linear" => false,
        "circular" => true,
        found => bail!("expected mode linear or circular, found {found}"),
    };
    let found = node.input.iter().filter(|name| !name.is_empty()).count();
    node.expect(matches!(found, 2 | 3), || format!("2 or 3 inputs, found {found}"))?;
    variadic(node, TensorScatter { axis: node.get_attr_opt("axis")?.unwrap_or(-2), circular })
}

impl Kernel for TensorScatter {
    const NAME: &'static str = "TensorScatter";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let (cache, update) = (&inputs[0], &inputs[1]);
        let axis = axis(self.axis, cache.shape.len())?;
        ensure!(axis > 0, "expected an axis after the axis of the batch, found axis 0");
        let mut expected = cache.shape.clone();
        expected[axis] = update
            .shape
            .get(axis)
            .with_context(|| {
                let (cache, update) = (&cache.shape, &update.shape);
                format!("expected an update of the rank of {cache:?}, found {update:?}")
            })?
            .clone();
        let is_expected = update.shape == expected && update.datum_type == cache.datum_type;
        ensure!(is_expected, "expected an update like {cache:?}, found {update:?}");
        if let Some(indices) = inputs.get(2) {
            let is_expected = indices.shape[..] == cache.shape[..1];
            ensure!(
                is_expected,
                "expected an index for each of {} rows, found shape {:?}",
                cache.shape[0],
                indices.shape
            );
        }
        Ok(tvec!(Fact::new(cache.datum_type, cache.shape.iter().cloned())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let shape = inputs[0].shape();
        let indices: Vec<i64> = match inputs.get(2) {
            Some(indices) => elements::<i64>(indices)?.try_as_plain_ram()?.as_slice()?.to_vec(),
            None => vec![0; shape[0]],
        };
        let axis = axis(self.axis, shape.len())?;
        let (length, steps) = (shape[axis], inputs[1].shape()[axis]);
        ensure!(length > 0 || steps == 0, "expected a cache of at least one step, found none");
        let outer: usize = shape[1..axis].iter().product();
        let inner: usize = shape[axis + 1..].iter().product();
        // Each element of the output has a source: an index in the elements of the cache followed
        // by the elements of the update. Initially, the source is the element of the cache at the same position.
        let cached = inputs[0].len();
        let mut sources: Vec<Option<usize>> = (0..cached).map(Some).collect();
        for (row, index) in indices.into_iter().enumerate() {
            let in_range =
                |start: &usize| self.circular || start.checked_add(steps) <= Some(length);
            let start = usize::try_from(index).ok().filter(in_range).with_context(|| {
                format!("expected {steps} steps to fit in {length}, found start index {index}")
            })?;
            for line in row * outer..(row + 1) * outer {
                for step in 0..steps {
                    let target = (line * length + (start % length + step) % length) * inner;
                    let source = cached + (line * steps + step) * inner;
                    for (target, source) in sources[target..target + inner].iter_mut().zip(source..)
                    {
                        *target = Some(source);
                    }
                }
            }
        }
        let flat = |index: usize| {
            let tensor = inputs[index].clone().into_tensor();
            let length = tensor.len();
            tensor.into_shape(&[length])
        };
        let both = Tensor::stack_tensors(0, &[flat(0)?, flat(1)?])?;
        Ok(vec![pick(&both, shape, &sources, None)?])
    }
}
