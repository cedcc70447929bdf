//! Products of two computed tensors, as in attention.
//!
//! The axes of a product are batches (in both inputs and the output), rows (in the first input and
//! the output), columns (in the second input and the output) and terms (summed). For each batch,
//! the second input is packed in panels of [`LANES`] columns, `[terms][LANES]`. [`ROWS`] rows of
//! the first input go through a panel at a time.

use super::dense::{LANES, ROWS, sums};
use crate::kernels::simd::{Product, product};
use crate::operator::kernel::{Fact, Kernel, kernel_op, written};
use serde::{Deserialize, Serialize};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_hir::internal::*;

/// A product in Einstein notation whose output ends with the axes that only the second input has.
#[derive(Debug, Deserialize, Serialize)]
pub struct MatMul {
    /// Letters of the axes.
    inputs: [Vec<char>; 2],
    output: Vec<char>,
    /// The inputs are swapped: the operator's first input is the second here.
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
    let ([of_a, of_b], [output]) = (inputs.as_slice(), outputs.as_slice()) else { return Ok(None) };
    let (a, b, output) = (axes(of_a), axes(of_b), axes(output));
    let summed = |(axis, dim): (&char, &TDim)| {
        output.contains(axis) || a.contains(axis) && b.contains(axis) || dim.is_one()
    };
    let plain = [(&a, facts[0]), (&b, facts[1])]
        .into_iter()
        .all(|(axes, fact)| are_distinct(axes) && axes.iter().zip(fact.shape.iter()).all(summed));
    if !plain {
        return Ok(None);
    }
    let product = MatMul::new(a.clone(), b.clone(), output.clone(), false)
        .or_else(|| MatMul::new(b, a, output, true));
    let inputs = facts.map(|fact| Fact::new(fact.datum_type, fact.shape.iter().cloned()));
    let same = |product: &MatMul| {
        let outputs = product.outputs(&inputs);
        outputs.is_ok_and(|outputs| outputs[0].shape.iter().eq(node.outputs[0].fact.shape.iter()))
    };
    Ok(product.filter(same))
}

impl MatMul {
    /// Returns `None` if the columns (axes of `b` and the output only) are not the last axes of the
    /// output.
    fn new(a: Vec<char>, b: Vec<char>, output: Vec<char>, swapped: bool) -> Option<MatMul> {
        let column = |axis: &&char| b.contains(axis) && !a.contains(axis);
        let columns = output.iter().rev().take_while(column).count();
        let fits = columns > 0 && output.iter().filter(column).count() == columns;
        fits.then_some(MatMul { inputs: [a, b], output, swapped })
    }

    fn swap<T>(&self, [a, b]: [T; 2]) -> [T; 2] {
        if self.swapped { [b, a] } else { [a, b] }
    }

