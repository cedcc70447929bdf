//! The weights of a recurrent layer, packed for matrix products.

use super::product::PackedMatrix;
use serde::{Deserialize, Serialize};
use tract_onnx::tract_hir::internal::*;

/// Weights of one direction.
#[derive(Debug, Deserialize, Serialize)]
pub struct Weights {
    /// Input weights, `[gates * hidden_size, columns]`.
    pub input: PackedMatrix,
    /// Recurrent weights: for each entry of [`Cell::PRODUCTS`](super::cell::Cell::PRODUCTS), a
    /// matrix `[gates * hidden_size, hidden_size]` of the gates of that product.
    pub recurrent: Vec<PackedMatrix>,
    /// Sum of the input bias and the recurrent bias of each gate, `[gates * hidden_size]`.
    pub bias: Vec<f32>,
    /// Recurrent bias of the last gate if
    /// [`Cell::separates_bias`](super::cell::Cell::separates_bias), otherwise empty.
    pub recurrent_bias: Vec<f32>,
    /// Peephole weights of the input, output and forget gate, `hidden_size` each. Empty if the
    /// layer has no peepholes.
    pub peepholes: Vec<Vec<f32>>,
}

impl Weights {
    /// Packs the weights of each direction from ONNX's tensors: `w` is
    /// `[directions, gates * hidden_size, columns]`, `r` is
    /// `[directions, gates * hidden_size, hidden_size]`, `b` is
    /// `[directions, 2 * gates * hidden_size]` and `p` is `[directions, 3 * hidden_size]`.
    ///
    /// `products` is [`Cell::PRODUCTS`](super::cell::Cell::PRODUCTS), and `separates_bias` is the
    /// result of [`Cell::separates_bias`](super::cell::Cell::separates_bias).
    ///
    /// # Errors
    ///
    /// Returns an error if the shapes do not match.
    pub fn pack(
        products: &[usize],
        separates_bias: bool,
        directions: usize,
        w: &Tensor,
        r: &Tensor,
        b: Option<&Tensor>,
        p: Option<&Tensor>,
    ) -> TractResult<Vec<Weights>> {
        let hidden_size = r.shape()[2];
        // Number of rows of all gates.
        let gates = products.iter().sum::<usize>() * hidden_size;
        let columns = w.shape()[2];
        let (w, r) = (w.cast_to::<f32>()?, r.cast_to::<f32>()?);
        let (b, p) = (
            b.map(|b| b.cast_to::<f32>()).transpose()?,
            p.map(|p| p.cast_to::<f32>()).transpose()?,
        );
        (0..directions)
            .map(|direction| {
                let input = elements_of_direction(&w, direction, directions, gates * columns)?;
                let recurrent =
                    elements_of_direction(&r, direction, directions, gates * hidden_size)?;
                let mut rest = recurrent.as_slice();
                let recurrent = products
                    .iter()
                    .map(|gates| {
                        let (product, after) = rest.split_at(gates * hidden_size * hidden_size);
                        rest = after;
                        PackedMatrix::new(gates * hidden_size, hidden_size, product)
                    })
                    .collect();
                let (mut bias, mut recurrent_bias) = match &b {
                    Some(b) => {
                        let mut bias = elements_of_direction(b, direction, directions, 2 * gates)?;
                        let recurrent = bias.split_off(gates);
                        (bias, recurrent)
                    }
                    None => (vec![0.0; gates], vec![0.0; gates]),
                };
                // Keep the recurrent bias of the last gate separate, if the cell needs this bias separately.
                let separate = if separates_bias { hidden_size } else { 0 };
                let last = recurrent_bias.split_off(gates - separate);
                for (bias, recurrent) in bias.iter_mut().zip(recurrent_bias) {
                    *bias += recurrent;
                }
                let peepholes = match &p {
                    Some(p) => elements_of_direction(p, direction, directions, 3 * hidden_size)?,
                    None => vec![],
                };
                Ok(Weights {
                    input: PackedMatrix::new(gates, columns, &input),
                    recurrent,
                    bias,
                    recurrent_bias: last,
                    peepholes: peepholes.chunks(hidden_size).map(<[f32]>::to_vec).collect(),
                })
            })
            .collect()
    }
}

impl Weights {
    /// Returns the weights of the direction at index `direction` with scales for the integers of the
    /// input weights, `w`, and of the recurrent weights, `r`, both `[directions, gates * hidden_size]`.
    ///
    /// # Errors
    ///
    /// Returns an error if there are not enough scales.
    pub fn quantized(self, direction: usize, w: &Tensor, r: &Tensor) -> TractResult<Weights> {
        let directions = w.shape().first().copied().unwrap_or_default();
        let gates = self.bias.len();
        let scales = |tensor| elements_of_direction(tensor, direction, directions, gates);
        let mut recurrent_scales = scales(r)?;
        let recurrent = self.recurrent.into_iter().map(|matrix| {
            let rest = recurrent_scales.split_off(matrix.rows());
            matrix.with_scales(std::mem::replace(&mut recurrent_scales, rest))
        });
        Ok(Weights {
            recurrent: recurrent.collect(),
            input: self.input.with_scales(scales(w)?),
            ..self
        })
    }
}

/// Returns the `len` elements of the direction at index `direction`, out of `directions`
/// directions.
fn elements_of_direction(
    tensor: &Tensor,
    direction: usize,
    directions: usize,
    len: usize,
) -> TractResult<Vec<f32>> {
    let (expected, found) = (directions * len, tensor.len());
    ensure!(expected == found, "expected {expected} weights in total, found {found}");
    let elements = tensor.try_as_plain_ram()?;
    Ok(elements.as_slice::<f32>()?[direction * len..][..len].to_vec())
}
