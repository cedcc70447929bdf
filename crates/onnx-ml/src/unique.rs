//! [Unique](https://onnx.ai/onnx/operators/onnx__Unique.html): the different elements of a tensor,
//! or the different slices along an axis; where each first stands, which of them stands where, and
//! how often.

use crate::kernel::{Built, Fact, Kernel, operator, tensor};
use std::cmp::Ordering;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug)]
struct Unique {
    axis: Option<i64>,
    sorted: bool,
    /// How many different ones there are.
    count: Symbol,
}

pub fn unique(context: &ParsingContext, node: &NodeProto) -> Built {
    let unique = Unique {
        axis: node.get_attr_opt("axis")?,
        sorted: node.get_attr_opt("sorted")?.unwrap_or(true),
        count: context.template.symbols.new_with_prefix("unique"),
    };
    operator(node, 1, unique)
}

impl Kernel for Unique {
    const NAME: &'static str = "Unique";

    const OUTPUTS: usize = 4;

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let datum_type = match inputs[0].datum_type {
            DatumType::TDim => DatumType::I64,
            other => other,
        };
        let count: TDim = self.count.clone().into();
        let all = inputs[0].shape.iter().product();
        let (shape, places) = match axis(self.axis, inputs[0].shape.len())? {
            None => (tvec!(count.clone()), all),
            Some(axis) => {
                let mut shape = inputs[0].shape.clone();
                let places = std::mem::replace(&mut shape[axis], count.clone());
                (shape, places)
            }
        };
        let integers = |len: TDim| Fact::new(i64::datum_type(), [len]);
        Ok(tvec!(
            Fact::new(datum_type, shape),
            integers(count.clone()),
            integers(places),
            integers(count),
        ))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let input = &inputs[0];
        let axis = axis(self.axis, input.rank())?;
        match input.datum_type() {
            DatumType::TDim => self.find::<i64>(&*input.cast_to::<i64>()?, axis),
            DatumType::String => self.find::<String>(input, axis),
            DatumType::Bool => self.find::<bool>(input, axis),
            DatumType::F64 => self.find::<f64>(input, axis),
            DatumType::F32 => self.find::<f32>(input, axis),
            DatumType::F16 => self.find::<f16>(input, axis),
            DatumType::I64 => self.find::<i64>(input, axis),
            DatumType::I32 => self.find::<i32>(input, axis),
            DatumType::I16 => self.find::<i16>(input, axis),
            DatumType::I8 => self.find::<i8>(input, axis),
            DatumType::U64 => self.find::<u64>(input, axis),
            DatumType::U32 => self.find::<u32>(input, axis),
            DatumType::U16 => self.find::<u16>(input, axis),
            DatumType::U8 => self.find::<u8>(input, axis),
            found => bail!("expected numbers or strings, but found {found:?}"),
        }
    }
}

fn axis(axis: Option<i64>, rank: usize) -> TractResult<Option<usize>> {
    let Some(axis) = axis else { return Ok(None) };
    let from_start = if axis < 0 { axis.saturating_add(i64::try_from(rank)?) } else { axis };
    let within = usize::try_from(from_start).ok().filter(|axis| *axis < rank);
    within.map(Some).with_context(|| format!("expected an axis of {rank}, but found {axis}"))
}

impl Unique {
    fn find<T: Datum + PartialOrd>(
        &self,
        input: &Tensor,
        axis: Option<usize>,
    ) -> TractResult<TVec<Tensor>> {
        let slices = Slices::<T>::new(input, axis)?;
        let mut order: Vec<usize> = (0..slices.count).collect();
        order.sort_by(|left, right| slices.compare(*left, *right));
        // Where each different one first stands, and which of them stands where.
        let mut firsts: Vec<usize> = vec![];
        let mut which = vec![0; slices.count];
        for place in order {
            let same = firsts.last().is_some_and(|first| slices.compare(*first, place).is_eq());
            if !same {
                firsts.push(place);
            }
            which[place] = firsts.len() - 1;
        }
        if !self.sorted {
            let mut by_place: Vec<usize> = (0..firsts.len()).collect();
            by_place.sort_by_key(|index| firsts[*index]);
            let mut ranks = vec![0; firsts.len()];
            by_place.iter().enumerate().for_each(|(rank, index)| ranks[*index] = rank);
            which.iter_mut().for_each(|index| *index = ranks[*index]);
            firsts.sort_unstable();
        }
        let mut counts = vec![0_i64; firsts.len()];
        which.iter().for_each(|index| counts[*index] += 1);
        let integers = |indices: &[usize]| -> Tensor {
            tensor1(&indices.iter().map(|index| *index as i64).collect::<Vec<_>>())
        };
        let values = slices.take(input.shape(), axis, &firsts)?;
        Ok(tvec!(values, integers(&firsts), integers(&which), tensor1(&counts)))
    }
}

/// A tensor's slices along an axis, or its elements.
struct Slices<'t, T> {
    elements: &'t [T],
    count: usize,
    outer: usize,
    inner: usize,
}

impl<'t, T: Datum + PartialOrd> Slices<'t, T> {
    fn new(input: &'t Tensor, axis: Option<usize>) -> TractResult<Slices<'t, T>> {
        let shape = input.shape();
        let elements = input.try_as_plain_ram()?.as_slice::<T>()?;
        let (count, outer, inner) = match axis {
            None => (elements.len(), 1, 1),
            Some(axis) => {
                (shape[axis], shape[..axis].iter().product(), shape[axis + 1..].iter().product())
            }
        };
        Ok(Slices { elements, count, outer, inner })
    }

    fn parts(&self, index: usize) -> impl Iterator<Item = &'t [T]> {
        let (count, inner, elements) = (self.count, self.inner, self.elements);
        (0..self.outer).map(move |outer| &elements[(outer * count + index) * inner..][..inner])
    }

    /// NaN is equal to itself, and greater than every number.
    fn compare(&self, left: usize, right: usize) -> Ordering {
        let pairs = self.parts(left).zip(self.parts(right));
        let is_nan = |x: &T| x.partial_cmp(x).is_none();
        let mut orders =
            pairs.flat_map(|(left, right)| left.iter().zip(right)).map(|(left, right)| {
                left.partial_cmp(right).unwrap_or_else(|| is_nan(left).cmp(&is_nan(right)))
            });
        orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// The slices at `places`, as a tensor.
    fn take(&self, shape: &[usize], axis: Option<usize>, places: &[usize]) -> TractResult<Tensor> {
        let mut taken = Vec::with_capacity(places.len() * self.outer * self.inner);
        for outer in 0..self.outer {
            for place in places {
                let start = (outer * self.count + place) * self.inner;
                taken.extend_from_slice(&self.elements[start..][..self.inner]);
            }
        }
        let mut shape: TVec<usize> = if axis.is_some() { shape.into() } else { tvec!(0) };
        shape[axis.unwrap_or(0)] = places.len();
        tensor(&shape, taken)
    }
}
