//! Inputs of integer products that may be constants of the model: zero points, scales and biases.

use crate::encoding::fields::shared_tensor;
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
            bail!("expected a scalar, found {} elements", values.len());
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
