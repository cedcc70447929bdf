//! Activation functions that the attribute `activations` can name, with `alpha` and `beta`.
//! Functions with parameters consume the next values of these attributes, or use ONNX's defaults.

use crate::kernels::simd::{each, exp, tanh};
use serde::{Deserialize, Serialize};
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub enum Activation {
    Affine(f32, f32),
    Elu(f32),
    HardSigmoid(f32, f32),
    LeakyRelu(f32),
    Relu,
    ScaledTanh(f32, f32),
    Sigmoid,
    Softplus,
    Softsign,
    Tanh,
    ThresholdedRelu(f32),
}

impl Activation {
    /// Creates an activation function by name.
    ///
    /// # Errors
    ///
    /// Returns an error if the name is unknown; case is ignored, as in ONNX Runtime.
    pub fn new(
        name: &str,
        alphas: &mut impl Iterator<Item = f32>,
        betas: &mut impl Iterator<Item = f32>,
    ) -> TractResult<Activation> {
        let mut alpha = |default| alphas.next().unwrap_or(default);
        let mut beta = |default| betas.next().unwrap_or(default);
        Ok(match &*name.to_ascii_lowercase() {
            "affine" => Activation::Affine(alpha(1.0), beta(0.0)),
            "elu" => Activation::Elu(alpha(1.0)),
            "hardsigmoid" => Activation::HardSigmoid(alpha(0.2), beta(0.5)),
            "leakyrelu" => Activation::LeakyRelu(alpha(0.01)),
            "relu" => Activation::Relu,
            "scaledtanh" => Activation::ScaledTanh(alpha(1.0), beta(1.0)),
            "sigmoid" => Activation::Sigmoid,
            "softplus" => Activation::Softplus,
            "softsign" => Activation::Softsign,
            "tanh" => Activation::Tanh,
            "thresholdedrelu" => Activation::ThresholdedRelu(alpha(1.0)),
            _ => bail!("expected an activation of ONNX, found {name}"),
        })
    }

    /// Applies the function in place.
    pub fn apply(self, elements: &mut [f32]) {
        match self {
            Activation::Affine(alpha, beta) => each(elements, move |x| alpha * x + beta),
            Activation::Elu(alpha) => {
                each(elements, move |x| if x < 0.0 { alpha * x.exp_m1() } else { x });
            }
            Activation::HardSigmoid(alpha, beta) => {
                each(elements, move |x| (alpha * x + beta).clamp(0.0, 1.0));
            }
            Activation::LeakyRelu(alpha) => {
                each(elements, move |x| if x < 0.0 { alpha * x } else { x })
            }
            Activation::Relu => each(elements, move |x| x.max(0.0)),
            Activation::ScaledTanh(alpha, beta) => each(elements, move |x| alpha * tanh(beta * x)),
            Activation::Sigmoid => each(elements, sigmoid),
            Activation::Softplus => each(elements, move |x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
            Activation::Softsign => each(elements, move |x| x / (1.0 + x.abs())),
            Activation::Tanh => each(elements, tanh),
            Activation::ThresholdedRelu(alpha) => {
                each(elements, move |x| if x > alpha { x } else { 0.0 });
            }
        }
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}
