//! A step of a recurrent operator, once the products with the inputs are there.

use super::activation::Activation;
use super::weights::Weights;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;

/// What differs between the operators.
pub trait Cell: Debug + Clone + Send + Sync + 'static {
    const NAME: &'static str;

    /// The recurrent products of a step, each of so many gates.
    const PRODUCTS: &'static [usize];

    /// The gates of all products.
    const GATES: usize = {
        let mut gates = 0;
        let mut index = 0;
        while index < Self::PRODUCTS.len() {
            gates += Self::PRODUCTS[index];
            index += 1;
        }
        gates
    };

    /// What a direction's activations are without the attribute.
    const ACTIVATIONS: &'static [&'static str];

    /// Whether the last gate's recurrent bias is not simply added, but [`Weights::recurrent_bias`].
    fn separates_bias(&self) -> bool {
        false
    }

    /// Hidden and cell state after a step, for the active rows.
    fn step(&self, direction: &Direction, weights: &Weights, step: Step<'_>);
}

/// One step of a block of rows.
pub struct Step<'a> {
    pub hidden_size: usize,
    /// `[rows, gates]`: the products with the inputs, and the bias.
    pub gates: &'a mut [f32],
    /// `[rows, hidden_size]`
    pub hidden: &'a mut [f32],
    /// `[rows, hidden_size]`
    pub cell: &'a mut [f32],
    /// `[rows, hidden_size]`, of no meaning between the steps.
    pub scratch: &'a mut [f32],
    pub time: usize,
    /// The rows' lengths, where not all are of full length.
    pub lengths: Option<&'a [usize]>,
}

impl<'a> Step<'a> {
    /// The rows whose sequence has this step.
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
    /// What gates are limited to before the activation.
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
