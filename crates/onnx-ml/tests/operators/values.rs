//! Random values for operators.

use crate::random::Random;

impl Random {
    pub fn flag(&mut self) -> bool {
        self.below(2) == 0
    }

    /// Returns a number between -1 and 1.
    pub fn number(&mut self) -> f32 {
        (self.below(1 << 20) as f32 / (1 << 19) as f32) - 1.0
    }

    pub fn numbers(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.number()).collect()
    }

    /// Returns a float from a short list that includes NaN, so that equal floats are frequent.
    pub fn category(&mut self) -> f32 {
        [0.0, -0.0, 1.0, 2.5, -3.0, f32::NAN, f32::INFINITY][self.below(7)]
    }

    /// Returns a word from a short list, so that equal words are frequent.
    pub fn word(&mut self) -> String {
        ["", "a", "b", "red", "dark blue", "ü"][self.below(6)].to_owned()
    }
}
