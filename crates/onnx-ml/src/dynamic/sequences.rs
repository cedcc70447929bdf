//! Operators whose inputs or outputs are [sequences](https://onnx.ai/onnx/intro/concepts.html) or
//! optional values.

use crate::dynamic::graph::Node;
use crate::dynamic::value::Value;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

/// Operators on sequences and optional values, which this module computes because tract has no such types.
pub const OPERATORS: [&str; 12] = [
    "ConcatFromSequence",
    "Optional",
    "OptionalGetElement",
    "OptionalHasElement",
    "SequenceAt",
    "SequenceConstruct",
    "SequenceEmpty",
    "SequenceErase",
    "SequenceInsert",
    "SequenceLength",
    "SequenceMap",
    "SplitToSequence",
];

/// Computes the outputs of a node whose operator is one of [`OPERATORS`] and has no subgraphs.
///
/// # Errors
///
/// Returns an error if the operator is unknown or rejects the inputs.
pub fn evaluate(node: &Node, inputs: &[Option<Value>]) -> TractResult<Vec<Value>> {
    let optional = |index: usize| inputs.get(index).and_then(Option::as_ref);
    let input = |index: usize| {
        optional(index).with_context(|| format!("expected input {index}, found none"))
    };
    let output = match node.proto.op_type.as_str() {
        "SequenceEmpty" => Value::Sequence(vec![]),
        "SequenceConstruct" => {
            let elements = inputs.iter().cloned().collect::<Option<_>>();
            Value::Sequence(elements.context("expected an element for each input")?)
        }
        "SequenceAt" => {
            let elements = input(0)?.sequence()?;
            elements[position(input(1)?, elements.len())?].clone()
        }
        "SequenceLength" => tensor(tensor0(input(0)?.sequence()?.len() as i64)),
        "SequenceInsert" => {
            let mut elements = input(0)?.sequence()?.to_vec();
            let end = elements.len();
            // The new element can also be inserted after the last element.
            let position = optional(2).map(|index| position(index, end + 1)).transpose()?;
            elements.insert(position.unwrap_or(end), input(1)?.clone());
            Value::Sequence(elements)
        }
        "SequenceErase" => {
            let mut elements = input(0)?.sequence()?.to_vec();
            ensure!(!elements.is_empty(), "expected an element to erase, found none");
            let last = elements.len() - 1;
            let position = optional(1).map(|index| position(index, last + 1)).transpose()?;
            elements.remove(position.unwrap_or(last));
            Value::Sequence(elements)
        }
        "SplitToSequence" => split(node, input(0)?.tensor()?, optional(1))?,
        "ConcatFromSequence" => concat(node, input(0)?.sequence()?)?,
        "Optional" => match optional(0) {
            Some(Value::Optional(value)) => Value::Optional(value.clone()),
            value => Value::Optional(value.cloned().map(Box::new)),
        },
        "OptionalHasElement" => {
            let is_empty = matches!(optional(0), None | Some(Value::Optional(None)));
            tensor(tensor0(!is_empty))
        }
        "OptionalGetElement" => match input(0)? {
            Value::Optional(Some(value)) => (**value).clone(),
            Value::Optional(None) => bail!("expected an element, found an empty optional value"),
            value => value.clone(),
        },
        other => bail!("expected a known operator, found {other}"),
    };
    Ok(vec![output])
}

/// Returns a value that is a tensor.
fn tensor(tensor: Tensor) -> Value {
    Value::Tensor(tensor.into_tvalue())
}

/// Returns the index of an element. A negative index counts from the end.
fn position(index: &Value, len: usize) -> TractResult<usize> {
    let found = index.scalar::<i64>()?;
    let start = if found < 0 { len as i64 } else { 0 };
    let position = usize::try_from(found + start).ok().filter(|position| *position < len);
    position.with_context(|| format!("expected an index of {len} elements, found {found}"))
}

/// Splits a tensor along the attribute `axis` into a sequence of slices. `split` contains the lengths of the slices. If
/// `split` is `None`, each slice has length 1, and the axis is removed from the slices unless `keepdims` is set.
fn split(node: &Node, tensor: &TValue, split: Option<&Value>) -> TractResult<Value> {
    let axis = node.proto.get_attr_opt::<i64>("axis")?.unwrap_or(0);
    let axis = crate::operator::tensors::axis(axis, tensor.rank())?;
    let len = tensor.shape()[axis];
    let lens: Vec<usize> = match split {
        None => vec![1; len],
        Some(split) => {
            let split = split.tensor()?;
            let lens = split.cast_to::<i64>()?;
            let lens = lens.try_as_plain_ram()?.as_slice::<i64>()?.to_vec();
            let is_valid = lens.iter().all(|len| *len >= 0) && (split.rank() > 0 || lens[0] > 0);
            ensure!(is_valid, "expected lengths above 0, found {lens:?}");
            let lens = lens.into_iter().map(|len| len as usize);
            match (split.rank(), lens.clone().next()) {
                // A scalar is the length of each slice. The last slice may be shorter.
                (0, Some(each)) => {
                    (0..len).step_by(each).map(|start| each.min(len - start)).collect()
                }
                _ => lens.collect(),
            }
        }
    };
    let total = lens.iter().try_fold(0_usize, |total, len| total.checked_add(*len));
    ensure!(total == Some(len), "expected lengths that sum to {len}, found {lens:?}");
    let keeps_axis = split.is_some() || node.proto.get_attr_opt::<i64>("keepdims")? != Some(0);
    let mut start = 0;
    let slices = lens.into_iter().map(|len| {
        let mut slice = tensor.slice(axis, start, start + len)?;
        start += len;
        if !keeps_axis {
            slice.remove_axis(axis)?;
        }
        Ok(Value::Tensor(slice.into_tvalue()))
    });
    Ok(Value::Sequence(slices.collect::<TractResult<_>>()?))
}

/// Concatenates tensors along the attribute `axis`. If `new_axis` is set, the tensors are stacked along a new axis
/// instead.
fn concat(node: &Node, elements: &[Value]) -> TractResult<Value> {
    let is_new = node.proto.get_attr_opt::<i64>("new_axis")? == Some(1);
    let tensors = elements.iter().map(|element| Ok(element.tensor()?.clone().into_tensor()));
    let mut tensors = tensors.collect::<TractResult<Vec<Tensor>>>()?;
    let rank = tensors.first().context("expected at least one tensor, found none")?.rank();
    let axis = node.proto.get_attr::<i64>("axis")?;
    let axis = crate::operator::tensors::axis(axis, rank + usize::from(is_new))?;
    if is_new {
        tensors.iter_mut().try_for_each(|tensor| tensor.insert_axis(axis))?;
    }
    let others = |shape: &[usize]| {
        let shape = shape.iter().enumerate().filter(|(index, _)| *index != axis);
        shape.map(|(_, len)| *len).collect::<Vec<_>>()
    };
    let first = (tensors[0].datum_type(), others(tensors[0].shape()));
    for other in &tensors {
        let (expected, found) = (&tensors[0], other);
        let fits =
            other.rank() == expected.rank() && (found.datum_type(), others(found.shape())) == first;
        ensure!(fits, "expected tensors like {expected:?}, found {found:?}");
    }
    Ok(Value::Tensor(Tensor::stack_tensors(axis, &tensors)?.into_tvalue()))
}
