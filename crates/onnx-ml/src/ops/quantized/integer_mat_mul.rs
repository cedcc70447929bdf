//! Matrix products of 8-bit integers:
//! [MatMulInteger](https://onnx.ai/onnx/operators/onnx__MatMulInteger.html),
//! [QLinearMatMul](https://onnx.ai/onnx/operators/onnx__QLinearMatMul.html), and ONNX Runtime's
//! [QGemm and
//! MatMulIntegerToFloat](https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md).
//!
//! If the second matrix is a constant, it is packed when the model is loaded. Dynamic quantization writes four
//! operators in a row: MatMulInteger, a conversion of the sums to floats, a multiplication by scales, and the addition
//! of a bias. The last three operators are fused into the product.

mod fusions;

use crate::kernels::integer_product::{
    Columns, Corrections, Epilogue, FLIP, Floats, Integers, OutputScales, Requantized, Rows,
    multiply,
};
use crate::kernels::quantize::Narrow;
use crate::operator::adapter::{self, Built, kernel_op};
use crate::operator::kernel::{Fact, Kernel, Patch};
use crate::ops::quantized::operand::{
    Operand, Output, Quantization, Scales, expanded, remaining_inputs,
};
use serde::{Deserialize, Serialize};
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::broadcast::multi_broadcast;
use tract_onnx::tract_hir::internal::*;

pub fn mat_mul_integer(_: &ParsingContext, node: &NodeProto) -> Built {
    let [a, b, a_zero, b_zero] = roles(node);
    build(node, [a, b], [a_zero, b_zero], Scales::default(), [None, None], Output::Integers)
}

pub fn q_linear_mat_mul(_: &ParsingContext, node: &NodeProto) -> Built {
    let [a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero] = roles(node);
    node.expect(y_zero.is_some(), || format!("8 inputs, found {:?}", node.input))?;
    let factors = [a_scale, b_scale].into_iter().flatten().map(Operand::Input).collect();
    let scales = Scales { factors, divisor: y_scale.map(Operand::Input) };
    build(node, [a, b], [a_zero, b_zero], scales, [None, y_zero], Output::Quantized)
}

pub fn mat_mul_integer_to_float(_: &ParsingContext, node: &NodeProto) -> Built {
    let [a, b, a_scale, b_scale, a_zero, b_zero, bias] = roles(node);
    let factors = [a_scale, b_scale].into_iter().flatten().map(Operand::Input).collect();
    let scales = Scales { factors, divisor: None };
    build(node, [a, b], [a_zero, b_zero], scales, [bias, None], Output::Floats)
}

pub fn q_gemm(_: &ParsingContext, node: &NodeProto) -> Built {
    let [a, a_scale, a_zero, b, b_scale, b_zero, bias, y_scale, y_zero] = roles(node);
    let flag = |name: &str| TractResult::Ok(node.get_attr_opt::<i64>(name)?.unwrap_or(0) != 0);
    node.expect_attr("transA", !flag("transA")?, || "0, found 1".to_owned())?;
    let alpha = node.get_attr_opt::<f32>("alpha")?.unwrap_or(1.0);
    let alpha = Operand::Constant(rctensor0(alpha));
    let factors = [a_scale, b_scale].into_iter().flatten().map(Operand::Input);
    let scales = Scales {
        factors: std::iter::once(alpha).chain(factors).collect(),
        divisor: y_scale.map(Operand::Input),
    };
    let output = if y_scale.is_some() { Output::Quantized } else { Output::Floats };
    let mut product =
        integer_mat_mul(node, [a, b], [a_zero, b_zero], scales, [bias, y_zero], output)?;
    product.bias_is_integer = true;
    product.transposed = flag("transB")?;
    adapter::variadic(node, product)
}

/// Returns the index of each input among the inputs that the node has, because tract passes no omitted inputs.
fn roles<const N: usize>(node: &NodeProto) -> [Option<usize>; N] {
    let mut roles = [None; N];
    roles.iter_mut().zip(optional_inputs(node)).for_each(|(role, index)| *role = index);
    roles
}

fn build(
    node: &NodeProto,
    matrices: [Option<usize>; 2],
    zeros: [Option<usize>; 2],
    scales: Scales,
    [bias, y_zero]: [Option<usize>; 2],
    output: Output,
) -> Built {
    let kernel = integer_mat_mul(node, matrices, zeros, scales, [bias, y_zero], output)?;
    adapter::variadic(node, kernel)
}