    /// Returns the length of an axis from the shapes of both inputs. An axis that is kept is
    /// broadcast if one length is 1.
    fn length<'a, D: 'a + PartialEq>(
        &self,
        axis: char,
        shapes: [&'a [D]; 2],
        one: &D,
    ) -> TractResult<Option<&'a D>> {
        let position = |axes: &[char]| axes.iter().position(|other| *other == axis);
        let lengths = [0, 1].map(|input| Some(&shapes[input][position(&self.inputs[input])?]));
        match lengths {
            [Some(a), Some(b)] => {
                let kept = self.output.contains(&axis);
                let fit = a == b || kept && (a == one || b == one);
                ensure!(fit, "expected inputs of one length on axis {axis}");
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
            length.cloned().context("expected an axis of the inputs")
        });
        Ok(tvec!(Fact::new(f32::datum_type(), lengths.collect::<TractResult<TVec<TDim>>>()?)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let [a, b] = self.swap([&inputs[0], &inputs[1]]);
        let shapes = [a.shape(), b.shape()];
        let [of_a, of_b] = &self.inputs;
        let length = |axis: &char| self.length(*axis, shapes, &1);
        let mut shape: TVec<usize> = tvec!();
        for axis in &self.output {
            shape.push(*length(axis)?.context("expected an axis of the inputs")?);
        }
        let strides = Tensor::natural_strides(&shape);
        let mut offsets = Offsets::default();
        let has = |axes: &[char], axis: &char| axes.contains(axis);
        for axis in self.output.iter().chain(of_a.iter().filter(|axis| !has(&self.output, axis))) {
            let stride = |axes: &[char], of: &[usize], strides: &[isize]| {
                let position = axes.iter().position(|other| other == axis);
                let position = position.filter(|position| of[*position] > 1);
                position.map_or(0, |position| strides[position].unsigned_abs())
            };
            let axis_of = Axis {
                length: length(axis)?.copied().unwrap_or(1),
                a: stride(of_a, shapes[0], a.strides()),
                b: stride(of_b, shapes[1], b.strides()),
                y: stride(&self.output, &shape, &strides),
            };
            match (has(of_a, axis), has(of_b, axis), has(&self.output, axis)) {
                (true, true, true) => &mut offsets.batches,
                (true, false, _) => &mut offsets.rows,
                (false, ..) => &mut offsets.columns,
                (true, true, false) => &mut offsets.terms,
            }
            .push(axis_of);
        }
        let [a, b] = [a.try_as_plain_ram()?, b.try_as_plain_ram()?];
        let [a, b] = [a.as_slice::<f32>()?, b.as_slice::<f32>()?];
        Ok(vec![written(&shape, |y| {
            if !a.is_empty() && !b.is_empty() && !y.is_empty() {
                product(Work { offsets: &offsets, a, b, y });
            }
        })?])
    }
}

/// Returns `true` if no axis occurs twice, as it would for a diagonal.
fn are_distinct(axes: &[char]) -> bool {
    (1..axes.len()).all(|position| !axes[..position].contains(&axes[position]))
}

/// An axis: its length, and its stride in each tensor.
#[derive(Debug, Clone, Copy)]
struct Axis {
    length: usize,
    a: usize,
    b: usize,
    y: usize,
}

#[derive(Debug, Default)]
struct Offsets {
    batches: Vec<Axis>,
    rows: Vec<Axis>,
    columns: Vec<Axis>,
    terms: Vec<Axis>,
}

/// Returns the offsets of all index combinations over `axes`, in row-major order.
fn offsets(axes: &[Axis], stride: impl Fn(&Axis) -> usize) -> Vec<usize> {
    axes.iter().fold(vec![0], |offsets, axis| {
        let along = |position: usize| (0..axis.length).map(move |index| (position, index));
        offsets
            .into_iter()
            .flat_map(along)
            .map(|(position, index)| position + index * stride(axis))
            .collect()
    })
}

fn are_adjacent(offsets: &[usize]) -> bool {
    offsets.iter().enumerate().all(|(index, position)| *position == index)
}

struct Work<'a> {
    offsets: &'a Offsets,
    a: &'a [f32],
    b: &'a [f32],
    y: &'a mut [f32],
}

impl Product for Work<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Work { offsets: Offsets { batches, rows, columns, terms }, a, b, y } = self;
        let batches = offsets(batches, |axis| axis.a)
            .into_iter()
            .zip(offsets(batches, |axis| axis.b))
            .zip(offsets(batches, |axis| axis.y));
        let (rows_a, rows_y) = (offsets(rows, |axis| axis.a), offsets(rows, |axis| axis.y));
        let (terms_a, terms_b) = (offsets(terms, |axis| axis.a), offsets(terms, |axis| axis.b));
        let columns = offsets(columns, |axis| axis.b);
        let length = terms_a.len();
        let gathers = !are_adjacent(&terms_a);
        let mut gathered = vec![0.0; if gathers { rows_a.len() * length } else { 0 }];
        let mut panel = vec![[0.0; LANES]; length];
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
                    // The last tile repeats its last row, whose result is not stored.
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

#[inline(always)]
fn pack(panel: &mut [[f32; LANES]], b: &[f32], columns: &[usize], terms: &[usize]) {
    let first = columns[0];
    if columns.len() == LANES && columns.windows(2).all(|two| two[1] == two[0] + 1) {
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
