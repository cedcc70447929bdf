//! Matrix products of 8-bit integers:
//! [MatMulInteger](https://onnx.ai/onnx/operators/onnx__MatMulInteger.html),
//! [QLinearMatMul](https://onnx.ai/onnx/operators/onnx__QLinearMatMul.html), and ONNX Runtime's
//! [QGemm and
//! MatMulIntegerToFloat](https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md).
//!
//! If the second matrix is a constant, it is packed when the model is loaded. The conversion of
//! MatMulInteger's sums to floats and the scales and the bias after it are fused into the product,
//! because dynamic quantization writes the four operators in a row.

use crate::encoding::fields::optional_datum_type;
use crate::kernels::integer_product::{
    Columns, Corrections, Epilogue, FLIP, Floats, Integers, OutputScales, Requantized, Rows,
    multiply,
};
use crate::kernels::quantize::Narrow;
use crate::operator::adapter::{self, Built, kernel_op, successor};
use crate::operator::kernel::{Fact, Kernel, Patch};
use crate::ops::quantized::operand::{Operand, Output, Scales, expanded};
use serde::{Deserialize, Serialize};
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::broadcast::multi_broadcast;
use tract_onnx::tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::math;
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

/// Returns the index of each input, not counting the omitted inputs before it. tract passes no
/// omitted inputs.
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
        zeros: zeros.map(|zero| zero.map(Operand::Input)),
        scales,
        bias: bias.map(Operand::Input),
        bias_is_integer: false,
        y_zero: y_zero.map(Operand::Input),
        y_type: None,
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
        /// [`FLIP`] if the integers were unsigned, else 0.
        flip: u8,
    },
}