fn integer_mat_mul(
    node: &NodeProto,
    [a, b]: [Option<usize>; 2],
    zeros: [Option<usize>; 2],
    scales: Scales,
    [bias, y_zero]: [Option<usize>; 2],
    output: Output,
) -> TractResult<IntegerMatMul> {
    let (Some(0), Some(b)) = (a, b) else {
        bail!("expected two matrices, found inputs {:?}", node.input);
    };
    let expected = 2 * usize::from(output != Output::Integers);
    let found = scales.factors.iter().filter(|scale| matches!(scale, Operand::Input(_))).count();
    node.expect(found == expected, || format!("{expected} scales, found {found}"))?;
    Ok(IntegerMatMul {
        b: Matrix::Input(b),
        transposed: false,
        quantization: Quantization::new(zeros, scales, [bias, y_zero]),
        bias_is_integer: false,
        output,
    })
}

/// The second matrix of a product.
#[derive(Debug, Clone, Deserialize, Serialize)]
enum Matrix {
    /// The input with this index.
    Input(usize),
    Packed {
        columns: Arc<Columns>,
        /// [`FLIP`] if the integers were unsigned before packing. Otherwise 0.
        flip: u8,
    },
}

/// The product of the first input and `b`.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct IntegerMatMul {
    b: Matrix,
    /// `true` if `b` is an input whose last two axes must be swapped.
    transposed: bool,
    quantization: Quantization,
    /// `true` if the bias is an integer, which is added to the sums before they are multiplied by the scales.
    bias_is_integer: bool,
    output: Output,
}

impl Kernel for IntegerMatMul {
    const NAME: &'static str = "IntegerMatMul";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let eight_bits = |found: DatumType| {
            let is_supported = matches!(found, DatumType::U8 | DatumType::I8);
            ensure!(is_supported, "expected a matrix of 8-bit integers, found {found:?}");
            Ok(())
        };
        eight_bits(inputs[0].datum_type)?;
        let b = match &self.b {
            Matrix::Input(index) => {
                eight_bits(inputs[*index].datum_type)?;
                self.oriented(&inputs[*index].shape)
            }
            Matrix::Packed { columns, .. } => {
                tvec!(columns.terms.to_dim(), columns.columns.to_dim())
            }
        };
        let columns = if b.len() < 2 { 1.to_dim() } else { b[b.len() - 1].clone() };
        self.quantization.check(inputs, &columns)?;
        let output = self.output_type(|index| inputs[index].datum_type);
        if self.output == Output::Quantized {
            eight_bits(output)?;
        }
        Ok(tvec!(Fact::new(output, shape(&inputs[0].shape, &b)?)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        match (self.output, self.output_type(|index| inputs[index].datum_type())) {
            (Output::Integers, _) => self.run::<i32>(inputs, |product, y| {
                let columns = product.length;
                product.run(&mut Integers { y, columns })
            }),
            (Output::Floats, _) => {
                let Quantization { scales, bias, .. } = &self.quantization;
                let bias = match bias {
                    Some(bias) if !self.bias_is_integer => bias.values::<f32>(inputs)?,
                    _ => vec![],
                };
                self.run::<f32>(inputs, |product, y| {
                    let length = product.length;
                    let scales = scales.values(inputs, length)?;
                    let bias = expanded(bias.clone(), length);
                    product.run(&mut Floats { y, scales: &scales, bias: &bias })
                })
            }
            (Output::Quantized, DatumType::U8) => self.requantized::<u8>(inputs),
            (Output::Quantized, _) => self.requantized::<i8>(inputs),
        }
    }

    fn fuse(self: &Arc<Self>, model: &TypedModel, node: &TypedNode) -> Patch {
        if let Some(patch) = self.fold_constants(model, node)? {
            return Ok(Some(patch));
        }
        match self.output {
            Output::Integers => self.fuse_scale(model, node),
            Output::Floats => self.fuse_bias(model, node),
            Output::Quantized => Ok(None),
        }
    }
}

/// Returns the shape of the product of tensors of shapes `a` and `b`, which are stacks of matrices. If the first input
/// is a vector, it counts as a row. If the second input is a vector, it counts as a column. The output has no axis for
/// a vector.
fn shape<D: DimLike>(a: &[D], b: &[D]) -> TractResult<TVec<D>> {
    ensure!(!a.is_empty() && !b.is_empty(), "expected matrices, found a scalar");
    let (a_batch, rows, terms) = match a {
        [batch @ .., rows, terms] => (batch, Some(rows), terms),
        _ => (&a[..0], None, &a[0]),
    };
    let (b_batch, b_terms, columns) = match b {
        [batch @ .., terms, columns] => (batch, terms, Some(columns)),
        _ => (&b[..0], &b[0], None),
    };
    ensure!(
        terms.compatible_with(b_terms),
        "expected as many rows of the second matrix as columns of the first, found shapes {a:?} and {b:?}"
    );
    let mut shape = multi_broadcast(&[a_batch, b_batch])?;
    shape.extend(rows.cloned());
    shape.extend(columns.cloned());
    Ok(shape)
}

