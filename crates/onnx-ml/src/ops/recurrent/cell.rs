//! One step of a recurrent layer: the interface that the cells of LSTM, GRU and RNN implement.

use super::activation::Activation;
use super::weights::Weights;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

/// The computation of one step, which differs between the operators.
pub trait Cell: Debug + Clone + Send + Sync + 'static {
    /// Name of the operator in ONNX.
    const NAME: &'static str;

    /// A step multiplies a hidden state by recurrent weights once for each element of this list.
    /// The element is the number of gates that the product computes.
    const PRODUCTS: &'static [usize];

    /// Number of gates: the sum of [`Cell::PRODUCTS`].
    const GATES: usize = {
        let mut gates = 0;
        let mut index = 0;
        while index < Self::PRODUCTS.len() {
            gates += Self::PRODUCTS[index];
            index += 1;
        }
        gates
    };

    /// Names of the default activation functions of a direction.
    const ACTIVATIONS: &'static [&'static str];

    /// Returns `true` if the cell needs the recurrent bias of the last gate separately, in
    /// [`Weights::recurrent_bias`]. Otherwise all recurrent biases are part of [`Weights::bias`].
    fn separates_bias(&self) -> bool {
        false
    }

    /// Updates the hidden state and the cell state of the active rows. The contents of
    /// [`Step::gates`] and [`Step::scratch`] are arbitrary afterwards.
    fn step(&self, direction: &Direction, weights: &Weights, step: Step<'_>);
}

/// The buffers of one step of a block of rows. Each row is an element of the batch.
pub struct Step<'a> {
    pub hidden_size: usize,
    /// `[rows, GATES * hidden_size]`. At the beginning of the step, it holds the products of the
    /// input weights and the inputs, plus the bias.
    pub gates: &'a mut [f32],
    /// Hidden state, `[rows, hidden_size]`.
    pub hidden: &'a mut [f32],
    /// Cell state, `[rows, hidden_size]`. Only LSTM has a cell state.
    pub cell: &'a mut [f32],
    /// Scratch memory, `[rows, hidden_size]`.
    pub scratch: &'a mut [f32],
    /// Index of the step in the sequence.
    pub time: usize,
    /// Length of each row's sequence. `None` if all sequences have the length of the input.
    pub lengths: Option<&'a [usize]>,
}

impl<'a> Step<'a> {
    /// Returns the active rows: the rows whose sequence has not ended before this step.
    pub fn active_rows(&self) -> impl Iterator<Item = usize> + use<'a> {
        let (time, lengths) = (self.time, self.lengths);
        (0..self.hidden.len() / self.hidden_size)
            .filter(move |row| lengths.is_none_or(|lengths| time < lengths[*row]))
    }
}

/// A direction in which a layer goes through the sequence.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Direction {
    /// `true` if the layer goes from the last step to the first.
    pub reversed: bool,
    /// One function per entry of [`Cell::ACTIVATIONS`].
    pub activations: Vec<Activation>,
    /// Maximum absolute value of a gate before its activation function.
    pub clip: Option<f32>,
}

impl Direction {
    /// Clips `gates` and applies the activation function at `index`, in place.
    pub fn activate(&self, index: usize, gates: &mut [f32]) {
        if let Some(clip) = self.clip {
            gates.iter_mut().for_each(|gate| *gate = gate.clamp(-clip, clip));
        }
        self.activations[index].apply(gates);
    }
}
