//! [OneHot](https://onnx.ai/onnx/operators/onnx__OneHot.html): adds an axis whose length is the depth, a constant.
//! Along the new axis, the element at the index is the on-value, and all other elements are the off-value. For an index
//! out of range, all elements are the off-value.

use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, tensor};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// Maximum number of elements of the output. Without this limit, a short input could request much memory.
const MAX_ELEMENTS: usize = 1 << 28;

#[derive(Debug)]
struct OneHot {
    axis: i64,
}

pub fn one_hot(_: &ParsingContext, node: &NodeProto) -> Built {
    operator(node, 3, OneHot { axis: node.get_attr_opt("axis")?.unwrap_or(-1) })
}

impl OneHot {
    /// Returns the index of the new axis, for indices of the given rank.
    fn axis(&self, rank: usize) -> TractResult<usize> {
        let axes = rank as i64 + 1;
        let axis = if self.axis < 0 { self.axis + axes } else { self.axis };
        usize::try_from(axis).ok().filter(|axis| *axis <= rank).with_context(|| {
            format!("expected an axis from -{axes} to {rank}, found {}", self.axis)
        })
    }
}

impl Kernel for OneHot {
    const NAME: &'static str = "OneHot";
    const CONSTANTS: &'static [usize] = &[1];

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let [indices, depth, values] = inputs else {
            bail!("expected 3 inputs, found {}", inputs.len())
        };
        for input in [indices, depth] {
            ensure!(input.is_number(), "expected numbers, found {:?}", input.datum_type);
        }
        let depth =
            depth.value.as_ref().context("expected a constant depth, found a computed depth")?;
        let depth = self::depth(&depth.clone().into_tvalue())?;
        let mut shape = indices.shape.clone();
        shape.insert(self.axis(shape.len())?, depth.to_dim());
        Ok(tvec!(Fact::new(values.datum_type, shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let datum_type = inputs[2].datum_type();
        Ok(vec![dispatch_datum!(Self::fill(datum_type)(self, inputs))?])
    }
}

impl OneHot {
    /// Computes the output for values of type `T`.
    fn fill<T: Datum + Clone>(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let depth = depth(&inputs[1])?;
        let values = inputs[2].try_as_plain_ram()?;
        let [off, on] = values.as_slice::<T>()? else {
            bail!("expected 2 values (off and on), found {}", inputs[2].len());
        };
        let axis = self.axis(inputs[0].rank())?;
        let inner: usize = inputs[0].shape()[axis..].iter().product();
        let mut shape: TVec<usize> = inputs[0].shape().into();
        shape.insert(axis, depth);
        let indices = elements::<i64>(&inputs[0])?;
        let indices = indices.try_as_plain_ram()?;
        let indices = indices.as_slice::<i64>()?;
        let len = indices.len().checked_mul(depth).filter(|len| *len <= MAX_ELEMENTS);
        let len = len.with_context(|| {
            let (indices, depth) = (indices.len(), depth);
            format!(
                "expected at most {MAX_ELEMENTS} elements, found {indices} indices of depth {depth}"
            )
        })?;
        let mut out = vec![off.clone(); len];
        for (position, index) in indices.iter().enumerate() {
            let index = if *index < 0 { index.saturating_add(depth as i64) } else { *index };
            if let Some(index) = usize::try_from(index).ok().filter(|index| *index < depth) {
                out[(position / inner * depth + index) * inner + position % inner] = on.clone();
            }
        }
        tensor(&shape, out)
    }
}

/// Reads the depth.
fn depth(value: &TValue) -> TractResult<usize> {
    let depth = elements::<i64>(value)?;
    let depth = depth.try_as_plain_ram()?;
    match depth.as_slice::<i64>()? {
        [depth] if *depth >= 0 => Ok(usize::try_from(*depth)?),
        depth => bail!("expected a depth of 0 or more, found {depth:?}"),
    }
}
