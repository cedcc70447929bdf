//! [Compress](https://onnx.ai/onnx/operators/onnx__Compress.html): the elements, or the slices
//! along an axis, for which a condition holds that may be known at run time only.

use crate::kernel::{Built, Fact, Kernel, operator, tensor};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug)]
struct Compress {
    axis: Option<i64>,
    /// For how many it holds.
    count: Symbol,
}

pub fn compress(context: &ParsingContext, node: &NodeProto) -> Built {
    let count = context.template.symbols.new_with_prefix("compressed");
    operator(node, 2, Compress { axis: node.get_attr_opt("axis")?, count })
}

impl Compress {
    fn axis(&self, rank: usize) -> TractResult<Option<usize>> {
        let Some(axis) = self.axis else { return Ok(None) };
        let from_start = if axis < 0 { axis.saturating_add(i64::try_from(rank)?) } else { axis };
        let within = usize::try_from(from_start).ok().filter(|axis| *axis < rank);
        within.map(Some).with_context(|| format!("expected an axis of {rank}, but found {axis}"))
    }
}

impl Kernel for Compress {
    const NAME: &'static str = "Compress";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let (data, condition) = (&inputs[0], &inputs[1]);
        let found = condition.datum_type;
        ensure!(
            found == bool::datum_type(),
            "expected booleans as a condition, but found {found:?}"
        );
        let mut shape = data.shape.clone();
        match self.axis(shape.len())? {
            Some(axis) => shape[axis] = self.count.clone().into(),
            None => shape = tvec!(self.count.clone().into()),
        }
        Ok(tvec!(Fact::new(data.datum_type, shape)))
    }

    fn mints_symbols(&self) -> bool {
        true
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let data = &inputs[0];
        let axis = self.axis(data.rank())?;
        let condition = inputs[1].try_as_plain_ram()?;
        let holds = condition.as_slice::<bool>()?.iter().enumerate().filter(|(_, holds)| **holds);
        let kept: Vec<usize> = holds.map(|(index, _)| index).collect();
        Ok(tvec!(dispatch_datum!(keep(data.datum_type())(data, axis, &kept))?))
    }
}

fn keep<T: Datum>(data: &TValue, axis: Option<usize>, kept: &[usize]) -> TractResult<Tensor> {
    let shape = data.shape();
    let elements = data.try_as_plain_ram()?;
    let elements = elements.as_slice::<T>()?;
    let (count, inner) = match axis {
        None => (elements.len(), 1),
        Some(axis) => (shape[axis], shape[axis + 1..].iter().product()),
    };
    let outside = kept.iter().find(|index| **index >= count);
    ensure!(outside.is_none(), "expected a condition of {count} or less, but found {outside:?}");
    let slices = elements
        .chunks_exact((count * inner).max(1))
        .flat_map(|slices| kept.iter().flat_map(move |index| &slices[index * inner..][..inner]));
    let mut kept_shape: TVec<usize> = if axis.is_some() { shape.into() } else { tvec!(0) };
    kept_shape[axis.unwrap_or(0)] = kept.len();
    tensor(&kept_shape, slices.cloned().collect())
}
