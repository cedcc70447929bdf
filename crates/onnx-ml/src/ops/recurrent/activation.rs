//! The activation functions of the attribute `activations`. Some functions have one parameter,
//! `alpha`, or two, `alpha` and `beta`.

use crate::kernels::math::{exp, tanh};
use crate::kernels::slices::each;
use serde::{Deserialize, Serialize};
use tract_onnx::tract_hir::internal::*;

/// An activation function with its parameters, `alpha` before `beta`.
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
    /// Returns the function called `name`. Case is ignored, as in ONNX Runtime. A function with
    /// parameters takes the next elements of the attributes `activation_alpha` and
    /// `activation_beta`, or ONNX's default values if there are no more elements.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such function.
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
            _ => bail!("expected an activation function of ONNX, found {name}"),
        })
    }

    /// Applies the function to each element, in place.
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
