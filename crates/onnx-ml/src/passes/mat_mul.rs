//! Products of two tensors that are both computed at run time, as in attention.
//!
//! Each axis of a product (an Einstein sum) belongs to one of four groups:
//! - batch axes are in both inputs and in the output,
//! - row axes are only in the first input, and also in the output unless their length is 1,
//! - column axes are only in the second input and in the output,
//! - term axes are in both inputs and not in the output: the product sums over them.
//!
//! An axis of length 1 that only the second input has is ignored.
//!
//! For each combination of indices of the batch axes, this is a matrix product: rows × terms by
//! terms × columns. The columns of the second input are packed in panels of [`LANES`] columns,
//! `[term][LANES]`. [`ROWS`] rows of the first input go through a panel at a time, and their sums
//! stay in registers.

use super::dense::{LANES, ROWS, sums};
use crate::kernels::simd::{Product, product};
use crate::operator::adapter::kernel_op;
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::tensor_in_place;
use serde::{Deserialize, Serialize};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_hir::internal::*;

/// A product in Einstein notation whose output ends with the column axes.
#[derive(Debug, Deserialize, Serialize)]
pub struct MatMul {
    /// The letters of the axes of both inputs.
    inputs: [Vec<char>; 2],
    /// The letters of the axes of the output.
    output: Vec<char>,
    /// `true` if the inputs are swapped: the first input of the node is the second input in this
    /// struct.
    swapped: bool,
}

/// Replaces products of computed tensors in a decluttered model.
///
/// # Errors
///
/// Returns an error if the model is invalid.
pub fn fuse(model: &mut TypedModel) -> TractResult<()> {
    for id in model.eval_order()? {
        if let Some(product) = mat_mul(model, id)? {
            model.node_mut(id).op = kernel_op(product).into();
        }
    }
    Ok(())
}

/// Returns the replacement for node `id`, or `None` if the node is not a supported product.
fn mat_mul(model: &TypedModel, id: usize) -> TractResult<Option<MatMul>> {
    let node = model.node(id);
    let Some(op) = node.op_as::<EinSum>() else { return Ok(None) };
    let (&[a, b], None) = (node.inputs.as_slice(), &op.q_params) else { return Ok(None) };
    let facts = [model.outlet_fact(a)?, model.outlet_fact(b)?];
    let computed = |fact: &&TypedFact| fact.konst.is_none();
    let floats = facts.iter().all(|fact| fact.datum_type == f32::datum_type());
    if !floats || !facts.iter().all(computed) || op.operating_dt != f32::datum_type() {
        return Ok(None);
    }
    let (inputs, outputs) = op.axes.to_strs();
    let axes = |axes: &String| axes.chars().collect::<Vec<_>>();
    let ([axes_a, axes_b], [output]) = (inputs.as_slice(), outputs.as_slice()) else {
        return Ok(None);
    };
    let (a, b, output) = (axes(axes_a), axes(axes_b), axes(output));
    // An axis that only one input has must be in the output or have length 1.
    let is_supported = |(axis, dim): (&char, &TDim)| {
        output.contains(axis) || a.contains(axis) && b.contains(axis) || dim.is_one()
    };
    let supported = [(&a, facts[0]), (&b, facts[1])].into_iter().all(|(axes, fact)| {
        are_distinct(axes) && axes.iter().zip(fact.shape.iter()).all(is_supported)
    });
    if !supported {
        return Ok(None);
    }
    let product = MatMul::new(a.clone(), b.clone(), output.clone(), false)
        .or_else(|| MatMul::new(b, a, output, true));
    let inputs = facts.map(|fact| Fact::new(fact.datum_type, fact.shape.iter().cloned()));
    let has_same_shape = |product: &MatMul| {
        let outputs = product.outputs(&inputs);
        outputs.is_ok_and(|outputs| outputs[0].shape.iter().eq(node.outputs[0].fact.shape.iter()))
    };
    Ok(product.filter(has_same_shape))
}

impl MatMul {
    /// Creates the product, or returns `None` if the column axes are not the last axes of the
    /// output.
    fn new(a: Vec<char>, b: Vec<char>, output: Vec<char>, swapped: bool) -> Option<MatMul> {
        let column = |axis: &&char| b.contains(axis) && !a.contains(axis);
        let columns = output.iter().rev().take_while(column).count();
        let columns_are_last = columns > 0 && output.iter().filter(column).count() == columns;
        columns_are_last.then_some(MatMul { inputs: [a, b], output, swapped })
    }

    /// Swaps the two elements if the inputs are swapped.
    fn swap<T>(&self, [a, b]: [T; 2]) -> [T; 2] {
        if self.swapped { [b, a] } else { [a, b] }
    }

