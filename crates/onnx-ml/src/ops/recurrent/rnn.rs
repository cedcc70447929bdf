//! The cell of [RNN](https://onnx.ai/onnx/operators/onnx__RNN.html). Its only gate is the new
//! hidden state: `hidden = f(x + R hidden)`, where `x` is the input product including the biases.

use super::cell::{Cell, Direction, Step};
use super::weights::Weights;
use serde::{Deserialize, Serialize};

/// The cell of RNN.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Rnn;

impl Cell for Rnn {
    const NAME: &'static str = "RNN";
    const PRODUCTS: &'static [usize] = &[1];
    const ACTIVATIONS: &'static [&'static str] = &["Tanh"];

    fn step(&self, direction: &Direction, weights: &Weights, step: Step<'_>) {
        let size = step.hidden_size;
        weights.recurrent[0].add_product(step.hidden, step.gates, size);
        for row in step.active_rows() {
            let gate = &mut step.gates[row * size..][..size];
            direction.activate(0, gate);
            step.hidden[row * size..][..size].copy_from_slice(gate);
        }
    }
}
