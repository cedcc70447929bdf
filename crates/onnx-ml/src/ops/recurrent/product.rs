//! Multiplies rows by the transpose of a constant matrix, and adds the result to the output.
//!
//! The matrix is packed in panels of [`LANES`] matrix rows each. A panel is stored column by
//! column, `[columns][LANES]`, so that the innermost loop runs over contiguous lanes. Each panel is
//! read once per [`TILE`] input rows.

use crate::encoding::weights::Weights;
use crate::kernels::quantize::{self, Layout, Scales};
use crate::kernels::simd;
use serde::{Deserialize, Serialize};

/// Number of matrix rows in a panel.
const LANES: usize = 64;

/// Number of input rows that are multiplied by a panel at a time.
const TILE: usize = 2;

/// A constant matrix, packed in panels.
#[derive(Debug, Deserialize, Serialize)]
pub struct PackedMatrix {
    /// Number of rows of the matrix.
    matrix_rows: usize,
    columns: usize,
    /// `[ceil(matrix_rows / LANES), columns][LANES]`. The unused lanes of the last panel are zero.
    panels: Weights<[f32; LANES]>,
    /// Scale of each matrix row if the matrix is quantized. The elements of the matrix are then integers, and the input
    /// rows are quantized too. Empty if the matrix is not quantized.
    scales: Vec<f32>,
}

impl PackedMatrix {
    /// Packs a row-major matrix `[matrix_rows, columns]`.
    pub fn new(matrix_rows: usize, columns: usize, elements: &[f32]) -> PackedMatrix {
        let mut panels = vec![[0.0; LANES]; matrix_rows.div_ceil(LANES) * columns];
        for (row, elements) in elements.chunks_exact(columns.max(1)).enumerate() {
            let panel = &mut panels[row / LANES * columns..][..columns];
            for (lanes, element) in panel.iter_mut().zip(elements) {
                lanes[row % LANES] = *element;
            }
        }
        PackedMatrix { matrix_rows, columns, panels: panels.into(), scales: vec![] }
    }

    /// Returns the quantized matrix: the elements are integers, and `scales` has a scale for each
    /// matrix row.
    pub fn with_scales(self, scales: Vec<f32>) -> PackedMatrix {
        PackedMatrix { scales, ..self }
    }

    /// Returns whether the input rows of a product are quantized, with one scale for all input rows.
    pub fn is_quantized(&self) -> bool {
        !self.scales.is_empty()
    }

    /// Returns the number of rows of the matrix.
    pub fn rows(&self) -> usize {
        self.matrix_rows
    }

    /// Returns the number of columns of the matrix, which is also the number of columns of the input rows.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Multiplies each row of `rows`, `[N, columns]`, by the transpose of the matrix. Adds the
    /// `matrix_rows` results to the start of the corresponding row of `out`, whose rows are
    /// `stride` elements apart.
    pub fn add_product(&self, rows: &[f32], out: &mut [f32], stride: usize) {
        if self.is_quantized() {
            self.add_quantized_product(rows, out, stride);
        } else if self.columns > 0 {
            simd::product(AddProduct { matrix: self, rows, out, stride });
        }
    }

    /// Quantizes the input rows, as DynamicQuantizeLinear does, to the range of the elements of all rows. Then
    /// multiplies integers. A sum of integers below 2^24 is exact in `f32`. ONNX Runtime rounds larger sums to `f32`
    /// too.
    fn add_quantized_product(&self, rows: &[f32], out: &mut [f32], stride: usize) {
        let count = rows.len() / self.columns.max(1);
        let [scale, zero] = quantize::dynamic_scale(rows);
        let layout = Layout { inner: rows.len() };
        let mut bytes = vec![0_u8; rows.len()];
        quantize::quantize(rows, &mut bytes, Scales { scales: &[scale], zeros: &[zero], layout });
        let mut integers = vec![0.0; rows.len()];
        let scales = Scales { scales: &[1.0], zeros: &[zero], layout };
        quantize::dequantize(&bytes, &mut integers, scales);
        let mut products = vec![0.0; count * self.matrix_rows];
        let arguments = AddProduct {
            matrix: self,
            rows: &integers,
            out: &mut products,
            stride: self.matrix_rows,
        };
        simd::product(arguments);
        let scales: Vec<f32> = self.scales.iter().map(|row_scale| scale * row_scale).collect();
        let products = products.chunks_exact(self.matrix_rows.max(1));
        for (out, products) in out.chunks_mut(stride).zip(products) {
            for ((out, product), scale) in out.iter_mut().zip(products).zip(&scales) {
                *out += product * scale;
            }
        }
    }
}

/// The arguments of [`PackedMatrix::add_product`].
struct AddProduct<'a> {
    matrix: &'a PackedMatrix,
    rows: &'a [f32],
    out: &'a mut [f32],
    stride: usize,
}

impl simd::Product for AddProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let columns = self.matrix.columns;
        let tiles = self.rows.chunks(TILE * columns).zip(self.out.chunks_mut(TILE * self.stride));
        for (rows, out) in tiles {
            if rows.len() == TILE * columns {
                self.matrix.add_tile::<TILE, FMA>(rows, out, self.stride);
            } else {
                for (row, out) in rows.chunks_exact(columns).zip(out.chunks_mut(self.stride)) {
                    self.matrix.add_tile::<1, FMA>(row, out, self.stride);
                }
            }
        }
    }
}

impl PackedMatrix {
    /// Multiplies `ROWS` input rows by all panels. The partial sums of a panel stay in registers.
    #[inline(always)]
    fn add_tile<const ROWS: usize, const FMA: bool>(
        &self,
        rows: &[f32],
        out: &mut [f32],
        stride: usize,
    ) {
        let rows: [&[f32]; ROWS] =
            std::array::from_fn(|row| &rows[row * self.columns..][..self.columns]);
        for (panel, panel_columns) in self.panels.chunks_exact(self.columns).enumerate() {
            let mut sums = [[0.0; LANES]; ROWS];
            for (column, lanes) in panel_columns.iter().enumerate() {
                for row in 0..ROWS {
                    let x = rows[row][column];
                    for lane in 0..LANES {
                        let sum = sums[row][lane];
                        sums[row][lane] =
                            if FMA { x.mul_add(lanes[lane], sum) } else { sum + x * lanes[lane] };
                    }
                }
            }
            // Drop the sums of unused lanes in the last panel.
            let first = panel * LANES;
            let width = LANES.min(self.matrix_rows - first);
            for (row, sums) in sums.iter().enumerate() {
                let out = &mut out[row * stride + first..][..width];
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out += sum;
                }
            }
        }
    }
}
