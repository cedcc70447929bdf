//! [Unique](https://onnx.ai/onnx/operators/onnx__Unique.html): the distinct elements of a tensor, or the distinct
//! slices along an axis. Also returns the index of the first occurrence of each distinct element or slice, the inverse
//! mapping and the counts.

use crate::operator::adapter::Built;
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use crate::operator::tensors::{axis, tensor};
use crate::ops::tensor::gathered::{grid, pick};
use std::cmp::Ordering;
use tract_onnx::model::{ParsingContext, optional_outputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Unique {
    axis: Option<i64>,
    /// `true` if the distinct elements are sorted, `false` if they are in the order of their first
    /// occurrence.
    sorted: bool,
    /// Indices of the outputs that the node has. The operator has four outputs. Output 0 is the distinct elements.
    /// Output 1 is the index of the first occurrence of each distinct element. Output 2 is, for each element of the
    /// input, the index of the equal distinct element. Output 3 is the counts.
    outputs: Vec<usize>,
    /// Stands for the number of distinct elements, which is only known at run time.
    count: Symbol,
}

pub fn unique(context: &ParsingContext, node: &NodeProto) -> Built {
    let outputs = optional_outputs(node).take(4).enumerate();
    let unique = Unique {
        axis: node.get_attr_opt("axis")?,
        sorted: node.get_attr_opt::<i64>("sorted")?.unwrap_or(1) != 0,
        outputs: outputs.filter_map(|(index, output)| output.map(|_| index)).collect(),
        count: context.template.symbols.new_with_prefix("unique"),
    };
    lower(unique)
}

impl Lowering for Unique {
    fn name(&self) -> StaticName {
        "Unique".into()
    }

    fn outputs(&self) -> usize {
        self.outputs.len()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        for (output, index) in outputs.iter().zip(&self.outputs) {
            match (index, self.axis) {
                (0, Some(_)) => solver.equals(&inputs[0].rank, &output.rank)?,
                _ => solver.equals(&output.rank, 1)?,
            }
            match index {
                0 => solver.equals(&inputs[0].datum_type, &output.datum_type)?,
                _ => solver.equals(&output.datum_type, i64::datum_type())?,
            }
        }
        Ok(())
    }

    fn wire(
        &self,
        Wiring { prefix, model }: Wiring,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}

impl Op for Unique {
    fn name(&self) -> StaticName {
        "Unique".into()
    }

    fn mints_runtime_symbols(&self) -> bool {
        true
    }

    op_as_typed_op!();
}

impl EvalOp for Unique {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let data = &*inputs[0];
        let axis = self.axis.map(|found| axis(found, data.rank())).transpose()?;
        let found = match data.datum_type() {
            DatumType::String => groups::<String>(data, axis, self.sorted),
            DatumType::Bool => groups::<bool>(data, axis, self.sorted),
            DatumType::TDim => groups::<i64>(&*data.cast_to::<i64>()?, axis, self.sorted),
            number => dispatch_numbers!(groups(number)(data, axis, self.sorted)),
        }?;
        let integers = |elements: Vec<usize>| {
            tensor(&[elements.len()], elements.into_iter().map(|element| element as i64).collect())
        };
        let outputs = self.outputs.iter().map(|index| match index {
            0 => values(data, axis, &found.first),
            1 => integers(found.first.clone()),
            2 => integers(found.group.clone()),
            _ => integers(found.count.clone()),
        });
        outputs.map(|output| Ok(output?.into_tvalue())).collect()
    }
}

impl TypedOp for Unique {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let data = inputs[0];
        let axis = self.axis.map(|found| axis(found, data.rank())).transpose()?;
        let count = TDim::from(self.count.clone());
        let facts = self.outputs.iter().map(|index| match (index, axis) {
            (0, Some(axis)) => {
                let mut shape: TVec<TDim> = data.shape.iter().cloned().collect();
                shape[axis] = count.clone();
                data.datum_type.fact(&*shape)
            }
            (0, None) => data.datum_type.fact([count.clone()]),
            (2, Some(axis)) => i64::fact([data.shape[axis].clone()]),
            (2, None) => i64::fact([data.shape.volume()]),
            _ => i64::fact([count.clone()]),
        });
        Ok(facts.collect())
    }

    as_op!();
}

/// Groups of equal elements (or slices), in the order of the output.
struct Groups {
    /// Index of the first element of each group.
    first: Vec<usize>,
    /// Number of elements of each group.
    count: Vec<usize>,
    /// Index of the group of each element.
    group: Vec<usize>,
}

/// Groups equal elements, or equal slices along `axis`. The groups are sorted if `sorted` is
/// `true`, and in the order of their first elements otherwise.
fn groups<T: Datum + PartialOrd>(
    data: &Tensor,
    axis: Option<usize>,
    sorted: bool,
) -> TractResult<Groups> {
    let plain = data.try_as_plain_ram()?;
    let elements = plain.as_slice::<T>()?;
    let (length, inner) = match axis {
        Some(axis) => (data.shape()[axis], data.shape()[axis + 1..].iter().product::<usize>()),
        None => (data.len(), 1),
    };
    // The elements of a slice. Without an axis, a slice is one element.
    let slice = |position: usize| {
        elements.chunks(inner.max(1)).skip(position).step_by(length.max(1)).flatten()
    };
    let compare = |a: &usize, b: &usize| {
        let mut pairs = slice(*a).zip(slice(*b));
        pairs
            .find_map(|(a, b)| order(a, b).filter(|order| order.is_ne()))
            .unwrap_or(Ordering::Equal)
    };
    let mut order: Vec<usize> = (0..length).collect();
    order.sort_by(|a, b| compare(a, b));
    let mut runs: Vec<&[usize]> = order.chunk_by(|a, b| compare(a, b).is_eq()).collect();
    if !sorted {
        runs.sort_by_key(|run| run[0]);
    }
    let mut group = vec![0; length];
    for (index, run) in runs.iter().enumerate() {
        run.iter().for_each(|position| group[*position] = index);
    }
    let first = runs.iter().map(|run| run[0]).collect();
    Ok(Groups { first, count: runs.iter().map(|run| run.len()).collect(), group })
}

/// Compares values. NaN is equal to NaN and greater than every number.
fn order<T: PartialOrd>(a: &T, b: &T) -> Option<Ordering> {
    a.partial_cmp(b).or_else(|| Some((a.partial_cmp(a).is_none()).cmp(&b.partial_cmp(b).is_none())))
}

/// Returns the first output: the elements or slices at the indices `first`.
fn values(data: &Tensor, axis: Option<usize>, first: &[usize]) -> TractResult<Tensor> {
    let first = first.iter().copied().map(Some);
    let Some(axis) = axis else {
        return pick(data, &[first.len()], &first.collect::<Vec<_>>(), None);
    };
    let mut shape = data.shape().to_vec();
    shape[axis] = first.len();
    let mut axes: Vec<Vec<Option<usize>>> =
        data.shape().iter().map(|length| (0..*length).map(Some).collect()).collect();
    axes[axis] = first.collect();
    pick(data, &shape, &grid(data.shape(), &axes), None)
}