/// The product of two matrices, before its epilogue.
struct Product<'a> {
    rows: Rows<'a>,
    columns: &'a Columns,
    /// Number of columns.
    length: usize,
    /// Zero points of the packed integers: one zero point for all rows of the first matrix, and one for each column of
    /// the second matrix.
    zeros: (i32, Vec<i32>),
    /// Bias of each column, or an empty list.
    bias: &'a [i32],
}

impl Product<'_> {
    fn run(&self, epilogue: &mut impl Epilogue) -> TractResult<()> {
        let Product { rows, columns, zeros: (a_zero, b_zeros), bias, .. } = self;
        let terms = i32::try_from(columns.terms)?;
        let mut offsets: Vec<i32> = columns
            .sums
            .iter()
            .zip(b_zeros)
            .map(|(sum, b_zero)| {
                a_zero.wrapping_mul(terms.wrapping_mul(*b_zero).wrapping_sub(*sum))
            })
            .collect();
        offsets
            .iter_mut()
            .zip(*bias)
            .for_each(|(offset, bias)| *offset = offset.wrapping_add(*bias));
        let is_symmetric = b_zeros.iter().all(|zero| *zero == 0);
        let sums = if is_symmetric { vec![] } else { rows.sums() };
        let factors = (!is_symmetric).then_some([sums.as_slice(), b_zeros.as_slice()]);
        let corrections = Corrections { rows: &[], columns: &offsets, factors };
        multiply(rows, columns.panels(), 0, corrections, epilogue);
        Ok(())
    }
}

impl IntegerMatMul {
    /// Returns the shape of the second matrix, with the last two axes swapped if the matrix is transposed.
    fn oriented<D: Clone>(&self, shape: &[D]) -> TVec<D> {
        let mut shape: TVec<D> = shape.into();
        if let ([.., rows, columns], true) = (shape.as_mut_slice(), self.transposed) {
            std::mem::swap(rows, columns);
        }
        shape
    }

    /// Returns the type of the output. `input` returns the type of an input. A quantized output
    /// without a zero point has the type of the first matrix.
    fn output_type(&self, input: impl Fn(usize) -> DatumType) -> DatumType {
        match self.output {
            Output::Integers => i32::datum_type(),
            Output::Floats => f32::datum_type(),
            Output::Quantized => {
                self.quantization.quantized_type(&input).unwrap_or_else(|| input(0))
            }
        }
    }

    fn requantized<T: Narrow + Datum>(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let zero =
            self.quantization.y_zero.as_ref().map_or(Ok(0.0), |zero| zero.value::<f32>(inputs))?;
        self.run::<T>(inputs, |product, y| {
            let columns = product.length;
            let scales = self.quantization.scales.values(inputs, columns)?;
            let scales = OutputScales::Columns(&scales);
            product.run(&mut Requantized { y, columns, scales, zero })
        })
    }

