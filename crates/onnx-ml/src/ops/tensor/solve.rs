//! `Solve` of the domain `com.microsoft`: solves systems of linear equations `A × X = Y`, where `A` is `[size, size]`
//! and `Y` is `[size, columns]`. skl2onnx writes this operator for Gaussian process classifiers, although ONNX Runtime
//! has no operator `Solve`.

use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::elements;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug)]
struct Solve;

pub fn solve(_: &ParsingContext, node: &NodeProto) -> Built {
    operator(node, 2, Solve)
}

impl Kernel for Solve {
    const NAME: &'static str = "Solve";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let [size, columns] = inputs[0].shape.as_slice() else {
            bail!("expected a matrix, found shape {:?}", inputs[0].shape);
        };
        ensure!(size == columns, "expected a square matrix, found shape {:?}", inputs[0].shape);
        let found = &inputs[1].shape;
        let matches = matches!(found.len(), 1 | 2) && found[0].compatible_with(size);
        ensure!(
            matches,
            "expected `Y` of shape [{size}] or [{size}, columns], found shape {found:?}"
        );
        Ok(tvec!(Fact::new(inputs[1].datum_type, found.iter().cloned())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let size = inputs[0].shape()[0];
        let mut matrix = elements::<f64>(&inputs[0])?.into_owned();
        let mut solution = elements::<f64>(&inputs[1])?.into_owned();
        solve_in_place(
            matrix.try_as_plain_ram_mut()?.as_slice_mut()?,
            solution.try_as_plain_ram_mut()?.as_slice_mut()?,
            size,
        )?;
        Ok(vec![solution.cast_to_dt(inputs[1].datum_type())?.into_owned()])
    }
}

/// Replaces the rows of `y` by the solution of `matrix × x = y`, by Gaussian elimination with
/// partial pivoting. Both matrices are row-major and have `size` rows; `matrix` is overwritten.
///
/// # Errors
///
/// Returns an error if the matrix is singular.
fn solve_in_place(matrix: &mut [f64], y: &mut [f64], size: usize) -> TractResult<()> {
    if size == 0 {
        return Ok(());
    }
    let columns = y.len() / size;
    for step in 0..size {
        let largest = |a: &usize, b: &usize| {
            matrix[a * size + step].abs().total_cmp(&matrix[b * size + step].abs())
        };
        let pivot = (step..size).max_by(largest).unwrap_or(step);
        if pivot != step {
            (0..size).for_each(|at| matrix.swap(pivot * size + at, step * size + at));
            (0..columns).for_each(|at| y.swap(pivot * columns + at, step * columns + at));
        }
        let (above, below) = matrix.split_at_mut((step + 1) * size);
        let (y_above, y_below) = y.split_at_mut((step + 1) * columns);
        let (pivots, y_pivots) = (&above[step * size..], &y_above[step * columns..]);
        ensure!(
            pivots[step] != 0.0,
            "expected a matrix that can be inverted, found a singular one"
        );
        for (row, y_row) in below.chunks_exact_mut(size).zip(y_below.chunks_mut(columns.max(1))) {
            let factor = row[step] / pivots[step];
            row.iter_mut().zip(pivots).for_each(|(element, pivot)| *element -= factor * pivot);
            y_row.iter_mut().zip(y_pivots).for_each(|(element, pivot)| *element -= factor * pivot);
        }
    }
    // The matrix is now upper triangular. Substitute from the last row upwards.
    for step in (0..size).rev() {
        let (y_above, y_below) = y.split_at_mut((step + 1) * columns);
        let y_row = &mut y_above[step * columns..];
        let factors = &matrix[step * size + step + 1..(step + 1) * size];
        for (factor, known) in factors.iter().zip(y_below.chunks(columns.max(1))) {
            y_row.iter_mut().zip(known).for_each(|(element, known)| *element -= factor * known);
        }
        let pivot = matrix[step * size + step];
        y_row.iter_mut().for_each(|element| *element /= pivot);
    }
    Ok(())
}
