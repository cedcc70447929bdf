//! Checks that the rows of a fixed batch do not depend on each other. Only then can a batch be padded.

use crate::error::{LoadError, RunError};
use crate::signature::{Signature, TensorSpec};
use crate::tensor::{Data, Elements, Tensor};
use crate::tensors::Tensors;
use crate::value::Value;

/// Tolerance for the difference of two floats, absolute or relative. A different order of additions may
/// change the last digits.
const ROUNDING: f64 = 1e-5;

/// Runs batches of `signature.fixed_rows` rows. In the first batch all rows are equal. In each further batch
/// one row is different.
///
/// # Errors
///
/// Returns [`LoadError::Plan`] if an output has no rows, if equal rows have different outputs, if a row
/// changes the outputs of another row, or if a row does not change its own outputs: the row may then have
/// no effect on these values only. Returns the error of a run that fails.
pub(crate) fn check(
    signature: &Signature,
    run: impl Fn(Tensors) -> Result<Tensors, RunError>,
) -> Result<(), LoadError> {
    let rows = signature.fixed_rows.unwrap_or(1);
    let error = |reason: &str| {
        LoadError::Plan(format!(
            "the batch is fixed at {rows} rows, and {reason}; export the model with a dynamic batch axis"
        ))
    };
    if signature.outputs.iter().any(|output| output.batch_axis.is_none()) {
        return Err(error("an output has a different number of rows"));
    }
    let batch = |changed: Option<usize>| {
        let tensors = signature.inputs.iter().map(|spec| probe(spec, rows, changed)).collect();
        run(Tensors::new(rows, tensors))
    };
    let equal_rows = batch(None)?;
    if (1..rows).any(|row| row_differs(signature, (&equal_rows, row), (&equal_rows, 0))) {
        return Err(error("the outputs of a row depend on its position"));
    }
    for changed in [0, rows - 1] {
        let outputs = batch(Some(changed))?;
        let differs = |row: &usize| row_differs(signature, (&outputs, *row), (&equal_rows, *row));
        if (0..rows).filter(|row| *row != changed).any(|row| differs(&row)) {
            return Err(error("the outputs of a row depend on other rows"));
        }
        if !differs(&changed) {
            return Err(error("it cannot be found out whether the rows depend on each other"));
        }
    }
    Ok(())
}

/// Returns an input whose rows are equal, except for the row `changed`.
fn probe(spec: &TensorSpec, rows: usize, changed: Option<usize>) -> Tensor {
    let row_shape: Vec<usize> = spec.row_shape().iter().map(|len| len.unwrap_or(1)).collect();
    let width: usize = row_shape.iter().product();
    let mut data = Data::new(spec.datatype);
    let count = if spec.batch_axis.is_some() { rows } else { 1 };
    for row in 0..count {
        let is_changed = changed == Some(row) && spec.batch_axis.is_some();
        (0..width).for_each(|element| push(&mut data, element, is_changed));
    }
    let Some(axis) = spec.batch_axis else { return Tensor::new(&row_shape, data) };
    Tensor::new(&[&[rows], &row_shape[..]].concat(), data).move_axis(0, axis)
}

/// Appends an element that depends on its position in the row. Integers are 0 or 1, which are indices of
/// most tables.
fn push(data: &mut Data, element: usize, is_changed: bool) {
    let bit = (element.is_multiple_of(3)) != is_changed;
    let number = match is_changed {
        false => ((element * 7 + 3) % 11) as f64 / 11.0 - 0.4,
        true => ((element * 5 + 8) % 13) as f64 / 13.0 - 0.3,
    };
    let kind = data.datatype();
    let value = match data {
        Data::Bool(_) => Value::Bool(bit),
        Data::String(_) => Value::String(if bit { "1" } else { "0" }),
        _ if kind.is_float() => Value::Number(number),
        _ => Value::Integer(bit.into()),
    };
    data.push(value).expect("a value of the element type");
}

/// Returns whether a row of two outputs differs. Each row is given by the outputs and its index.
fn row_differs(
    signature: &Signature,
    (a, a_row): (&Tensors, usize),
    (b, b_row): (&Tensors, usize),
) -> bool {
    let outputs = signature.outputs.iter().zip(a.tensors().iter().zip(b.tensors()));
    let mut outputs = outputs.map(|(spec, (a, b))| {
        let axis = spec.batch_axis.unwrap_or_default();
        (a.slice(axis, a_row..a_row + 1), b.slice(axis, b_row..b_row + 1))
    });
    outputs.any(|(a, b)| a.shape() != b.shape() || !nearly_equal(a.elements(), b.elements()))
}

fn nearly_equal(a: Elements<'_>, b: Elements<'_>) -> bool {
    fn all<T: Copy>(a: &[T], b: &[T], number: impl Fn(T) -> f64) -> bool {
        let mut pairs = a.iter().zip(b).map(|(a, b)| (number(*a), number(*b)));
        pairs.all(|(a, b)| {
            a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= ROUNDING * b.abs().max(1.0)
        })
    }
    match (a, b) {
        (Elements::Float32(a), Elements::Float32(b)) => all(a, b, f64::from),
        (Elements::Float64(a), Elements::Float64(b)) => all(a, b, |number| number),
        (Elements::Float16(a), Elements::Float16(b)) => all(a, b, |number| number.to_f64()),
        (a, b) => a == b,
    }
}
