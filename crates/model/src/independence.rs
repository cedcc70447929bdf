//! Checks that the rows of a fixed batch do not depend on each other. Only then can a batch be padded.

use crate::error::{LoadError, RunError};
use crate::signature::{Signature, TensorSpec};
use crate::tensor::{Data, Elements, Tensor};
use crate::tensors::Tensors;
use crate::value::Value;

/// Maximum difference of two floats that count as equal. The difference is relative if the absolute value of the second
/// float exceeds 1, and absolute otherwise. A different order of additions may change the last digits.
const ROUNDING: f64 = 1e-5;

/// Runs three batches of `signature.fixed_rows` rows and compares their outputs. In the first batch all rows are
/// equal. In the second batch the first row is different, and in the third batch the last row is different.
///
/// # Errors
///
/// Returns [`LoadError::Plan`] if one of these conditions holds:
///
/// - An output has no batch axis.
/// - Equal rows have different outputs. The outputs of a row then depend on the row's position in the batch.
/// - A changed row changes the outputs of another row.
/// - A changed row does not change its own outputs. The check is then inconclusive, because a different change might
///   have an effect on that row and on other rows.
///
/// If a run fails, returns the error of the run.
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
    if let Some(output) = signature.outputs.iter().find(|output| output.batch_axis.is_none()) {
        return Err(error(&format!(
            "output `{}` has no axis with an entry for each row",
            output.name
        )));
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
            let reason = "a changed row has the same outputs as before, so it is unknown whether \
                          rows depend on each other";
            return Err(error(reason));
        }
    }
    Ok(())
}

/// Returns an input whose rows are equal, except for the row with index `changed`. If the input has no batch axis, the
/// result is the same for every `changed`.
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

/// Appends an element to `data`. Its value depends on `element`, the index of the element in the row, and on
/// `is_changed`. Integers are 0 or 1, because both are valid indices into almost every lookup table, such as an
/// embedding.
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

/// Returns whether two rows differ in any output. Each row is given as the outputs of a run, and the index of the row
/// in these outputs.
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

/// Returns whether all elements of `a` and `b` are equal. Floats may differ by [`ROUNDING`], and two NaNs are equal.
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
