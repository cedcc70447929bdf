//! Inputs of integer products that may be constants of the model: zero points, scales and biases.

use crate::encoding::fields::{optional_datum_type, shared_tensor};
use crate::operator::kernel::Fact;
use crate::operator::tensors::elements;
use serde::{Deserialize, Serialize};
use tract_onnx::tract_hir::internal::*;

/// A small tensor: a single element, or an element for each column or output channel.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub enum Operand {
    /// The input of the node with this index.
    Input(usize),
    Constant(#[serde(with = "shared_tensor")] Arc<Tensor>),
}

impl Operand {
    /// Returns the elements, cast to `T`.
    pub fn values<T: Datum + Copy>(&self, inputs: &[TValue]) -> TractResult<Vec<T>> {
        let constant;
        let value = match self {
            Operand::Input(index) => &inputs[*index],
            Operand::Constant(tensor) => {
                constant = tensor.clone().into_tvalue();
                &constant
            }
        };
        Ok(elements::<T>(value)?.try_as_plain_ram()?.as_slice::<T>()?.to_vec())
    }

    /// Returns the only element, cast to `T`.
    ///
    /// # Errors
    ///
    /// Returns an error if the number of elements is not 1.
    pub fn value<T: Datum + Copy>(&self, inputs: &[TValue]) -> TractResult<T> {
        let values = self.values(inputs)?;
        let [value] = values.as_slice() else {
            bail!("scale or zero point: expected one element, found {}", values.len());
        };
        Ok(*value)
    }

    /// Returns an error if the number of elements is neither 1 nor `length`.
    pub fn check(&self, name: &str, inputs: &[Fact], length: Option<&TDim>) -> TractResult<()> {
        let found = match self {
            Operand::Input(index) => inputs[*index].shape.iter().product::<TDim>(),
            Operand::Constant(tensor) => tensor.len().to_dim(),
        };
        let fits = found == 1.to_dim() || Some(&found) == length;
        ensure!(fits, "{name}: expected 1 element or {length:?}, found {found}");
        Ok(())
    }

    /// Replaces an input that is a constant of the model by its value, cast to `to`.
    pub fn fold(&mut self, inputs: &[&TypedFact], to: DatumType) -> TractResult<()> {
        if let Operand::Input(index) = self
            && let Some(value) = &inputs[*index].konst
        {
            *self = Operand::Constant(value.cast_to_dt(to)?.into_owned().into_arc_tensor());
        }
        Ok(())
    }
}

/// Repeats a single value `length` times. Any other list is returned as it is.
pub fn expanded<T: Copy>(mut values: Vec<T>, length: usize) -> Vec<T> {
    if let [value] = values.as_slice() {
        values.resize(length, *value);
    }
    values
}

/// The scales of a product, which are factors of the sums.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
pub struct Scales {
    pub factors: Vec<Operand>,
    /// The scale of a quantized output.
    pub divisor: Option<Operand>,
}

impl Scales {
    /// Returns the scale of each of `length` columns or output channels.
    pub fn values(&self, inputs: &[TValue], length: usize) -> TractResult<Vec<f32>> {
        let mut scales = vec![1.0];
        for factor in &self.factors {
            let factor = factor.values::<f32>(inputs)?;
            scales = match (scales.as_slice(), factor.as_slice()) {
                ([scale], _) => factor.iter().map(|factor| scale * factor).collect(),
                (_, [factor]) => scales.iter().map(|scale| scale * factor).collect(),
                _ => scales.iter().zip(&factor).map(|(scale, factor)| scale * factor).collect(),
            };
        }
        if let Some(divisor) = &self.divisor {
            let divisor = divisor.value::<f32>(inputs)?;
            scales.iter_mut().for_each(|scale| *scale /= divisor);
        }
        Ok(expanded(scales, length))
    }
}

/// Type of the output of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub enum Output {
    /// The sums.
    Integers,
    /// The sums times the scales.
    Floats,
    /// The sums times the scales, rounded, plus a zero point.
    Quantized,
}