    /// Returns the length of an axis, or `None` if neither input has the axis. `one` is the number
    /// 1 as a `D`.
    ///
    /// If both inputs have the axis, the lengths must be equal. If the output has the axis too, one of the two lengths
    /// may also be 1. The input with length 1 is then broadcast along the axis.
    ///
    /// # Errors
    ///
    /// Returns an error if the lengths do not match.
    fn length<'a, D: 'a + PartialEq + std::fmt::Debug>(
        &self,
        axis: char,
        shapes: [&'a [D]; 2],
        one: &D,
    ) -> TractResult<Option<&'a D>> {
        let position = |axes: &[char]| axes.iter().position(|other| *other == axis);
        let lengths = [0, 1].map(|input| Some(&shapes[input][position(&self.inputs[input])?]));
        match lengths {
            [Some(a), Some(b)] => {
                let is_output = self.output.contains(&axis);
                let lengths_match = a == b || is_output && (a == one || b == one);
                ensure!(
                    lengths_match,
                    "axis {axis}: expected equal lengths, found {a:?} and {b:?}"
                );
                Ok(Some(if a == one { b } else { a }))
            }
            [a, b] => Ok(a.or(b)),
        }
    }
}

impl Kernel for MatMul {
    const NAME: &'static str = "FastMatMul";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let shapes = self.swap([&inputs[0].shape[..], &inputs[1].shape[..]]);
        let one = 1.to_dim();
        let lengths = self.output.iter().map(|axis| {
            let length = self.length(*axis, shapes, &one)?;
            length.cloned().with_context(|| {
                format!("expected axis {axis} in an input, found it only in the output")
            })
        });
        Ok(tvec!(Fact::new(f32::datum_type(), lengths.collect::<TractResult<TVec<TDim>>>()?)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let [a, b] = self.swap([&inputs[0], &inputs[1]]);
        let shapes = [a.shape(), b.shape()];
        let [axes_a, axes_b] = &self.inputs;
        let length = |axis: &char| self.length(*axis, shapes, &1);
        let mut shape: TVec<usize> = tvec!();
        for axis in &self.output {
            shape.push(*length(axis)?.with_context(|| {
                format!("expected axis {axis} in an input, found it only in the output")
            })?);
        }
        let strides = Tensor::natural_strides(&shape);
        let mut groups = AxisGroups::default();
        let has = |axes: &[char], axis: &char| axes.contains(axis);
        let not_output = axes_a.iter().filter(|axis| !has(&self.output, axis));
        for axis in self.output.iter().chain(not_output) {
            // The stride of the axis in a tensor. 0 if the tensor lacks the axis or is broadcast along the axis.
            let stride = |axes: &[char], shape: &[usize], strides: &[isize]| {
                let position = axes.iter().position(|other| other == axis);
                let position = position.filter(|position| shape[*position] > 1);
                position.map_or(0, |position| strides[position].unsigned_abs())
            };
            let strided = Axis {
                length: length(axis)?.copied().unwrap_or(1),
                a: stride(axes_a, shapes[0], a.strides()),
                b: stride(axes_b, shapes[1], b.strides()),
                y: stride(&self.output, &shape, &strides),
            };
            match (has(axes_a, axis), has(axes_b, axis), has(&self.output, axis)) {
                (true, true, true) => &mut groups.batches,
                (true, false, _) => &mut groups.rows,
                (false, ..) => &mut groups.columns,
                (true, true, false) => &mut groups.terms,
            }
            .push(strided);
        }
        let [a, b] = [a.try_as_plain_ram()?, b.try_as_plain_ram()?];
        let [a, b] = [a.as_slice::<f32>()?, b.as_slice::<f32>()?];
        Ok(vec![tensor_in_place(&shape, |y| {
            if !a.is_empty() && !b.is_empty() && !y.is_empty() {
                product(Work { axes: &groups, a, b, y });
            }
        })?])
    }
}

/// Returns `true` if no axis occurs twice in the list. An axis that occurs twice would select a diagonal of the tensor.
fn are_distinct(axes: &[char]) -> bool {
    (1..axes.len()).all(|position| !axes[..position].contains(&axes[position]))
}

/// An axis: its length, and its stride in the first input (`a`), the second input (`b`) and the
/// output (`y`). The stride is 0 in a tensor without the axis.
#[derive(Debug, Clone, Copy)]
struct Axis {
    length: usize,
    a: usize,
    b: usize,
    y: usize,
}

/// The axes of a product by group.
#[derive(Debug, Default)]
struct AxisGroups {
    batches: Vec<Axis>,
    rows: Vec<Axis>,
    columns: Vec<Axis>,
    terms: Vec<Axis>,
}

/// Returns the offset in a tensor of each combination of indices over `axes`, in row-major order.
/// `stride` returns the stride of an axis in that tensor.
fn offsets(axes: &[Axis], stride: impl Fn(&Axis) -> usize) -> Vec<usize> {
    axes.iter().fold(vec![0], |offsets, axis| {
        let with_index = |offset: usize| (0..axis.length).map(move |index| (offset, index));
        offsets
            .into_iter()
            .flat_map(with_index)
            .map(|(offset, index)| offset + index * stride(axis))
            .collect()
    })
}

/// Returns `true` if the offsets are 0, 1, 2, …, so that the elements are contiguous.
fn are_adjacent(offsets: &[usize]) -> bool {
    offsets.iter().enumerate().all(|(index, offset)| *offset == index)
}

/// The computation of a product from the elements of its tensors.
struct Work<'a> {
    axes: &'a AxisGroups,
    a: &'a [f32],
    b: &'a [f32],
    y: &'a mut [f32],
}

