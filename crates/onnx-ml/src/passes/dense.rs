//! Products of rows with a constant matrix (dense layers), fused with the addition of a bias and
//! the Relu after them.
//!
//! The matrix (inputs × outputs) is packed in panels of [`LANES`] columns. A panel is stored row by row,
//! `[input][LANES]`. The last panel is padded with zeros. The inner loop multiplies a tile of [`ROWS`] rows of `x` by a
//! panel. For each input, the loop loads one vector of weights and one number of each row, and adds the products to
//! [`ROWS`] vectors of sums. The sums stay in registers (register blocking). Rows go through a panel in blocks, so that
//! the panel and the rows stay in the cache.
//!
//! Other loops handle a single row, a long single row, and few outputs.
//!
//! The bias is added to the complete sum, as in ONNX Runtime. It is not the initial value of the sum, because the order
//! of additions changes the result if large terms cancel.

use super::conv_fusion::{binary_successor, constant};
use super::flat_product::{self, Product as ProductWithConstant};
use crate::encoding::weights::Weights;
use crate::kernels::simd::{Product, product};
use crate::operator::adapter::kernel_op;
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::tensor_in_place;
use serde::{Deserialize, Serialize};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::binary::BinMiniOp;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_hir::internal::*;

/// Number of columns of a panel: the floats of an AVX-512 register, or of two AVX2 registers.
pub const LANES: usize = 16;

/// Number of rows of a tile. With AVX2, the sums take 12 of the 16 registers.
pub const ROWS: usize = 6;

/// Number of rows that go through a panel before the next panel.
const BLOCK: usize = 16 * ROWS;

/// Maximum number of outputs for [`Dense::few_outputs`]. With at most 4 outputs, most lanes of a
/// panel are empty.
const FEW_OUTPUTS: usize = 4;

/// Number of panels that a single row goes through at once. An addition must wait for the previous
/// addition to the same sum; with several panels, consecutive additions go to different sums.
const PANELS: usize = 4;

/// Minimum number of inputs for [`LongRow`].
const MIN_LONG_ROW: usize = 256;

/// A panel of the matrix: [`LANES`] weights for each input.
type Panel = [[f32; LANES]];

/// The fused operator.
#[derive(Debug, Deserialize, Serialize)]
pub struct Dense {
    /// All panels, `[panel][input][LANES]`.
    weights: Weights<[f32; LANES]>,
    /// Number of rows of the matrix.
    inputs: usize,
    /// Number of columns of the matrix.
    outputs: usize,
    /// Bias of each output, `[panel][LANES]`.
    bias: Vec<[f32; LANES]>,
    /// Lower bound of the outputs: zero for Relu, −∞ without Relu.
    least: f32,
    /// `true` if the constant is a vector. There is then a single output, and the output tensor has
    /// no axis for it.
    vector: bool,
}

/// Replaces products with constant matrices in a decluttered model.
///
/// # Errors
///
/// Returns an error if the model is invalid.
pub fn fuse(model: &mut TypedModel) -> TractResult<()> {
    for id in model.eval_order()? {
        let Some((dense, input, last)) = dense(model, id)? else { continue };
        let mut patch = TypedModelPatch::default();
        let x = patch.tap_model(model, input)?;
        let name = &model.node(last).name;
        let y = patch.wire_node(name, kernel_op(dense), &[x])?;
        patch.shunt_outside(model, last.into(), y[0])?;
        patch.apply(model)?;
    }
    Ok(())
}

