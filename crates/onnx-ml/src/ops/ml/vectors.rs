//! Dot products and squared distances between the rows of an input and constant vectors.
//!
//! A dot product and a squared distance are both sums with one term per column. If there are many vectors, they are
//! packed in panels of [`LANES`] vectors each. A panel is stored column by column, `[columns][LANES]`. The innermost
//! loop then runs over the vectors of a panel, so the compiler can vectorize this loop for any number of columns. Each
//! panel is read once per [`TILE`] rows. If there are few vectors, most lanes of a panel would be empty. The vectors
//! are then stored row by row, and the innermost loop runs over the columns.

use crate::encoding::weights::Weights;
use crate::kernels::simd::{Product, Vectorized, product, vectorized};
use crate::operator::kernel::Fact;
use serde::{Deserialize, Serialize};
use tract_onnx::tract_hir::internal::*;

/// Number of vectors in a panel. This is also the number of partial sums in loops that run over the columns.
const LANES: usize = 8;

/// Number of rows that are combined with a panel at a time.
const TILE: usize = 4;

/// Minimum number of vectors that are packed in panels.
const MIN_PANEL_VECTORS: usize = 4;

/// Constant vectors with the same number of columns.
#[derive(Debug, Deserialize, Serialize)]
pub struct Vectors {
    count: usize,
    columns: usize,
    layout: Layout,
}

/// The layout of the vectors in memory.
#[derive(Debug, Deserialize, Serialize)]
enum Layout {
    /// `[count, columns]`.
    Rows(Weights<f32>),
    /// `[ceil(count / LANES), columns][LANES]`. The unused lanes of the last panel are zero.
    Panels(Weights<[f32; LANES]>),
}

impl Vectors {
    /// Packs the vectors in the row-major matrix `[count, columns]`.
    ///
    /// # Errors
    ///
    /// Returns an error if the number of elements is not a positive multiple of `count`.
    pub fn new(count: usize, elements: &[f32]) -> TractResult<Vectors> {
        let found = elements.len();
        let is_matrix = count > 0 && found > 0 && found.is_multiple_of(count);
        ensure!(is_matrix, "expected {count} vectors of equal length, found {found} elements");
        let columns = found / count;
        if count < MIN_PANEL_VECTORS {
            return Ok(Vectors { count, columns, layout: Layout::Rows(elements.to_vec().into()) });
        }
        let mut panels = vec![[0.0; LANES]; count.div_ceil(LANES) * columns];
        for (vector, elements) in elements.chunks_exact(columns).enumerate() {
            let panel = &mut panels[vector / LANES * columns..][..columns];
            for (lanes, element) in panel.iter_mut().zip(elements) {
                lanes[vector % LANES] = *element;
            }
        }
        Ok(Vectors { count, columns, layout: Layout::Panels(panels.into()) })
    }

    /// Returns the number of vectors.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns the number of elements of each vector.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Checks the input's type and shape, and returns its number of rows.
    ///
    /// # Errors
    ///
    /// Returns an error if the input is not a matrix of numbers with the same number of columns as
    /// the vectors.
    pub fn rows(&self, input: &Fact) -> TractResult<TDim> {
        ensure!(input.is_number(), "expected numbers, found {:?}", input.datum_type);
        let (rows, columns) = input.matrix()?;
        let matches = columns == self.columns.to_dim();
        ensure!(matches, "expected {} columns, found {columns}", self.columns);
        Ok(rows)
    }

    /// Writes the dot product of each row and each vector as `[rows, count]`.
    pub fn dots(&self, rows: &[f32], products: &mut [f32]) {
        self.fold(rows, products, |sum, x, y| sum + x * y, |sum, x, y| x.mul_add(y, sum));
    }

    /// Adds the dot product of one sparse row and each vector to `products`. The row contains `values` in the columns
    /// `columns`, and zero in every other column.
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

    /// Writes the squared distance between each row and each vector as `[rows, count]`.
    pub fn squared_distances(&self, rows: &[f32], distances: &mut [f32]) {
        self.fold(
            rows,
            distances,
            |sum, x, y| sum + (x - y) * (x - y),
            |sum, x, y| (x - y).mul_add(x - y, sum),
        );
    }

    /// For each row `x` and each vector `y`, folds `step(sum, x[column], y[column])` over the
    /// columns. Writes the sums to `out` as `[rows, count]`. `fused` computes the same as `step`
    /// with fused multiply-add, for processors that have this instruction.
    fn fold(
        &self,
        rows: &[f32],
        out: &mut [f32],
        step: impl Fn(f32, f32, f32) -> f32 + Copy,
        fused: impl Fn(f32, f32, f32) -> f32 + Copy,
    ) {
        product(Fold { vectors: self, rows, out, step, fused });
    }
}

/// The arguments of [`Vectors::fold`].
struct Fold<'a, F, G> {
    vectors: &'a Vectors,
    rows: &'a [f32],
    out: &'a mut [f32],
    step: F,
    fused: G,
}