impl Product for Work<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Work { axes: AxisGroups { batches, rows, columns, terms }, a, b, y } = self;
        let batches = offsets(batches, |axis| axis.a)
            .into_iter()
            .zip(offsets(batches, |axis| axis.b))
            .zip(offsets(batches, |axis| axis.y));
        let (rows_a, rows_y) = (offsets(rows, |axis| axis.a), offsets(rows, |axis| axis.y));
        let (terms_a, terms_b) = (offsets(terms, |axis| axis.a), offsets(terms, |axis| axis.b));
        let columns = offsets(columns, |axis| axis.b);
        let length = terms_a.len();
        // `sums` needs contiguous rows of the first input. If they are not contiguous, they are
        // copied for each batch.
        let gathers = !are_adjacent(&terms_a);
        let mut gathered = vec![0.0; if gathers { rows_a.len() * length } else { 0 }];
        let mut panel = vec![[0.0; LANES]; length];
        // The sums of one tile, `[row of the tile][column of the panel]`.
        let mut stored = Box::new([[0.0; LANES]; ROWS]);
        for ((a_first, b_first), y_first) in batches {
            let (a, b, y) = (&a[a_first..], &b[b_first..], &mut y[y_first..]);
            if gathers {
                for (row, to) in rows_a.iter().zip(gathered.chunks_exact_mut(length)) {
                    to.iter_mut().zip(&terms_a).for_each(|(to, term)| *to = a[row + term]);
                }
            }
            for (index, columns) in columns.chunks(LANES).enumerate() {
                pack(&mut panel, b, columns, &terms_b);
                let row = |row: usize| {
                    if gathers {
                        &gathered[row * length..][..panel.len()]
                    } else {
                        &a[rows_a[row]..][..panel.len()]
                    }
                };
                for first in (0..rows_a.len()).step_by(ROWS) {
                    let count = ROWS.min(rows_a.len() - first);
                    // If fewer than `ROWS` rows remain, the tile repeats the last row. The results
                    // of the repetitions are not stored.
                    let rows = std::array::from_fn(|position| row(first + position.min(count - 1)));
                    sums::<ROWS, FMA>(&panel, rows, &mut stored);
                    for (sums, row) in stored.iter().zip(&rows_y[first..][..count]) {
                        let y = &mut y[row + index * LANES..];
                        match (columns.len(), y.first_chunk_mut::<LANES>()) {
                            (LANES, Some(y)) => *y = *sums,
                            (width, _) => y[..width].copy_from_slice(&sums[..width]),
                        }
                    }
                }
            }
        }
    }
}

/// Copies up to [`LANES`] columns of the second input to `panel`, `[term][LANES]`. `columns` and
/// `terms` are the offsets of the columns and the terms in `b`. Lanes beyond the last column keep
/// old values; their results are not stored.
#[inline(always)]
fn pack(panel: &mut [[f32; LANES]], b: &[f32], columns: &[usize], terms: &[usize]) {
    let first = columns[0];
    if columns.len() == LANES && columns.windows(2).all(|pair| pair[1] == pair[0] + 1) {
        // Adjacent columns are copied as vectors.
        for (line, term) in panel.iter_mut().zip(terms) {
            if let Some(lanes) = b[first + term..].first_chunk::<LANES>() {
                *line = *lanes;
            }
        }
        return;
    }
    for (lane, column) in columns.iter().enumerate() {
        let b = &b[*column..];
        panel.iter_mut().zip(terms).for_each(|(line, term)| line[lane] = b[*term]);
    }
}