/// Returns the operator that replaces the product at node `id` and the nodes fused with it, the
/// input of this operator, and the last of the replaced nodes. Returns `None` if node `id` is not a
/// supported product.
fn dense(model: &TypedModel, id: usize) -> TractResult<Option<(Dense, OutletId, usize)>> {
    let Some(found) = flat_product::product(model, id)? else { return Ok(None) };
    let ProductWithConstant {
        op,
        x,
        constant: matrix,
        x_axes,
        constant_axes: matrix_axes,
        y_axes,
        ..
    } = found;
    let (x_fact, matrix) = (model.outlet_fact(x)?, model.outlet_fact(matrix)?);
    let Some(matrix) = &matrix.konst else { return Ok(None) };
    let types = [x_fact.datum_type, matrix.datum_type(), op.operating_dt];
    // The equation must be like `ABk,kn->ABn`: rows, the summed axis k and the column axis n. The
    // matrix may be transposed (`nk`). Without n in the output, the constant is a vector (`k`). If
    // the constant is `k` but the output has an axis n, that axis has length 1.
    let Some((k, rows)) = x_axes.split_last().filter(|(k, rows)| !rows.contains(k)) else {
        return Ok(None);
    };
    let is_vector = matrix_axes == [*k];
    let vector = is_vector && y_axes == rows;
    let n = y_axes.split_last().filter(|(n, out)| *out == rows && !x_axes.contains(n));
    let transposed = match n {
        _ if vector => false,
        Some(_) if is_vector => false,
        Some((n, _)) if matrix_axes == [*k, *n] => false,
        Some((n, _)) if matrix_axes == [*n, *k] => true,
        _ => return Ok(None),
    };
    let (inputs, outputs) = match *matrix.shape() {
        [outputs, inputs] if transposed => (inputs, outputs),
        [inputs, outputs] => (inputs, outputs),
        _ => (matrix.len(), 1),
    };
    let matches = inputs > 0 && outputs > 0 && x_fact.shape[x_fact.rank() - 1] == inputs.to_dim();
    if !matches || types != [f32::datum_type(); 3] {
        return Ok(None);
    }
    let plain = matrix.try_as_plain_ram()?;
    let elements = plain.as_slice::<f32>()?;
    let pack = || panels(elements, transposed, inputs, outputs);
    let mut dense = Dense {
        weights: Weights::packed(matrix, transposed, pack),
        inputs,
        outputs,
        bias: vec![[0.0; LANES]; outputs.div_ceil(LANES)],
        least: f32::NEG_INFINITY,
        vector,
    };
    let mut last = id;
    if let Some((next, bias)) = with_constant::<math::Add>(model, last)?
        && (bias.len() == 1
            || !vector && bias.len() == outputs && bias.shape().last() == Some(&outputs))
    {
        let bias = bias.try_as_plain_ram()?;
        let bias = bias.as_slice::<f32>()?.iter().cycle().take(outputs);
        dense.bias.as_flattened_mut().iter_mut().zip(bias).for_each(|(sum, bias)| *sum = *bias);
        last = next;
    }
    if let Some((next, least)) = with_constant::<math::Max>(model, last)?
        && least.len() == 1
        && least.cast_to_scalar::<f32>()? == 0.0
    {
        dense.least = 0.0;
        last = next;
    }
    Ok(Some((dense, x, last)))
}

/// Packs a matrix, `[inputs, outputs]` or transposed, in panels: `[panel][input][LANES]`.
fn panels(matrix: &[f32], transposed: bool, inputs: usize, outputs: usize) -> Vec<[f32; LANES]> {
    let element = |input: usize, output: usize| {
        if transposed { matrix[output * inputs + input] } else { matrix[input * outputs + output] }
    };
    // Returns one row of a panel: the weights of `input` for the panel's columns.
    let lanes = |panel: usize, input: usize| {
        std::array::from_fn(|lane| match panel * LANES + lane {
            output if output < outputs => element(input, output),
            _ => 0.0,
        })
    };
    let weights =
        (0..outputs.div_ceil(LANES)).flat_map(|panel| (0..inputs).map(move |input| (panel, input)));
    weights.map(|(panel, input)| lanes(panel, input)).collect()
}

/// Returns the only successor of node `id` and the constant operand of the successor, or `None` if
/// the successor is not a binary operator `O` with a constant.
fn with_constant<O: BinMiniOp>(
    model: &TypedModel,
    id: usize,
) -> TractResult<Option<(usize, Arc<Tensor>)>> {
    let Some((next, other)) = binary_successor::<O>(model, id)? else { return Ok(None) };
    Ok(constant(model, other).map(|constant| (next, constant)))
}

