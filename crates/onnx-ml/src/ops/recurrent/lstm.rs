//! The cell of [LSTM](https://onnx.ai/onnx/operators/onnx__LSTM.html). Its gates are input `i`,
//! output `o`, forget `f` and candidate `c`, in this order. With the input products `x_*`, which
//! include the biases, the recurrent weights `R_*` and the optional peephole weights `P_*`, a step
//! computes:
//!
//! ```text
//! i = f(x_i + R_i hidden + P_i * cell)
//! f = f(x_f + R_f hidden + P_f * cell)      or, with input_forget, f = 1 - i
//! c = g(x_c + R_c hidden)
//! cell = f * cell + i * c
//! o = f(x_o + R_o hidden + P_o * cell)
//! hidden = o * h(cell)
//! ```

use super::cell::{Cell, Direction, Step};
use super::weights::Weights;
use serde::{Deserialize, Serialize};

/// The cell of LSTM.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Lstm {
    /// `true` if the gates are coupled: the forget gate is one minus the input gate.
    pub input_forget: bool,
}

impl Cell for Lstm {
    const NAME: &'static str = "LSTM";
    const PRODUCTS: &'static [usize] = &[4];
    const ACTIVATIONS: &'static [&'static str] = &["Sigmoid", "Tanh", "Tanh"];

    fn step(&self, direction: &Direction, weights: &Weights, step: Step<'_>) {
        let size = step.hidden_size;
        weights.recurrent[0].add_product(step.hidden, step.gates, 4 * size);
        for row in step.active_rows() {
            let gates = &mut step.gates[row * 4 * size..][..4 * size];
            let hidden = &mut step.hidden[row * size..][..size];
            let cell = &mut step.cell[row * size..][..size];
            direction.activate(1, &mut gates[3 * size..]);
            if let [input_peepholes, _, forget_peepholes] = &*weights.peepholes {
                add_elementwise_product(&mut gates[..size], input_peepholes, cell);
                add_elementwise_product(&mut gates[2 * size..3 * size], forget_peepholes, cell);
                direction.activate(0, &mut gates[..size]);
                direction.activate(0, &mut gates[2 * size..3 * size]);
            } else {
                direction.activate(0, &mut gates[..3 * size]);
            }
            let (input, rest) = gates.split_at_mut(size);
            let (output, rest) = rest.split_at_mut(size);
            let (forget, candidate) = rest.split_at_mut(size);
            if self.input_forget {
                forget.iter_mut().zip(&*input).for_each(|(forget, input)| *forget = 1.0 - input);
            }
            for (((cell, forget), input), candidate) in
                cell.iter_mut().zip(&*forget).zip(&*input).zip(&*candidate)
            {
                *cell = forget * *cell + input * candidate;
            }
            // The output gate reads the new cell state.
            if let [_, output_peepholes, _] = &*weights.peepholes {
                add_elementwise_product(output, output_peepholes, cell);
                direction.activate(0, output);
            }
            hidden.copy_from_slice(cell);
            direction.activations[2].apply(hidden);
            hidden.iter_mut().zip(&*output).for_each(|(hidden, output)| *hidden *= output);
        }
    }
}

/// Adds `weights * cell`, element by element, to `gates`.
fn add_elementwise_product(gates: &mut [f32], weights: &[f32], cell: &[f32]) {
    for ((gate, weight), cell) in gates.iter_mut().zip(weights).zip(cell) {
        *gate += weight * cell;
    }
}
