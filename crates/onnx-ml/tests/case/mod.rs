//! Compares a tensor that a model returns with the expected tensor.

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::{Datum, bail, ensure};

/// Maximum difference of a float: `absolute + relative * |expected|`.
#[derive(Debug, Clone, Copy)]
pub struct Tolerance {
    pub relative: f64,
    pub absolute: f64,
}

/// Checks that `found` equals `expected`, within `tolerance` if they are floats.
///
/// # Errors
///
/// Returns an error if the shapes, element types or elements differ.
pub fn compare(found: &Tensor, expected: &Tensor, tolerance: Tolerance) -> TractResult<()> {
    ensure!(
        found.shape() == expected.shape(),
        "expected shape {:?}, found {:?}",
        expected.shape(),
        found.shape()
    );
    // tract may return an integer as a symbolic dimension.
    let found = match found.datum_type() {
        DatumType::TDim => found.cast_to::<i64>()?.into_owned(),
        _ => found.clone(),
    };
    ensure!(
        found.datum_type() == expected.datum_type(),
        "expected {:?}, found {:?}",
        expected.datum_type(),
        found.datum_type()
    );
    if expected.datum_type() == String::datum_type() {
        let (found, expected) = (strings(&found)?, strings(expected)?);
        ensure!(found == expected, "expected {expected:?}, found {found:?}");
        return Ok(());
    }
    let (found, expected) = (numbers(&found)?, numbers(expected)?);
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        // Infinities are equal, but their difference is NaN.
        let same = found == expected || (found.is_nan() && expected.is_nan());
        let allowed = tolerance.absolute + tolerance.relative * expected.abs();
        if !same && (found - expected).abs().partial_cmp(&allowed).is_none_or(|order| order.is_gt())
        {
            bail!("element {index}: expected {expected}, found {found}");
        }
    }
    Ok(())
}

fn strings(tensor: &Tensor) -> TractResult<Vec<String>> {
    Ok(tensor.try_as_plain_ram()?.as_slice::<String>()?.to_vec())
}

fn numbers(tensor: &Tensor) -> TractResult<Vec<f64>> {
    let tensor = tensor.cast_to::<f64>()?;
    Ok(tensor.try_as_plain_ram()?.as_slice::<f64>()?.to_vec())
}
