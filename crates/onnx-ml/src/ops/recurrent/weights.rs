//! Weights of a recurrent operator, packed for its steps.

use super::product::Product;
use serde::{Deserialize, Serialize};
use tract_onnx::tract_hir::internal::*;

/// Weights of one direction.
#[derive(Debug, Deserialize, Serialize)]
pub struct Weights {
    pub input: Product,
    /// One product for each of the cell's.
    pub recurrent: Vec<Product>,
    /// Sum of input and recurrent bias of each gate.
    pub bias: Vec<f32>,
    /// Recurrent bias of the last gate, for a cell that separates it.
    pub recurrent_bias: Vec<f32>,
    /// Peephole weights of the input, output and forget gate; empty without peepholes.
    pub peepholes: Vec<Vec<f32>>,
}

impl Weights {
    /// Packs the weights of each direction from the tensors `W`, `R`, `B` and `P`.
    ///
    /// # Errors
    ///
    /// Returns an error if the shapes do not match.
    pub fn of_directions(
        products: &[usize],
        separates_bias: bool,
        directions: usize,
        w: &Tensor,
        r: &Tensor,
        b: Option<&Tensor>,
        p: Option<&Tensor>,
    ) -> TractResult<Vec<Weights>> {
        let hidden = r.shape()[2];
        let gates = products.iter().sum::<usize>() * hidden;
        let columns = w.shape()[2];
        let (w, r) = (w.cast_to::<f32>()?, r.cast_to::<f32>()?);
        let (b, p) = (
            b.map(|b| b.cast_to::<f32>()).transpose()?,
            p.map(|p| p.cast_to::<f32>()).transpose()?,
        );
        (0..directions)
            .map(|direction| {
                let input = part(&w, direction, directions, gates * columns)?;
                let recurrent = part(&r, direction, directions, gates * hidden)?;
                let mut rest = recurrent.as_slice();
                let recurrent = products
                    .iter()
                    .map(|gates| {
                        let (product, after) = rest.split_at(gates * hidden * hidden);
                        rest = after;
                        Product::new(gates * hidden, hidden, product)
                    })
                    .collect();
                let (mut bias, mut recurrent_bias) = match &b {
                    Some(b) => {
                        let mut bias = part(b, direction, directions, 2 * gates)?;
                        let recurrent = bias.split_off(gates);
                        (bias, recurrent)
                    }
                    None => (vec![0.0; gates], vec![0.0; gates]),
                };
                let separate = if separates_bias { hidden } else { 0 };
                let last = recurrent_bias.split_off(gates - separate);
                for (bias, recurrent) in bias.iter_mut().zip(recurrent_bias) {
                    *bias += recurrent;
                }
                let peepholes = match &p {
                    Some(p) => part(p, direction, directions, 3 * hidden)?,
                    None => vec![],
                };
                Ok(Weights {
                    input: Product::new(gates, columns, &input),
                    recurrent,
                    bias,
                    recurrent_bias: last,
                    peepholes: peepholes.chunks(hidden).map(<[f32]>::to_vec).collect(),
                })
            })
            .collect()
    }
}

/// Returns the elements of one direction.
fn part(tensor: &Tensor, direction: usize, directions: usize, len: usize) -> TractResult<Vec<f32>> {
    let (expected, found) = (directions * len, tensor.len());
    ensure!(expected == found, "expected {expected} weights, found {found}");
    let elements = tensor.try_as_plain_ram()?;
    Ok(elements.as_slice::<f32>()?[direction * len..][..len].to_vec())
}