/// The operands of a product or a convolution of 8-bit integers, other than its two tensors.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Quantization {
    /// Zero points of the two tensors.
    pub zeros: [Option<Operand>; 2],
    pub scales: Scales,
    pub bias: Option<Operand>,
    /// Zero point of a quantized output.
    pub y_zero: Option<Operand>,
    /// Type of a quantized output. `None` if the zero point of the output is an input, which determines the type.
    #[serde(with = "optional_datum_type")]
    y_type: Option<DatumType>,
}

impl Quantization {
    /// Creates the operands from the indices of the inputs.
    pub fn new(
        zeros: [Option<usize>; 2],
        scales: Scales,
        [bias, y_zero]: [Option<usize>; 2],
    ) -> Quantization {
        Quantization {
            zeros: zeros.map(|zero| zero.map(Operand::Input)),
            scales,
            bias: bias.map(Operand::Input),
            y_zero: y_zero.map(Operand::Input),
            y_type: None,
        }
    }

    /// Returns an error if the number of elements of an operand is wrong. Every operand may have 1 element. An operand
    /// of the second tensor may also have `length` elements, where `length` is the number of columns or output
    /// channels.
    pub fn check(&self, inputs: &[Fact], length: &TDim) -> TractResult<()> {
        let [first, second] = &self.zeros;
        let check = |name, operand: &Option<Operand>, length| {
            operand.as_ref().map_or(Ok(()), |operand| operand.check(name, inputs, length))
        };
        check("zero point of the first tensor", first, None)?;
        check("zero points of the second tensor", second, Some(length))?;
        check("bias", &self.bias, Some(length))?;
        check("scale of the output", &self.scales.divisor, None)?;
        check("zero point of the output", &self.y_zero, None)?;
        for factor in &self.scales.factors {
            factor.check("scales", inputs, Some(length))?;
        }
        Ok(())
    }

    /// Returns the type of a quantized output, which is the type of its zero point. `input` returns
    /// the type of an input. Returns `None` if the output has no zero point.
    pub fn quantized_type(&self, input: impl Fn(usize) -> DatumType) -> Option<DatumType> {
        match (self.y_type, &self.y_zero) {
            (Some(found), _) => Some(found),
            (None, Some(Operand::Input(zero))) => Some(input(*zero)),
            (None, _) => None,
        }
    }

    /// Replaces inputs that are constants of the model by their values. `bias_type` is the type of
    /// the bias.
    pub fn fold(&mut self, facts: &[&TypedFact], bias_type: DatumType) -> TractResult<()> {
        self.y_type = self.quantized_type(|input| facts[input].datum_type);
        let zeros = self.zeros.iter_mut().flatten().map(|zero| (zero, i32::datum_type()));
        let Scales { factors, divisor } = &mut self.scales;
        let scales = factors.iter_mut().chain(divisor).map(|scale| (scale, f32::datum_type()));
        let bias = self.bias.iter_mut().map(|bias| (bias, bias_type));
        let y_zero = self.y_zero.iter_mut().map(|zero| (zero, f32::datum_type()));
        for (operand, to) in zeros.chain(scales).chain(bias).chain(y_zero) {
            operand.fold(facts, to)?;
        }
        Ok(())
    }

    /// Returns the indices of the operands that are inputs.
    pub fn inputs(&mut self) -> impl Iterator<Item = &mut usize> {
        let Scales { factors, divisor } = &mut self.scales;
        let operands = self.zeros.iter_mut().flatten().chain(factors).chain(divisor);
        let operands = operands.chain(&mut self.bias).chain(&mut self.y_zero);
        operands.filter_map(|operand| match operand {
            Operand::Input(index) => Some(index),
            Operand::Constant(_) => None,
        })
    }
}

/// Removes the inputs that a kernel does not read. `indices` are the indices of the inputs that the kernel reads, in
/// addition to the first input. Changes each index to the position among the inputs that remain. Returns the inputs
/// that remain, or `None` if the kernel reads all inputs of `node`.
pub fn remaining_inputs<'i>(
    node: &TypedNode,
    indices: impl Iterator<Item = &'i mut usize>,
) -> Option<TVec<OutletId>> {
    let mut inputs = tvec!(node.inputs[0]);
    for index in indices {
        inputs.push(node.inputs[*index]);
        *index = inputs.len() - 1;
    }
    (inputs.len() < node.inputs.len()).then_some(inputs)
}
