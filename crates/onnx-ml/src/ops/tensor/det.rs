//! [Det](https://onnx.ai/onnx/operators/onnx__Det.html): determinants of square
//! matrices, by Gaussian elimination with partial pivoting.

use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, tensor};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug)]
struct Det;

pub fn det(_: &ParsingContext, node: &NodeProto) -> Built {
    operator(node, 1, Det)
}

impl Kernel for Det {
    const NAME: &'static str = "Det";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        match inputs[0].shape.as_slice() {
            [batch @ .., rows, columns] if rows == columns => {
                Ok(tvec!(Fact::new(inputs[0].datum_type, batch.iter().cloned())))
            }
            shape => bail!("expected square matrices, found shape {shape:?}"),
        }
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let (batch, size) = match inputs[0].shape() {
            [batch @ .., size, _] => (batch, *size),
            shape => bail!("expected matrices, found shape {shape:?}"),
        };
        let mut matrices = elements::<f64>(&inputs[0])?.into_owned();
        let mut matrices = matrices.try_as_plain_ram_mut()?;
        let determinants = match size {
            // The determinant of an empty matrix is 1.
            0 => vec![1.0; batch.iter().product()],
            _ => matrices
                .as_slice_mut::<f64>()?
                .chunks_exact_mut(size * size)
                .map(determinant)
                .collect(),
        };
        Ok(vec![tensor(batch, determinants)?.cast_to_dt(inputs[0].datum_type())?.into_owned()])
    }
}

/// Returns the determinant of a non-empty square matrix, which is overwritten.
///
/// For each column, the row with the largest element becomes the pivot row. Multiples of the pivot
/// row are subtracted from the rows below it, so that the elements of these rows in the column
/// become 0. The determinant is the product of the pivots, and each swap of rows changes the sign of the determinant.
fn determinant(matrix: &mut [f64]) -> f64 {
    let size = matrix.len().isqrt();
    let mut product = 1.0;
    for column in 0..size {
        let largest = |a: &usize, b: &usize| {
            matrix[a * size + column].abs().total_cmp(&matrix[b * size + column].abs())
        };
        let pivot = (column..size).max_by(largest).unwrap_or(column);
        if pivot != column {
            product = -product;
            (0..size).for_each(|at| matrix.swap(pivot * size + at, column * size + at));
        }
        let (above, below) = matrix.split_at_mut((column + 1) * size);
        let pivots = &above[column * size..];
        if pivots[column] == 0.0 {
            return 0.0;
        }
        product *= pivots[column];
        for row in below.chunks_exact_mut(size) {
            let factor = row[column] / pivots[column];
            row.iter_mut().zip(pivots).for_each(|(element, pivot)| *element -= factor * pivot);
        }
    }
    product
}
