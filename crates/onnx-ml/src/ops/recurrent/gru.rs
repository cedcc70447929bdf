//! The cell of [GRU](https://onnx.ai/onnx/operators/onnx__GRU.html). Its gates are update `z`,
//! reset `r` and candidate `h`, in this order. With the input products `x_*`, which include the
//! biases, and the recurrent weights `R_*`, a step computes:
//!
//! ```text
//! z = f(x_z + R_z hidden)
//! r = f(x_r + R_r hidden)
//! h = g(x_h + R_h (r * hidden))             or, with linear_before_reset,
//! h = g(x_h + r * (R_h hidden + bias_h))
//! hidden = (1 - z) * h + z * hidden
//! ```

use super::cell::{Cell, Direction, Step};
use super::weights::Weights;
use serde::{Deserialize, Serialize};

/// The cell of GRU.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Gru {
    /// If `true`, the recurrent product of the candidate is multiplied by the reset gate. If `false`, the hidden state
    /// is multiplied by the reset gate before the recurrent product.
    pub linear_before_reset: bool,
}

impl Cell for Gru {
    const NAME: &'static str = "GRU";
    const PRODUCTS: &'static [usize] = &[2, 1];
    const ACTIVATIONS: &'static [&'static str] = &["Sigmoid", "Tanh"];

    fn separates_bias(&self) -> bool {
        self.linear_before_reset
    }

    fn step(&self, direction: &Direction, weights: &Weights, step: Step<'_>) {
        let size = step.hidden_size;
        let width = 3 * size;
        let [gate_weights, candidate_weights] = &*weights.recurrent else {
            unreachable!("there is one matrix for each entry of PRODUCTS");
        };
        // Update and reset gate.
        gate_weights.add_product(step.hidden, step.gates, width);
        for gates in step.gates.chunks_exact_mut(width) {
            direction.activate(0, &mut gates[..2 * size]);
        }
        // The recurrent part of the candidate.
        let scratch = step.scratch.chunks_exact_mut(size);
        if self.linear_before_reset {
            scratch.for_each(|scratch| scratch.copy_from_slice(&weights.recurrent_bias));
            candidate_weights.add_product(step.hidden, step.scratch, size);
            let rows = step.gates.chunks_exact_mut(width).zip(step.scratch.chunks_exact(size));
            for (gates, product) in rows {
                let (reset, candidate) = gates[size..].split_at_mut(size);
                for ((candidate, reset), product) in candidate.iter_mut().zip(&*reset).zip(product)
                {
                    *candidate += reset * product;
                }
            }
        } else {
            let rows = step.gates.chunks_exact(width).zip(step.hidden.chunks_exact(size));
            for (scratch, (gates, hidden)) in scratch.zip(rows) {
                let reset = &gates[size..2 * size];
                for ((scratch, reset), hidden) in scratch.iter_mut().zip(reset).zip(hidden) {
                    *scratch = reset * hidden;
                }
            }
            candidate_weights.add_product(step.scratch, &mut step.gates[2 * size..], width);
        }
        for row in step.active_rows() {
            let (gates, candidate) = step.gates[row * width..][..width].split_at_mut(2 * size);
            direction.activate(1, candidate);
            let hidden = &mut step.hidden[row * size..][..size];
            for ((hidden, update), candidate) in hidden.iter_mut().zip(&*gates).zip(&*candidate) {
                // This equals (1 - update) * candidate + update * hidden.
                *hidden = *candidate + update * (*hidden - *candidate);
            }
        }
    }
}
