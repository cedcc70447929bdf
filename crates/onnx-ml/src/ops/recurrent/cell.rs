//! One step of a recurrent operator, after the products with the inputs.

use super::activation::Activation;
use super::weights::Weights;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

/// The part that differs between the operators.
pub trait Cell: Debug + Clone + Send + Sync + 'static {
    const NAME: &'static str;

    /// Number of gates of each recurrent product of a step.
    const PRODUCTS: &'static [usize];

    /// Number of gates of all products.
    const GATES: usize = {
        let mut gates = 0;
        let mut index = 0;
        while index < Self::PRODUCTS.len() {
            gates += Self::PRODUCTS[index];
            index += 1;
        }
        gates
    };

    /// Default activations of one direction.
    const ACTIVATIONS: &'static [&'static str];

    /// Returns `true` if the recurrent bias of the last gate is kept in [`Weights::recurrent_bias`]
    /// and not added to the other biases.
    fn separates_bias(&self) -> bool {
        false
    }

    /// Updates hidden and cell state of the active rows.
    fn step(&self, direction: &Direction, weights: &Weights, step: Step<'_>);
}

/// One step of a block of rows.
pub struct Step<'a> {
    pub hidden_size: usize,
    /// `[rows, gates]`: products with the inputs, plus the bias.
    pub gates: &'a mut [f32],
    /// Hidden state, `[rows, hidden_size]`.
    pub hidden: &'a mut [f32],
    /// Cell state, `[rows, hidden_size]`.
    pub cell: &'a mut [f32],
    /// Scratch memory, `[rows, hidden_size]`; its contents do not survive a step.
    pub scratch: &'a mut [f32],
    pub time: usize,
    /// Length of each row's sequence, if any sequence is shorter than the longest.
    pub lengths: Option<&'a [usize]>,
}

impl<'a> Step<'a> {
    /// Returns the rows whose sequence has this step.
    pub fn active_rows(&self) -> impl Iterator<Item = usize> + use<'a> {
        let (time, lengths) = (self.time, self.lengths);
        (0..self.hidden.len() / self.hidden_size)
            .filter(move |row| lengths.is_none_or(|lengths| time < lengths[*row]))
    }
}

#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Direction {
    pub reversed: bool,
    pub activations: Vec<Activation>,
    /// Bound on the absolute value of gates before the activation.
    pub clip: Option<f32>,
}

impl Direction {
    pub fn activate(&self, index: usize, gates: &mut [f32]) {
        if let Some(clip) = self.clip {
            gates.iter_mut().for_each(|gate| *gate = gate.clamp(-clip, clip));
        }
        self.activations[index].apply(gates);
    }
}
