//! `AxisOp::Move`: moves an axis to a different position.

use super::fast_path::FastPath;
use crate::kernels::simd::{Vectorized, vectorized};
use crate::operator::tensors::tensor;
use tract_onnx::prelude::*;

/// Number of rows and columns of a block that is transposed at once. The block stays in the L1
/// cache.
const BLOCK: usize = 16;

/// The fast path of `AxisOp::Move`.
#[derive(Debug)]
pub struct FastMoveAxis {
    pub from: usize,
    pub to: usize,
}

impl FastPath for FastMoveAxis {
    fn eval(&self, inputs: &[TValue]) -> TractResult<Option<Vec<Tensor>>> {
        let [x] = inputs else { return Ok(None) };
        let FastMoveAxis { from, to } = *self;
        let (first, last) = (from.min(to), from.max(to));
        if x.datum_type() != f32::datum_type() || last >= x.rank() || x.len() == 0 {
            return Ok(None);
        }
        let mut shape: TVec<usize> = x.shape().into();
        let moved = shape.remove(from);
        shape.insert(to, moved);
        let product = |axes: &[usize]| axes.iter().product::<usize>();
        // Moving an axis past its neighbors transposes the moved axis and the group of axes that it
        // passes.
        let whole = product(&x.shape()[first..=last]);
        let (rows, columns) =
            if from < to { (moved, whole / moved) } else { (whole / moved, moved) };
        let inner = product(&x.shape()[last + 1..]);
        let x = x.try_as_plain_ram()?;
        let y = vectorized(Transposition { x: x.as_slice::<f32>()?, rows, columns, inner });
        Ok(Some(vec![tensor(&shape, y)?]))
    }
}

/// Transposition of consecutive matrices `[rows][columns][inner]` to `[columns][rows][inner]`.
struct Transposition<'a> {
    x: &'a [f32],
    rows: usize,
    columns: usize,
    inner: usize,
}

impl Vectorized for Transposition<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run(self) -> Vec<f32> {
        let Transposition { x, rows, columns, inner } = self;
        if rows == 1 || columns == 1 {
            return x.to_vec();
        }
        let mut y = Vec::with_capacity(x.len());
        for x in x.chunks_exact(rows * columns * inner) {
            if inner > 1 {
                for column in 0..columns {
                    for row in x.chunks_exact(columns * inner) {
                        y.extend_from_slice(&row[column * inner..][..inner]);
                    }
                }
                continue;
            }
            let start = y.len();
            y.resize(start + x.len(), 0.0);
            transpose(x, rows, columns, &mut y[start..]);
        }
        y
    }
}

/// Transposes a matrix block by block, so that both reads and writes touch adjacent elements. The
/// rows are divided into bands of [`BLOCK`] rows; the last band may have fewer. `band` is the index
/// of a band.
#[inline(always)]
fn transpose(x: &[f32], rows: usize, columns: usize, y: &mut [f32]) {
    for (band, x) in x.chunks(BLOCK * columns).enumerate() {
        let height = x.len() / columns;
        for first in (0..columns).step_by(BLOCK) {
            let width = (columns - first).min(BLOCK);
            let mut block = [[0.0; BLOCK]; BLOCK];
            for (row, x) in x.chunks_exact(columns).enumerate() {
                let x = &x[first..][..width];
                x.iter().enumerate().for_each(|(column, x)| block[column][row] = *x);
            }
            for (column, block) in block[..width].iter().enumerate() {
                let y = &mut y[(first + column) * rows + band * BLOCK..][..height];
                y.copy_from_slice(&block[..height]);
            }
        }
    }
}
