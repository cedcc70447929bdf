//! The cell of [GRU](https://onnx.ai/onnx/operators/onnx__GRU.html). Its gates are update, reset
//! and hidden, in this order.

use super::cell::{Cell, Direction, Step};
use super::weights::Weights;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Gru {
    /// Applies the reset gate after the hidden gate's recurrent product, not before it.
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
        let [of_gates, of_hidden] = &*weights.recurrent else {
            unreachable!("there are as many as in PRODUCTS");
        };
        of_gates.add(step.hidden, step.gates, width);
        for gates in step.gates.chunks_exact_mut(width) {
            direction.activate(0, &mut gates[..2 * size]);
        }
        let scratch = step.scratch.chunks_exact_mut(size);
        if self.linear_before_reset {
            scratch.for_each(|scratch| scratch.copy_from_slice(&weights.recurrent_bias));
            of_hidden.add(step.hidden, step.scratch, size);
            let rows = step.gates.chunks_exact_mut(width).zip(step.scratch.chunks_exact(size));
            for (gates, product) in rows {
                let (reset, hidden) = gates[size..].split_at_mut(size);
                for ((hidden, reset), product) in hidden.iter_mut().zip(&*reset).zip(product) {
                    *hidden += reset * product;
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
            of_hidden.add(step.scratch, &mut step.gates[2 * size..], width);
        }
        for row in step.active_rows() {
            let (gates, candidate) = step.gates[row * width..][..width].split_at_mut(2 * size);
            direction.activate(1, candidate);
            let hidden = &mut step.hidden[row * size..][..size];
            for ((hidden, update), candidate) in hidden.iter_mut().zip(&*gates).zip(&*candidate) {
                *hidden = *candidate + update * (*hidden - *candidate);
            }
        }
    }
}
