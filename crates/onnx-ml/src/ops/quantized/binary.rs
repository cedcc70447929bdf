//! ONNX Runtime's
//! [QLinearAdd and QLinearMul](https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md):
//! the sum or product of two tensors of 8-bit integers, quantized with a given scale.
//!
//! The kernel computes in the same order as ONNX Runtime. In a different order, some results would round to the next
//! integer, and the layers of a deep network would amplify these differences.

use crate::kernels::broadcast::Loops;
use crate::kernels::quantize::{Narrow, clamped};
use crate::kernels::simd::{self, Product};
use crate::operator::adapter::{Built, variadic};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::tensor;
use serde::{Deserialize, Serialize};
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::tract_core::broadcast::multi_broadcast;

/// The operation on the dequantized elements.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
enum Operation {
    Add,
    Mul,
}

/// Indices of the inputs that contain a scale and a zero point.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
struct Quantization {
    /// Index of the input with the scale.
    scale: usize,
    /// Index of the input with the zero point. `None` if the zero point is 0.
    zero: Option<usize>,
}

/// QLinearAdd or QLinearMul. The first input is one of the operands.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct QuantizedBinary {
    operation: Operation,
    /// Index of the input that is the second operand.
    b: usize,
    /// The scales and zero points of both operands and of the result.
    quantizations: [Quantization; 3],
}

/// Builds QLinearAdd.
pub fn q_linear_add(_: &ParsingContext, node: &NodeProto) -> Built {
    build(node, Operation::Add)
}

/// Builds QLinearMul.
pub fn q_linear_mul(_: &ParsingContext, node: &NodeProto) -> Built {
    build(node, Operation::Mul)
}

fn build(node: &NodeProto, operation: Operation) -> Built {
    let inputs: Vec<Option<usize>> = optional_inputs(node).take(8).collect();
    let required = |position: usize| {
        inputs[position].with_context(|| format!("expected input {position}, found none"))
    };
    required(0)?;
    let quantization = |scale: usize| -> TractResult<Quantization> {
        Ok(Quantization { scale: required(scale)?, zero: inputs[scale + 1] })
    };
    let quantizations = [quantization(1)?, quantization(4)?, quantization(6)?];
    variadic(node, QuantizedBinary { operation, b: required(3)?, quantizations })
}

impl Kernel for QuantizedBinary {
    const NAME: &'static str = "QuantizedBinary";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let datum_type = inputs[0].datum_type;
        let is_byte = [i8::datum_type(), u8::datum_type()].contains(&datum_type);
        ensure!(is_byte, "expected 8-bit integers, found {datum_type:?}");
        let zeros = self.quantizations.iter().filter_map(|quantization| quantization.zero);
        for index in zeros.chain([self.b]) {
            let found = inputs[index].datum_type;
            ensure!(
                found == datum_type,
                "zero points and second operand: expected type {datum_type:?}, found {found:?}"
            );
        }
        let shape = multi_broadcast(&[&inputs[0].shape, &inputs[self.b].shape])?;
        Ok(tvec!(Fact::new(datum_type, shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let output = if inputs[0].datum_type() == i8::datum_type() {
            self.compute::<i8>(inputs)
        } else {
            self.compute::<u8>(inputs)
        };
        Ok(vec![output?])
    }
}

impl QuantizedBinary {
    fn compute<T: Narrow + Datum>(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let [a, b] = [0, self.b].map(|index| &inputs[index]);
        let shape = multi_broadcast(&[a.shape(), b.shape()])?;
        let [a_shape, b_shape] = [a, b].map(|operand| {
            let missing = shape.len() - operand.rank();
            let ones = std::iter::repeat_n(1, missing);
            ones.chain(operand.shape().iter().copied()).collect::<TVec<usize>>()
        });
        let loops = Loops::new([&a_shape, &b_shape]).with_context(|| {
            format!("expected shapes that broadcast, found {:?} and {:?}", a.shape(), b.shape())
        })?;
        let mut y = vec![T::default(); shape.iter().product()];
        simd::product(Work {
            operation: self.operation,
            a: a.try_as_plain_ram()?.as_slice::<T>()?,
            b: b.try_as_plain_ram()?.as_slice::<T>()?,
            y: &mut y,
            loops,
            scales: self.values::<f32>(inputs, |quantization| Some(quantization.scale))?,
            zeros: self.values::<T>(inputs, |quantization| quantization.zero)?.map(T::into),
        });
        tensor(&shape, y)
    }

    /// Returns a value for each operand and for the result. If there is no input for a value, the value is the default
    /// of the type.
    fn values<T: Datum + Copy + Default>(
        &self,
        inputs: &[TValue],
        index: impl Fn(&Quantization) -> Option<usize>,
    ) -> TractResult<[T; 3]> {
        let mut values = [T::default(); 3];
        for (value, quantization) in values.iter_mut().zip(&self.quantizations) {
            let Some(index) = index(quantization) else { continue };
            let tensor = inputs[index].try_as_plain_ram()?;
            let [only] = tensor.as_slice::<T>()? else {
                bail!(
                    "expected one scale and one zero point, found shape {:?}",
                    inputs[index].shape()
                );
            };
            *value = *only;
        }
        Ok(values)
    }
}

/// The operands and the result of [`QuantizedBinary`].
struct Work<'a, T> {
    operation: Operation,
    a: &'a [T],
    b: &'a [T],
    y: &'a mut [T],
    loops: Loops<2>,
    scales: [f32; 3],
    zeros: [f32; 3],
}

impl<T: Narrow> Product for Work<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let ([a_scale, b_scale, y_scale], [a_zero, b_zero, y_zero]) = (self.scales, self.zeros);
        let add = |x: f32, factor: f32, sum: f32| {
            if FMA { x.mul_add(factor, sum) } else { x * factor + sum }
        };
        match self.operation {
            Operation::Add => {
                let [a_ratio, b_ratio] = [a_scale / y_scale, b_scale / y_scale];
                let offset = y_zero - add(a_ratio, a_zero, b_ratio * b_zero);
                self.map(|a, b| add(a, a_ratio, add(b, b_ratio, offset)));
            }
            Operation::Mul => {
                let ratio = a_scale * b_scale / y_scale;
                self.map(|a, b| (a - a_zero) * (b - b_zero) * ratio + y_zero);
            }
        }
    }
}

impl<T: Narrow> Work<'_, T> {
    /// Sets each element of `y` to the rounded result of `map` for the elements of `a` and `b`.
    #[inline(always)]
    fn map(self, map: impl Fn(f32, f32) -> f32) {
        let Work { a, b, y, loops, .. } = self;
        let Some((length, steps)) = loops.loops.last().copied() else { return };
        let result = |a: T, b: T| clamped(map(a.into(), b.into()).round_ties_even());
        let mut rows = y.chunks_exact_mut(length.max(1));
        loops.for_each_inner_loop(|[a_start, b_start]| {
            let Some(y) = rows.next() else { return };
            let (a, b) = (&a[a_start..], &b[b_start..]);
            match steps {
                [0, _] => y.iter_mut().zip(b).for_each(|(y, b)| *y = result(a[0], *b)),
                [_, 0] => y.iter_mut().zip(a).for_each(|(y, a)| *y = result(*a, b[0])),
                _ => y.iter_mut().zip(a).zip(b).for_each(|((y, a), b)| *y = result(*a, *b)),
            }
        });
    }
}
