//! Converts the inputs and outputs of a case in `crates/onnx-ml/tests/cases`, for tests that run the case with
//! [`Model`](ml_app_model::Model). The inputs are built value by value with [`Rows`], as in the server.

use ml_app_model::{Data, Elements, Rows, Signature, Tensor, Tensors, Value};
use std::error::Error;
use tract_onnx::prelude::*;

pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// Converts tensors of tract.
pub fn from_tract(tensors: &[tract_onnx::prelude::Tensor]) -> Outcome<Vec<Tensor>> {
    tensors.iter().map(convert).collect()
}

/// Builds inputs of `count` rows. The rows are the rows of `tensors`, repeated until there are `count` rows. `tensors`
/// are the inputs of a case, in the layout of the graph.
pub fn inputs(signature: &Signature, tensors: &[Tensor], count: usize) -> Outcome<Tensors> {
    let mut rows = Rows::new(signature);
    let case_rows = case_rows(signature, tensors)?;
    let rows_first: Vec<Tensor> = signature
        .inputs
        .iter()
        .zip(tensors)
        .map(|(spec, tensor)| match spec.batch_axis {
            Some(axis) => tensor.clone().rows_first(Some(axis)),
            None => tensor.clone(),
        })
        .collect();
    for (row, case_row) in (0..case_rows).cycle().take(count).enumerate() {
        rows.add_row();
        for (index, feature) in signature.features.iter().enumerate() {
            let tensor = rows_first.get(feature.input).ok_or("expected a tensor for each input")?;
            let has_rows = signature.inputs[feature.input].batch_axis.is_some();
            let (width, axes, first) = match has_rows {
                true => {
                    let width = tensor.len() / case_rows;
                    (width, &tensor.shape()[1..], case_row * width)
                }
                false => (tensor.len(), tensor.shape(), 0),
            };
            let elements = tensor.elements();
            if feature.is_scalar() {
                rows.set(row, index, value(elements, first + feature.column))
                    .map_err(|mismatch| mismatch.to_string())?;
                continue;
            }
            rows.start_value(index);
            for (axis, len) in axes.iter().enumerate() {
                rows.set_axis_len(index, axis, *len).map_err(|mismatch| mismatch.to_string())?;
            }
            for element in first..first + width {
                rows.push(index, value(elements, element))
                    .map_err(|mismatch| mismatch.to_string())?;
            }
        }
    }
    rows.finish().map_err(|mismatch| mismatch.to_string().into())
}

/// Returns the number of rows of a case's inputs.
pub fn case_rows(signature: &Signature, tensors: &[Tensor]) -> Outcome<usize> {
    let mut rows = signature.inputs.iter().zip(tensors);
    let rows = rows.find_map(|(spec, tensor)| tensor.shape().get(spec.batch_axis?).copied());
    match rows {
        Some(0) => Err("expected at least one row".into()),
        rows => Ok(rows.unwrap_or(1)),
    }
}

/// Checks that `found` equals `expected`. Floats may differ by at most `tolerance`, absolute or relative.
pub fn compare(found: &Tensor, expected: &Tensor, tolerance: f64) -> Outcome<()> {
    let (found_type, expected_type) = (found.datatype(), expected.datatype());
    if found.shape() != expected.shape() || found_type != expected_type {
        return Err(format!(
            "expected {:?} {:?}, found {:?} {:?}",
            expected_type,
            expected.shape(),
            found_type,
            found.shape()
        )
        .into());
    }
    let near = |a: f64, b: f64| {
        a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= tolerance * b.abs().max(1.0)
    };
    let len = expected.len();
    let (found, expected) = (found.elements(), expected.elements());
    for index in 0..len {
        let (found, expected) = (value(found, index), value(expected, index));
        let agree = match (found, expected) {
            (Value::Number(found), Value::Number(expected)) => near(found, expected),
            _ => found == expected,
        };
        if !agree {
            return Err(format!("element {index}: expected {expected}, found {found}").into());
        }
    }
    Ok(())
}

/// Returns the element at `index`.
fn value(elements: Elements<'_>, index: usize) -> Value<'_> {
    match elements {
        Elements::Bool(elements) => Value::Bool(elements[index]),
        Elements::Uint8(elements) => Value::Integer(elements[index].into()),
        Elements::Uint16(elements) => Value::Integer(elements[index].into()),
        Elements::Uint32(elements) => Value::Integer(elements[index].into()),
        Elements::Uint64(elements) => Value::Integer(elements[index].into()),
        Elements::Int8(elements) => Value::Integer(elements[index].into()),
        Elements::Int16(elements) => Value::Integer(elements[index].into()),
        Elements::Int32(elements) => Value::Integer(elements[index].into()),
        Elements::Int64(elements) => Value::Integer(elements[index].into()),
        Elements::Float32(elements) => Value::Number(elements[index].into()),
        Elements::Float16(elements) => Value::Number(elements[index].to_f64()),
        Elements::Float64(elements) => Value::Number(elements[index]),
        Elements::String(elements) => Value::String(elements.get(index)),
    }
}

/// Converts a tensor of tract.
fn convert(tensor: &tract_onnx::prelude::Tensor) -> Outcome<Tensor> {
    fn elements<T: Datum + Clone>(tensor: &tract_onnx::prelude::Tensor) -> TractResult<Vec<T>> {
        Ok(tensor.try_as_plain_ram()?.as_slice::<T>()?.to_vec())
    }
    let data = match tensor.datum_type() {
        DatumType::Bool => Data::Bool(elements(tensor)?),
        DatumType::U8 => Data::Uint8(elements(tensor)?),
        DatumType::U16 => Data::Uint16(elements(tensor)?),
        DatumType::U32 => Data::Uint32(elements(tensor)?),
        DatumType::U64 => Data::Uint64(elements(tensor)?),
        DatumType::I8 => Data::Int8(elements(tensor)?),
        DatumType::I16 => Data::Int16(elements(tensor)?),
        DatumType::I32 => Data::Int32(elements(tensor)?),
        DatumType::I64 => Data::Int64(elements(tensor)?),
        DatumType::F32 => Data::Float32(elements(tensor)?),
        DatumType::F16 => Data::Float16(elements(tensor)?),
        DatumType::F64 => Data::Float64(elements(tensor)?),
        DatumType::String => Data::String(elements(tensor)?),
        other => {
            return Err(format!("expected an element type of the cases, found {other:?}").into());
        }
    };
    Ok(Tensor::new(tensor.shape(), data))
}
