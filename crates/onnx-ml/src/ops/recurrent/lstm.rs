//! The cell of [LSTM](https://onnx.ai/onnx/operators/onnx__LSTM.html). Its gates are input, output,
//! forget and candidate, in this order.

use super::cell::{Cell, Direction, Step};
use super::weights::Weights;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Lstm {
    /// Couples the gates: the forget gate is one minus the input gate.
    pub input_forget: bool,
}

impl Cell for Lstm {
    const NAME: &'static str = "LSTM";
    const PRODUCTS: &'static [usize] = &[4];
    const ACTIVATIONS: &'static [&'static str] = &["Sigmoid", "Tanh", "Tanh"];

    fn step(&self, direction: &Direction, weights: &Weights, step: Step<'_>) {
        let size = step.hidden_size;
        weights.recurrent[0].add(step.hidden, step.gates, 4 * size);
        for row in step.active_rows() {
            let gates = &mut step.gates[row * 4 * size..][..4 * size];
            let hidden = &mut step.hidden[row * size..][..size];
            let cell = &mut step.cell[row * size..][..size];
            direction.activate(1, &mut gates[3 * size..]);
            if let [of_input, _, of_forget] = &*weights.peepholes {
                add_product(&mut gates[..size], of_input, cell);
                add_product(&mut gates[2 * size..3 * size], of_forget, cell);
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
            if let [_, of_output, _] = &*weights.peepholes {
                add_product(output, of_output, cell);
                direction.activate(0, output);
            }
            hidden.copy_from_slice(cell);
            direction.activations[2].apply(hidden);
            hidden.iter_mut().zip(&*output).for_each(|(hidden, output)| *hidden *= output);
        }
    }
}

fn add_product(gates: &mut [f32], weights: &[f32], cell: &[f32]) {
    for ((gate, weight), cell) in gates.iter_mut().zip(weights).zip(cell) {
        *gate += weight * cell;
    }
}
