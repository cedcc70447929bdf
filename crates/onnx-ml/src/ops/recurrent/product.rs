//! Multiplication of rows by the transpose of a matrix, added to the output.
//!
//! The matrix is packed in panels of [`LANES`] of its rows. A panel is stored column by column,
//! `[columns][LANES]`, so that the innermost loop runs over contiguous lanes. Each panel is read
//! once per [`TILE`] input rows.

use crate::encoding::weights::Weights;
use crate::kernels::simd;
use serde::{Deserialize, Serialize};

const LANES: usize = 64;
const TILE: usize = 2;

#[derive(Debug, Deserialize, Serialize)]
pub struct Product {
    count: usize,
    columns: usize,
    panels: Weights<[f32; LANES]>,
}

impl Product {
    /// Packs a row-major matrix `[count, columns]`.
    pub fn new(count: usize, columns: usize, elements: &[f32]) -> Product {
        let mut panels = vec![[0.0; LANES]; count.div_ceil(LANES) * columns];
        for (row, elements) in elements.chunks_exact(columns.max(1)).enumerate() {
            let panel = &mut panels[row / LANES * columns..][..columns];
            for (lanes, element) in panel.iter_mut().zip(elements) {
                lanes[row % LANES] = *element;
            }
        }
        Product { count, columns, panels: panels.into() }
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Adds the product of each of the `rows` to the first `count` elements of a row of `out`. Rows
    /// of `out` begin every `stride` elements.
    pub fn add(&self, rows: &[f32], out: &mut [f32], stride: usize) {
        if self.columns > 0 {
            simd::product(Add { product: self, rows, out, stride });
        }
    }
}

struct Add<'a> {
    product: &'a Product,
    rows: &'a [f32],
    out: &'a mut [f32],
    stride: usize,
}

impl simd::Product for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let columns = self.product.columns;
        let tiles = self.rows.chunks(TILE * columns).zip(self.out.chunks_mut(TILE * self.stride));
        for (rows, out) in tiles {
            if rows.len() == TILE * columns {
                self.product.add_tile::<TILE, FMA>(rows, out, self.stride);
            } else {
                for (row, out) in rows.chunks_exact(columns).zip(out.chunks_mut(self.stride)) {
                    self.product.add_tile::<1, FMA>(row, out, self.stride);
                }
            }
        }
    }
}

impl Product {
    #[inline(always)]
    fn add_tile<const ROWS: usize, const FMA: bool>(
        &self,
        rows: &[f32],
        out: &mut [f32],
        stride: usize,
    ) {
        let rows: [&[f32]; ROWS] =
            std::array::from_fn(|row| &rows[row * self.columns..][..self.columns]);
        for (panel, vectors) in self.panels.chunks_exact(self.columns).enumerate() {
            let mut sums = [[0.0; LANES]; ROWS];
            for (column, lanes) in vectors.iter().enumerate() {
                for row in 0..ROWS {
                    let x = rows[row][column];
                    for lane in 0..LANES {
                        let sum = sums[row][lane];
                        sums[row][lane] =
                            if FMA { x.mul_add(lanes[lane], sum) } else { sum + x * lanes[lane] };
                    }
                }
            }
            let first = panel * LANES;
            let width = LANES.min(self.count - first);
            for (row, sums) in sums.iter().enumerate() {
                let out = &mut out[row * stride + first..][..width];
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out += sum;
                }
            }
        }
    }
}