impl Kernel for Dense {
    const NAME: &'static str = "Dense";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let mut shape = inputs[0].shape.clone();
        let last = shape.last_mut().context("expected rows, found a scalar")?;
        ensure!(*last == self.inputs.to_dim(), "expected {} columns, found {last}", self.inputs);
        *last = self.outputs.to_dim();
        if self.vector {
            shape.pop();
        }
        Ok(tvec!(Fact::new(f32::datum_type(), shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let x = inputs[0].try_as_plain_ram()?;
        let x = x.as_slice::<f32>()?;
        let mut shape: TVec<usize> = inputs[0].shape().into();
        shape.pop();
        if !self.vector {
            shape.push(self.outputs);
        }
        let is_long_row = x.len() == self.inputs && self.inputs >= MIN_LONG_ROW;
        let y = tensor_in_place(&shape, |y| {
            if is_long_row && (2..PANELS * LANES).contains(&self.outputs) {
                product(LongRow { dense: self, x, y });
            } else {
                product(Rows { dense: self, x, y });
            }
        })?;
        Ok(vec![y])
    }
}

/// The product of any number of rows.
struct Rows<'a> {
    dense: &'a Dense,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Product for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Rows { dense, x, y } = self;
        let (inputs, outputs) = (dense.inputs, dense.outputs);
        // Buffer for the sums of a tile or of several panels, `[row or panel][LANES]`.
        let scratch = &mut vec![[0.0; LANES]; ROWS.max(PANELS)];
        // A single output: the dot product of each row with the only column, whose elements are
        // collected first.
        if outputs == 1 {
            let weights = dense.weights.iter().map(|line| line[0]).collect::<Vec<f32>>();
            for (y, x) in y.iter_mut().zip(x.chunks_exact(inputs)) {
                let sum = dense.bias[0][0] + dot::<FMA>(x, &weights);
                *y = if sum < dense.least { dense.least } else { sum };
            }
            return;
        }
        if outputs <= FEW_OUTPUTS && x.len() > inputs {
            // For a constant number of inputs, the compiler unrolls the loop over the inputs.
            match inputs {
                2 => return dense.few_outputs::<2, FMA>(x, y),
                3 => return dense.few_outputs::<3, FMA>(x, y),
                4 => return dense.few_outputs::<4, FMA>(x, y),
                5 => return dense.few_outputs::<5, FMA>(x, y),
                6 => return dense.few_outputs::<6, FMA>(x, y),
                7 => return dense.few_outputs::<7, FMA>(x, y),
                8 => return dense.few_outputs::<8, FMA>(x, y),
                _ => {}
            }
        }
        if x.len() == inputs {
            dense.row::<FMA>(x, y, scratch);
            return;
        }
        // For each block of rows, and each panel: tiles of `ROWS` rows. The last tile may have
        // fewer rows.
        let blocks = x.chunks(BLOCK * inputs).zip(y.chunks_mut(BLOCK * outputs));
        for (x, y) in blocks {
            for (index, panel) in dense.weights.chunks_exact(inputs).enumerate() {
                let tiles = x.chunks(ROWS * inputs).zip(y.chunks_mut(ROWS * outputs));
                for (x, y) in tiles {
                    match y.len() / outputs {
                        1 => dense.tile::<1, FMA>(index, panel, x, y, scratch),
                        2 => dense.tile::<2, FMA>(index, panel, x, y, scratch),
                        3 => dense.tile::<3, FMA>(index, panel, x, y, scratch),
                        4 => dense.tile::<4, FMA>(index, panel, x, y, scratch),
                        5 => dense.tile::<5, FMA>(index, panel, x, y, scratch),
                        _ => dense.tile::<ROWS, FMA>(index, panel, x, y, scratch),
                    }
                }
            }
        }
    }
}

/// The product of a single row with many inputs and few outputs. There are too few panels for
/// [`Dense::row`], which spreads consecutive additions over several panels. Instead, each panel has
/// [`PANELS`] vectors of sums: input i goes to vector i modulo [`PANELS`], so that consecutive
/// additions do not wait for each other. At the end the vectors are added.
struct LongRow<'a> {
    dense: &'a Dense,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Product for LongRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let LongRow { dense, x, y } = self;
        let (blocks, rest) = x.as_chunks::<PANELS>();
        for index in 0..dense.bias.len() {
            let (weights, weights_rest) = dense.panel(index).as_chunks::<PANELS>();
            let mut sums = [[0.0; LANES]; PANELS];
            for (x, weights) in blocks.iter().zip(weights) {
                for index in 0..PANELS {
                    add_scaled::<FMA>(&mut sums[index], x[index], &weights[index]);
                }
            }
            for (x, weights) in rest.iter().zip(weights_rest) {
                add_scaled::<FMA>(&mut sums[0], *x, weights);
            }
            // Only a copy of the sums is used after the loop, so that the compiler keeps the sums
            // in registers.
            let final_sums = sums;
            let [mut sum, rest @ ..] = *std::hint::black_box(&final_sums);
            for other in rest {
                sum.iter_mut().zip(other).for_each(|(sum, other)| *sum += other);
            }
            dense.store(index, &sum, y);
        }
    }
}

impl Dense {
    /// Computes rows of `N` inputs and at most [`FEW_OUTPUTS`] outputs, one output after the other.
    #[inline(always)]
    fn few_outputs<const N: usize, const FMA: bool>(&self, x: &[f32], y: &mut [f32]) {
        let lines = &self.weights[..];
        for (x, y) in x.as_chunks::<N>().0.iter().zip(y.chunks_exact_mut(self.outputs)) {
            for (output, (y, bias)) in y.iter_mut().zip(&self.bias[0]).enumerate() {
                let terms = x.iter().zip(lines);
                let sum = terms.fold(0.0, |sum, (x, weights)| {
                    if FMA { x.mul_add(weights[output], sum) } else { sum + x * weights[output] }
                });
                *y = if sum + bias < self.least { self.least } else { sum + bias };
            }
        }
    }