    /// Calls `finish` with the product of each pair of matrices and its part of the output.
    fn run<T: Datum + Copy>(
        &self,
        inputs: &[TValue],
        mut finish: impl FnMut(Product<'_>, &mut [T]) -> TractResult<()>,
    ) -> TractResult<Vec<Tensor>> {
        let a = &inputs[0];
        let (a_bytes, a_flip) = bytes(a)?;
        let a_flip = a_flip ^ FLIP;
        let stacked;
        let (matrices, b_shape, b_flip) = match &self.b {
            Matrix::Packed { columns, flip } => {
                (std::slice::from_ref(columns), tvec!(columns.terms, columns.columns), *flip)
            }
            Matrix::Input(index) => {
                let (columns, shape, flip) = self.packed(&inputs[*index])?;
                stacked = columns;
                (stacked.as_slice(), shape, flip)
            }
        };
        let shape = shape(a.shape(), &b_shape)?;
        let (terms, length) = (matrices[0].terms, matrices[0].columns);
        ensure!(terms > 0, "expected a first matrix of at least one column, found {terms}");
        let zeros = self.quantization.zeros.each_ref().map(|zero| match zero {
            Some(zero) => zero.values::<i32>(inputs),
            None => Ok(vec![0]),
        });
        let [a_zero, b_zeros] = zeros;
        let a_zero = a_zero?.first().map_or(0, |zero| zero + i32::from(a_flip));
        let b_zeros: Vec<i32> = b_zeros?.iter().map(|zero| zero - i32::from(b_flip)).collect();
        let b_zeros = expanded(b_zeros, length);
        let bias = match &self.quantization.bias {
            Some(bias) if self.bias_is_integer => expanded(bias.values::<i32>(inputs)?, length),
            _ => vec![],
        };
        let product = |bytes, columns| Product {
            rows: Rows::new(bytes, terms, a_flip),
            columns,
            length,
            zeros: (a_zero, b_zeros.clone()),
            bias: &bias,
        };
        let mut y = Tensor::zero_dt(T::datum_type(), &shape)?;
        let mut view = y.try_as_plain_ram_mut()?;
        let elements = view.as_slice_mut::<T>()?;
        if elements.is_empty() {
            return Ok(vec![y]);
        }
        if let [columns] = matrices {
            // All rows of all matrices of the first input.
            finish(product(a_bytes, columns), elements)?;
        } else {
            let rows = if a.rank() < 2 { 1 } else { a.shape()[a.rank() - 2] };
            let batch = &shape[..shape.len() - usize::from(a.rank() > 1) - 1];
            let a_batch = &a.shape()[..a.rank().saturating_sub(2)];
            let b_batch = &b_shape[..b_shape.len() - 2];
            for (index, y) in elements.chunks_exact_mut(rows * length).enumerate() {
                let a = broadcast_index(index, batch, a_batch) * rows * terms;
                let b = broadcast_index(index, batch, b_batch);
                finish(product(&a_bytes[a..][..rows * terms], &matrices[b]), y)?;
            }
        }
        Ok(vec![y])
    }

    /// Packs the matrices of a tensor. Returns the packed matrices, the shape of the tensor, and [`FLIP`] if the
    /// integers are unsigned. If they are signed, returns 0 instead of [`FLIP`].
    fn packed(&self, b: &Tensor) -> TractResult<(Vec<Arc<Columns>>, TVec<usize>, u8)> {
        let swapped;
        let b = if self.transposed && b.rank() > 1 {
            let rank = b.rank();
            swapped = b.clone().move_axis(rank - 1, rank - 2)?;
            &swapped
        } else {
            b
        };
        let (bytes, flip) = bytes(b)?;
        let (terms, columns) = match b.shape() {
            [.., terms, columns] => (*terms, *columns),
            shape => (shape.first().copied().unwrap_or(1), 1),
        };
        let matrices = bytes.chunks_exact((terms * columns).max(1));
        let pack = |bytes| Arc::new(Columns::new(bytes, terms, columns, flip));
        let mut packed: Vec<Arc<Columns>> = matrices.map(pack).collect();
        if packed.is_empty() {
            packed.push(pack(&[]));
        }
        Ok((packed, b.shape().into(), flip))
    }

    /// Moves inputs that are constants of the model into the kernel.
    fn fold_constants(&self, model: &TypedModel, node: &TypedNode) -> Patch {
        let facts = model.node_input_facts(node.id)?;
        let mut folded = self.clone();
        let bias_type = if self.bias_is_integer { i32::datum_type() } else { f32::datum_type() };
        folded.quantization.fold(&facts, bias_type)?;
        if let Matrix::Input(index) = self.b
            && let Some(b) = &facts[index].konst
            && b.rank() == 2
        {
            let (mut packed, _, flip) = self.packed(b)?;
            folded.b = Matrix::Packed { columns: packed.remove(0), flip };
            folded.transposed = false;
        }
        let matrix = match &mut folded.b {
            Matrix::Input(index) => Some(index),
            Matrix::Packed { .. } => None,
        };
        let indices = matrix.into_iter().chain(folded.quantization.inputs());
        let Some(inputs) = remaining_inputs(node, indices) else { return Ok(None) };
        TypedModelPatch::replace_single_op(model, node, &inputs, kernel_op(folded)).map(Some)
    }
}

/// Returns the integers of a tensor as bytes, and [`FLIP`] if the integers are unsigned. If they are signed, returns 0
/// instead of [`FLIP`].
pub fn bytes(tensor: &Tensor) -> TractResult<(&[u8], u8)> {
    let view = tensor.try_as_plain_ram()?;
    match tensor.datum_type() {
        DatumType::U8 => Ok((view.as_slice::<u8>()?, FLIP)),
        DatumType::I8 => Ok((bytemuck::cast_slice(view.as_slice::<i8>()?), 0)),
        found => bail!("expected 8-bit integers, found {found:?}"),
    }
}

/// Returns an index of a matrix in a stack with the axes `own`, which are broadcast to the axes `shape`. `index` is the
/// index of the corresponding matrix in a stack with the axes `shape`.
fn broadcast_index(index: usize, shape: &[usize], own: &[usize]) -> usize {
    let (mut rest, mut stride, mut found) = (index, 1, 0);
    let own = own.iter().rev().map(Some).chain(std::iter::repeat(None));
    for (length, own) in shape.iter().rev().zip(own) {
        let position = rest % length;
        rest /= length;
        if let Some(own) = own {
            found += if *own == 1 { 0 } else { position * stride };
            stride *= own;
        }
    }
    found
}