impl<F, G> Product for Fold<'_, F, G>
where
    F: Fn(f32, f32, f32) -> f32 + Copy,
    G: Fn(f32, f32, f32) -> f32 + Copy,
{
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Fold { vectors: Vectors { count, columns, layout }, rows, out, step, fused } = self;
        let step = |sum, x, y| if FMA { fused(sum, x, y) } else { step(sum, x, y) };
        match layout {
            Layout::Panels(panels) => {
                // Full tiles of rows first, then the remaining rows one by one.
                let mut tiles = rows.chunks_exact(TILE * columns);
                let mut outs = out.chunks_exact_mut(TILE * count);
                for (rows, out) in tiles.by_ref().zip(outs.by_ref()) {
                    fold_panels::<TILE>(panels, rows, out, step);
                }
                let rows = tiles.remainder().chunks_exact(*columns);
                for (row, out) in rows.zip(outs.into_remainder().chunks_exact_mut(*count)) {
                    fold_panels::<1>(panels, row, out, step);
                }
            }
            Layout::Rows(vectors) => match columns {
                1 => fold_few::<1>(vectors, rows, out, step),
                2 => fold_few::<2>(vectors, rows, out, step),
                3 => fold_few::<3>(vectors, rows, out, step),
                4 => fold_few::<4>(vectors, rows, out, step),
                5 => fold_few::<5>(vectors, rows, out, step),
                6 => fold_few::<6>(vectors, rows, out, step),
                7 => fold_few::<7>(vectors, rows, out, step),
                _ => {
                    let rows = rows.chunks_exact(*columns);
                    for (row, out) in rows.zip(out.chunks_exact_mut(*count)) {
                        for (vector, out) in vectors.chunks_exact(*columns).zip(out) {
                            *out = fold_columns(row, vector, step);
                        }
                    }
                }
            },
        }
    }
}

/// Folds `N` rows with all panels. `out` is `[N, count]`.
#[inline(always)]
fn fold_panels<const N: usize>(
    panels: &[[f32; LANES]],
    rows: &[f32],
    out: &mut [f32],
    step: impl Fn(f32, f32, f32) -> f32,
) {
    let (columns, count) = (rows.len() / N, out.len() / N);
    let rows: [&[f32]; N] = std::array::from_fn(|row| &rows[row * columns..][..columns]);
    let full_panels = panels.chunks_exact(columns).take(count / LANES);
    for (panel, vectors) in full_panels.enumerate() {
        let sums = fold_panel(vectors, rows, &step);
        for (row, sums) in sums.iter().enumerate() {
            out[row * count + panel * LANES..][..LANES].copy_from_slice(sums);
        }
    }
    // The last panel may hold fewer than LANES vectors; `first` is the first of them.
    let first = count / LANES * LANES;
    if first < count {
        let sums = fold_panel(&panels[panels.len() - columns..], rows, &step);
        for (row, sums) in sums.iter().enumerate() {
            out[row * count..][first..count].copy_from_slice(&sums[..count - first]);
        }
    }
}

/// Folds `N` rows with one panel, and returns a sum for each row and lane.
#[inline(always)]
fn fold_panel<const N: usize>(
    panel: &[[f32; LANES]],
    rows: [&[f32]; N],
    step: impl Fn(f32, f32, f32) -> f32,
) -> [[f32; LANES]; N] {
    let mut sums = [[0.0; LANES]; N];
    for (column, lanes) in panel.iter().enumerate() {
        for (sums, row) in sums.iter_mut().zip(rows) {
            for (sum, lane) in sums.iter_mut().zip(lanes) {
                *sum = step(*sum, row[column], *lane);
            }
        }
    }
    sums
}

/// Folds rows and vectors of `N` columns. The compiler unrolls the loop over a constant number of
/// columns.
#[inline(always)]
fn fold_few<const N: usize>(
    vectors: &[f32],
    rows: &[f32],
    out: &mut [f32],
    step: impl Fn(f32, f32, f32) -> f32,
) {
    let (vectors, _) = vectors.as_chunks::<N>();
    let rows = rows.as_chunks::<N>().0.iter();
    for (row, out) in rows.zip(out.chunks_exact_mut(vectors.len().max(1))) {
        for (vector, out) in vectors.iter().zip(out) {
            *out = row.iter().zip(vector).fold(0.0, |sum, (x, y)| step(sum, *x, *y));
        }
    }
}

/// Folds one row `x` and one vector `y`, with [`LANES`] partial sums that vectorize over the
/// columns.
#[inline(always)]
fn fold_columns(x: &[f32], y: &[f32], step: impl Fn(f32, f32, f32) -> f32) -> f32 {
    let (x, x_rest) = x.as_chunks::<LANES>();
    let (y, y_rest) = y.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (x, y) in x.iter().zip(y) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum = step(*sum, *x, *y);
        }
    }
    let rest = x_rest.iter().zip(y_rest).fold(0.0, |sum, (x, y)| step(sum, *x, *y));
    sums.iter().sum::<f32>() + rest
}

/// Returns the dot product of two slices of equal length, accumulated in double precision.
pub fn dot(x: &[f32], y: &[f32]) -> f64 {
    vectorized(Dot { x, y })
}

/// The arguments of [`dot`].
struct Dot<'a> {
    x: &'a [f32],
    y: &'a [f32],
}

impl Vectorized for Dot<'_> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let (x, x_rest) = self.x.as_chunks::<LANES>();
        let (y, y_rest) = self.y.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        for (x, y) in x.iter().zip(y) {
            for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
                *sum += f64::from(*x) * f64::from(*y);
            }
        }
        let rest = x_rest.iter().zip(y_rest).map(|(x, y)| f64::from(*x) * f64::from(*y));
        sums.iter().sum::<f64>() + rest.sum::<f64>()
    }
}