    /// Computes the outputs of one panel for `N` rows. `index` is the index of the panel. `x` and
    /// `y` are the `N` rows, with all inputs and all outputs. `scratch` is a buffer for the sums.
    #[inline(always)]
    fn tile<const N: usize, const FMA: bool>(
        &self,
        index: usize,
        panel: &Panel,
        x: &[f32],
        y: &mut [f32],
        scratch: &mut Panel,
    ) {
        let rows: [&[f32]; N] = std::array::from_fn(|row| &x[row * panel.len()..][..panel.len()]);
        let Some(stored) = scratch.first_chunk_mut::<N>() else { return };
        sums::<N, FMA>(panel, rows, stored);
        for (sums, y) in stored.iter().zip(y.chunks_exact_mut(self.outputs)) {
            self.store(index, sums, y);
        }
    }

    /// Computes all outputs for one row, [`PANELS`] panels at a time.
    #[inline(always)]
    fn row<const FMA: bool>(&self, x: &[f32], y: &mut [f32], scratch: &mut Panel) {
        let panels = self.bias.len();
        let groups = panels / PANELS;
        for group in 0..groups {
            let first = group * PANELS;
            let panels: [&Panel; PANELS] = std::array::from_fn(|panel| self.panel(first + panel));
            let mut sums = [[0.0; LANES]; PANELS];
            for (input, x) in x.iter().enumerate() {
                for (sums, panel) in sums.iter_mut().zip(panels) {
                    add_scaled::<FMA>(sums, *x, &panel[input]);
                }
            }
            let Some(stored) = scratch.first_chunk_mut::<PANELS>() else { return };
            *stored = sums;
            for (panel, sums) in stored.iter().enumerate() {
                self.store(first + panel, sums, y);
            }
        }
        for index in groups * PANELS..panels {
            self.tile::<1, FMA>(index, self.panel(index), x, y, scratch);
        }
    }

    /// Returns the panel with the given index.
    fn panel(&self, index: usize) -> &Panel {
        &self.weights[index * self.inputs..][..self.inputs]
    }

    /// Adds the bias to the sums of a panel, applies the lower bound, and writes the outputs to the
    /// row `y`.
    #[inline(always)]
    fn store(&self, index: usize, sums: &[f32; LANES], y: &mut [f32]) {
        let first = index * LANES;
        let width = LANES.min(self.outputs - first);
        let mut bounded = *sums;
        for (sum, bias) in bounded.iter_mut().zip(&self.bias[index]) {
            *sum += bias;
            *sum = if *sum < self.least { self.least } else { *sum };
        }
        match y[first..].first_chunk_mut::<LANES>() {
            Some(y) => *y = bounded,
            None => y[first..].copy_from_slice(&bounded[..width]),
        }
    }
}

/// Computes the products of `N` rows with a panel, and writes them to `stored`, `[row][LANES]`.
/// Each row must be as long as the panel.
#[inline(always)]
pub fn sums<const N: usize, const FMA: bool>(
    panel: &Panel,
    rows: [&[f32]; N],
    stored: &mut [[f32; LANES]; N],
) {
    let mut sums = [[0.0; LANES]; N];
    for (input, weights) in panel.iter().enumerate() {
        for (sums, row) in sums.iter_mut().zip(rows) {
            add_scaled::<FMA>(sums, row[input], weights);
        }
    }
    // The compiler only vectorizes the lanes if the sums are stored as a whole.
    *stored = sums;
}

/// Returns the dot product. Element i goes to sum i modulo [`LANES`], so that the compiler uses
/// SIMD registers.
#[inline(always)]
fn dot<const FMA: bool>(x: &[f32], y: &[f32]) -> f32 {
    let (x, x_rest) = x.as_chunks::<LANES>();
    let (y, y_rest) = y.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (x, y) in x.iter().zip(y) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum = if FMA { x.mul_add(*y, *sum) } else { *sum + x * y };
        }
    }
    let rest: f32 = x_rest.iter().zip(y_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f32>() + rest
}

/// Adds `x * weights` to `sums`, lane by lane.
#[inline(always)]
fn add_scaled<const FMA: bool>(sums: &mut [f32; LANES], x: f32, weights: &[f32; LANES]) {
    for (sum, weight) in sums.iter_mut().zip(weights) {
        *sum = if FMA { x.mul_add(*weight, *sum) } else { *sum + x * *weight };
    }
}
