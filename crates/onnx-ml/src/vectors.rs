//! The rows of an input against the vectors of a model: dot products and squared distances.
//!
//! Many vectors lie in panels of [`LANES`], column by column, so that the innermost loop runs over
//! vectors whatever the number of columns, and a panel is read once for [`TILE`] rows. Of a few
//! vectors most lanes would be empty: there it runs over columns.

use crate::kernel::Fact;
use tract_onnx::tract_hir::internal::*;

const LANES: usize = 8;
const TILE: usize = 4;

/// From so many vectors on, they lie in panels.
const MANY: usize = 4;

/// Vectors of equally many columns.
#[derive(Debug)]
pub struct Vectors {
    count: usize,
    columns: usize,
    layout: Layout,
}

#[derive(Debug)]
enum Layout {
    Rows(Vec<f32>),
    Panels(Vec<[f32; LANES]>),
}

impl Vectors {
    /// The rows of the row-major matrix `[count, columns]`, at least one of each.
    ///
    /// # Errors
    ///
    /// Where `elements` are no such matrix.
    pub fn new(count: usize, elements: &[f32]) -> TractResult<Vectors> {
        let found = elements.len();
        let whole = count > 0 && found > 0 && found.is_multiple_of(count);
        ensure!(whole, "expected {count} vectors of equal length, but found {found} elements");
        let columns = found / count;
        if count < MANY {
            return Ok(Vectors { count, columns, layout: Layout::Rows(elements.to_vec()) });
        }
        let mut panels = vec![[0.0; LANES]; count.div_ceil(LANES) * columns];
        for (vector, elements) in elements.chunks_exact(columns).enumerate() {
            let panel = &mut panels[vector / LANES * columns..][..columns];
            for (lanes, element) in panel.iter_mut().zip(elements) {
                lanes[vector % LANES] = *element;
            }
        }
        Ok(Vectors { count, columns, layout: Layout::Panels(panels) })
    }

    pub fn count(&self) -> usize {
        self.count
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The number of rows of an input.
    ///
    /// # Errors
    ///
    /// Where it is no matrix of numbers with a column for each of a vector's.
    pub fn rows(&self, input: &Fact) -> TractResult<TDim> {
        ensure!(input.is_number(), "expected numbers, but found {:?}", input.datum_type);
        let (rows, columns) = input.matrix()?;
        let fits = columns == self.columns.to_dim();
        ensure!(fits, "expected {} columns, but found {columns}", self.columns);
        Ok(rows)
    }

    /// The dot product of each row with each vector, `[rows, count]`.
    pub fn dots(&self, rows: &[f32], products: &mut [f32]) {
        self.fold(rows, products, |sum, x, y| sum + x * y);
    }

    /// As [`Vectors::dots`], of one row that is zero but for some columns.
    pub fn sparse_dots(&self, columns: &[u32], values: &[f32], products: &mut [f32]) {
        for (column, value) in columns.iter().zip(values) {
            let column = *column as usize;
            match &self.layout {
                Layout::Rows(vectors) => {
                    let elements = vectors.iter().skip(column).step_by(self.columns);
                    for (product, element) in products.iter_mut().zip(elements) {
                        *product += value * element;
                    }
                }
                Layout::Panels(panels) => {
                    let lanes = panels.iter().skip(column).step_by(self.columns);
                    for (products, lanes) in products.chunks_mut(LANES).zip(lanes) {
                        for (product, lane) in products.iter_mut().zip(lanes) {
                            *product += value * lane;
                        }
                    }
                }
            }
        }
    }

    /// The squared distance of each row from each vector, `[rows, count]`.
    pub fn squared_distances(&self, rows: &[f32], distances: &mut [f32]) {
        self.fold(rows, distances, |sum, x, y| sum + (x - y) * (x - y));
    }

    fn fold(&self, rows: &[f32], out: &mut [f32], step: impl Fn(f32, f32, f32) -> f32 + Copy) {
        let panels = match &self.layout {
            Layout::Panels(panels) => panels,
            Layout::Rows(vectors) => {
                let rows = rows.chunks_exact(self.columns);
                for (row, out) in rows.zip(out.chunks_exact_mut(self.count)) {
                    for (vector, out) in vectors.chunks_exact(self.columns).zip(out) {
                        *out = fold_columns(row, vector, step);
                    }
                }
                return;
            }
        };
        let tiles = rows.chunks(TILE * self.columns).zip(out.chunks_mut(TILE * self.count));
        for (rows, out) in tiles {
            if rows.len() == TILE * self.columns {
                self.fold_tile::<TILE>(panels, rows, out, step);
            } else {
                let rows = rows.chunks_exact(self.columns);
                for (row, out) in rows.zip(out.chunks_exact_mut(self.count)) {
                    self.fold_tile::<1>(panels, row, out, step);
                }
            }
        }
    }

    fn fold_tile<const ROWS: usize>(
        &self,
        panels: &[[f32; LANES]],
        rows: &[f32],
        out: &mut [f32],
        step: impl Fn(f32, f32, f32) -> f32,
    ) {
        let rows: [&[f32]; ROWS] =
            std::array::from_fn(|row| &rows[row * self.columns..][..self.columns]);
        for (panel, vectors) in panels.chunks_exact(self.columns).enumerate() {
            let mut sums = [[0.0; LANES]; ROWS];
            for (column, lanes) in vectors.iter().enumerate() {
                for (sums, row) in sums.iter_mut().zip(rows) {
                    for (sum, lane) in sums.iter_mut().zip(lanes) {
                        *sum = step(*sum, row[column], *lane);
                    }
                }
            }
            let first = panel * LANES;
            let width = LANES.min(self.count - first);
            for (row, sums) in sums.iter().enumerate() {
                out[row * self.count + first..][..width].copy_from_slice(&sums[..width]);
            }
        }
    }
}

fn fold_columns(x: &[f32], y: &[f32], step: impl Fn(f32, f32, f32) -> f32) -> f32 {
    let (x, x_rest) = x.as_chunks::<LANES>();
    let (y, y_rest) = y.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (x, y) in x.iter().zip(y) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum = step(*sum, *x, *y);
        }
    }
    let sum = sums.iter().sum();
    x_rest.iter().zip(y_rest).fold(sum, |sum, (x, y)| step(sum, *x, *y))
}

/// The dot product, summed in double precision.
pub fn dot(x: &[f32], y: &[f32]) -> f64 {
    let (x, x_rest) = x.as_chunks::<LANES>();
    let (y, y_rest) = y.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (x, y) in x.iter().zip(y) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += f64::from(*x) * f64::from(*y);
        }
    }
    let rest: f64 = x_rest.iter().zip(y_rest).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
    sums.iter().sum::<f64>() + rest
}