/// The product of the first input and `b`.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct IntegerMatMul {
    b: Matrix,
    /// `b` is an input whose last two axes must be swapped.
    transposed: bool,
    /// Zero points of the two matrices.
    zeros: [Option<Operand>; 2],
    scales: Scales,
    bias: Option<Operand>,
    /// The bias is added to the sums, before the scales.
    bias_is_integer: bool,
    /// Zero point of a quantized output.
    y_zero: Option<Operand>,
    /// Type of a quantized output, if its zero point is not an input.
    #[serde(with = "optional_datum_type")]
    y_type: Option<DatumType>,
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
        let [a_zero, b_zero] = &self.zeros;
        let check = |name, operand: &Option<Operand>, length| {
            operand.as_ref().map_or(Ok(()), |operand| operand.check(name, inputs, length))
        };
        check("zero point of the first matrix", a_zero, None)?;
        check("zero points of the second matrix", b_zero, Some(&columns))?;
        check("bias", &self.bias, Some(&columns))?;
        check("scale of the output", &self.scales.divisor, None)?;
        check("zero point of the output", &self.y_zero, None)?;
        for factor in &self.scales.factors {
            factor.check("scales", inputs, Some(&columns))?;
        }
        let output = match (self.output, self.y_type, &self.y_zero) {
            (Output::Integers, ..) => i32::datum_type(),
            (Output::Floats, ..) => f32::datum_type(),
            (Output::Quantized, Some(found), _) => found,
            (Output::Quantized, _, Some(Operand::Input(zero))) => inputs[*zero].datum_type,
            (Output::Quantized, ..) => inputs[0].datum_type,
        };
        if self.output == Output::Quantized {
            eight_bits(output)?;
        }
        Ok(tvec!(Fact::new(output, shape(&inputs[0].shape, &b)?)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        match (self.output, self.y_type, &self.y_zero) {
            (Output::Integers, ..) => self.run::<i32>(inputs, |product, y| {
                let columns = product.length;
                product.run(&mut Integers { y, columns })
            }),
            (Output::Floats, ..) => {
                let bias = match &self.bias {
                    Some(bias) if !self.bias_is_integer => bias.values::<f32>(inputs)?,
                    _ => vec![],
                };
                self.run::<f32>(inputs, |product, y| {
                    let length = product.length;
                    let scales = self.scales.values(inputs, length)?;
                    let bias = expanded(bias.clone(), length);
                    product.run(&mut Floats { y, scales: &scales, bias: &bias })
                })
            }
            (_, found, zero) => {
                let found = match (found, zero) {
                    (Some(found), _) => found,
                    (None, Some(Operand::Input(zero))) => inputs[*zero].datum_type(),
                    (None, _) => inputs[0].datum_type(),
                };
                if found == u8::datum_type() {
                    self.requantized::<u8>(inputs)
                } else {
                    self.requantized::<i8>(inputs)
                }
            }
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

/// Returns the shape of the product of tensors of shapes `a` and `b`, which are stacks of matrices.
/// A vector is a row as first and a column as second input, and the output lacks that axis.
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
    /// Zero points of the packed integers: one of the rows, and one for each column.
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
    /// Returns the shape of the second matrix with rows for the terms.
    fn oriented<D: Clone>(&self, shape: &[D]) -> TVec<D> {
        let mut shape: TVec<D> = shape.into();
        if let ([.., rows, columns], true) = (shape.as_mut_slice(), self.transposed) {
            std::mem::swap(rows, columns);
        }
        shape
    }

    fn requantized<T: Narrow + Datum>(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let zero = self.y_zero.as_ref().map_or(Ok(0.0), |zero| zero.value::<f32>(inputs))?;
        self.run::<T>(inputs, |product, y| {
            let columns = product.length;
            let scales = self.scales.values(inputs, columns)?;
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
        ensure!(terms > 0, "expected matrices with terms, found none");
        let zeros = self.zeros.each_ref().map(|zero| match zero {
            Some(zero) => zero.values::<i32>(inputs),
            None => Ok(vec![0]),
        });
        let [a_zero, b_zeros] = zeros;
        let a_zero = a_zero?.first().map_or(0, |zero| zero + i32::from(a_flip));
        let b_zeros: Vec<i32> = b_zeros?.iter().map(|zero| zero - i32::from(b_flip)).collect();
        let b_zeros = expanded(b_zeros, length);
        let bias = match &self.bias {
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

    /// Packs the matrices of a tensor. Returns also the shape of the tensor and [`FLIP`] if its
    /// integers are unsigned.
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
        let zeros = folded.zeros.iter_mut().flatten().map(|zero| (zero, i32::datum_type()));
        let Scales { factors, divisor } = &mut folded.scales;
        let scales = factors.iter_mut().chain(divisor).map(|scale| (scale, f32::datum_type()));
        let bias_type = if self.bias_is_integer { i32::datum_type() } else { f32::datum_type() };
        let bias = folded.bias.iter_mut().map(|bias| (bias, bias_type));
        for (operand, to) in zeros.chain(scales).chain(bias) {
            operand.fold(&facts, to)?;
        }
        if let Some(Operand::Input(zero)) = folded.y_zero {
            folded.y_type = Some(facts[zero].datum_type);
        }
        if let Some(zero) = &mut folded.y_zero {
            zero.fold(&facts, f32::datum_type())?;
        }
        if let Matrix::Input(index) = self.b
            && let Some(b) = &facts[index].konst
            && b.rank() == 2
        {
            let (mut packed, _, flip) = self.packed(b)?;
            folded.b = Matrix::Packed { columns: packed.remove(0), flip };
            folded.transposed = false;
        }
        folded.without_unused_inputs(model, node)
    }

    /// Returns a patch that replaces `node` by this kernel, which reads only a part of the node's
    /// inputs. Returns `None` if the kernel reads all of them.
    fn without_unused_inputs(mut self, model: &TypedModel, node: &TypedNode) -> Patch {
        let mut inputs = vec![node.inputs[0]];
        for index in self.inputs() {
            inputs.push(node.inputs[*index]);
            *index = inputs.len() - 1;
        }
        if inputs.len() == node.inputs.len() {
            return Ok(None);
        }
        TypedModelPatch::replace_single_op(model, node, &inputs, kernel_op(self)).map(Some)
    }

    /// Returns the indices of all inputs but the first.
    fn inputs(&mut self) -> Vec<&mut usize> {
        let matrix = match &mut self.b {
            Matrix::Input(index) => Some(index),
            Matrix::Packed { .. } => None,
        };
        let Scales { factors, divisor } = &mut self.scales;
        let operands = self.zeros.iter_mut().flatten().chain(factors).chain(divisor);
        let operands = operands.chain(&mut self.bias).chain(&mut self.y_zero);
        let inputs = operands.filter_map(|operand| match operand {
            Operand::Input(index) => Some(index),
            Operand::Constant(_) => None,
        });
        matrix.into_iter().chain(inputs).collect()
    }

    /// Fuses the product with a conversion to floats and a multiplication by scales.
    fn fuse_scale(&self, model: &TypedModel, node: &TypedNode) -> Patch {
        let Some(cast) = successor(model, node) else { return Ok(None) };
        if cast.op_as::<Cast>().is_none_or(|cast| cast.to != f32::datum_type()) {
            return Ok(None);
        }
        let Some((last, scale)) = with_row::<math::Mul>(model, cast)? else { return Ok(None) };
        let mut fused = self.clone();
        fused.output = Output::Floats;
        fused.scales.factors.push(Operand::Input(node.inputs.len()));
        fused.replace(model, node, last, scale)
    }

    /// Fuses the product with the addition of a bias.
    fn fuse_bias(&self, model: &TypedModel, node: &TypedNode) -> Patch {
        if self.bias.is_some() {
            return Ok(None);
        }
        let Some((last, bias)) = with_row::<math::Add>(model, node)? else { return Ok(None) };
        let mut fused = self.clone();
        fused.bias = Some(Operand::Input(node.inputs.len()));
        fused.bias_is_integer = false;
        fused.replace(model, node, last, bias)
    }

    /// Returns a patch that replaces the nodes from `first` to `last` by this kernel, whose inputs
    /// are those of `first` and `added`.
    fn replace(
        self,
        model: &TypedModel,
        first: &TypedNode,
        last: &TypedNode,
        added: OutletId,
    ) -> Patch {
        let mut patch = TypedModelPatch::default();
        let mut inputs = patch.taps(model, &first.inputs)?;
        inputs.push(patch.tap_model(model, added)?);
        let y = patch.wire_node(&last.name, kernel_op(self), &inputs)?;
        patch.shunt_outside(model, last.id.into(), y[0])?;
        Ok(Some(patch))
    }
}

/// Returns the only reader of `node` and its other operand, if the reader is the operator `O` and
/// the operand has a single element, or an element for each column and no other axes.
fn with_row<'m, O: BinMiniOp>(
    model: &'m TypedModel,
    node: &'m TypedNode,
) -> TractResult<Option<(&'m TypedNode, OutletId)>> {
    let Some(next) = successor(model, node) else { return Ok(None) };
    let is_operator = next.op_as::<TypedBinOp>().is_some_and(|op| op.0.is::<O>() && op.1.is_none());
    let others: Vec<_> = next.inputs.iter().filter(|input| input.node != node.id).collect();
    let (true, [other]) = (is_operator, others.as_slice()) else { return Ok(None) };
    let (output, fact) = (&node.outputs[0].fact, model.outlet_fact(**other)?);
    let is_row = match (&fact.shape[..], output.shape.last()) {
        ([outer @ .., last], Some(columns)) => {
            outer.iter().all(TDim::is_one) && (last.is_one() || last == columns)
        }
        _ => false,
    };
    let keeps_shape = next.outputs[0].fact.shape == output.shape;
    let is_float = fact.datum_type == f32::datum_type();
    Ok((is_row && keeps_shape && is_float).then_some((next, **other)))
}

/// Returns the integers of a tensor as bytes, and [`FLIP`] if they are unsigned, else 0.
pub fn bytes(tensor: &Tensor) -> TractResult<(&[u8], u8)> {
    let view = tensor.try_as_plain_ram()?;
    match tensor.datum_type() {
        DatumType::U8 => Ok((view.as_slice::<u8>()?, FLIP)),
        DatumType::I8 => Ok((bytemuck::cast_slice(view.as_slice::<i8>()?), 0)),
        found => bail!("expected 8-bit integers, found {found:?}"),
    }
}

/// Returns the index of the matrix that belongs to matrix `index` of a stack with axes `shape`, in
/// a stack whose axes `own` are broadcast to `shape`.
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
