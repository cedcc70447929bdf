//! Runs a block of rows through the steps of a sequence, in one direction.

use super::cell::{Cell, Direction, Step};
use super::weights::Weights;
use std::ops::Range;

/// Maximum number of rows in a block, and in a product over several steps.
pub const BLOCK: usize = 128;

/// One direction over all steps of an input `[time, batch, columns]`.
pub struct Sequence<'a, C> {
    pub cell: &'a C,
    pub direction: &'a Direction,
    pub weights: &'a Weights,
    pub x: &'a [f32],
    pub time: usize,
    pub batch: usize,
    pub hidden_size: usize,
    pub lengths: Option<&'a [usize]>,
}

impl<C: Cell> Sequence<'_, C> {
    /// Calls `each` after every step with the hidden states of the block's rows, which are zero
    /// past a row's end.
    pub fn run(
        &self,
        rows: Range<usize>,
        hidden: &mut [f32],
        cell: &mut [f32],
        mut each: impl FnMut(usize, &[f32]),
    ) {
        let count = rows.len();
        let width = self.weights.bias.len();
        let columns = self.weights.input.columns();
        let lengths = self.lengths.map(|lengths| &lengths[rows.clone()]);
        // The rows of several steps are adjacent only if the block holds the whole batch.
        let ahead =
            if count == self.batch { (BLOCK / count).clamp(1, self.time.max(1)) } else { 1 };
        let mut gates = vec![0.0; ahead * count * width];
        let mut scratch = vec![0.0; hidden.len()];
        let mut output = vec![0.0; if lengths.is_some() { hidden.len() } else { 0 }];
        for done in (0..self.time).step_by(ahead) {
            let steps = ahead.min(self.time - done);
            let first = if self.direction.reversed { self.time - done - steps } else { done };
            let gates = &mut gates[..steps * count * width];
            for row in gates.chunks_exact_mut(width) {
                row.copy_from_slice(&self.weights.bias);
            }
            let x = &self.x[(first * self.batch + rows.start) * columns..];
            self.weights.input.add(&x[..steps * count * columns], gates, width);
            for step in 0..steps {
                let step = if self.direction.reversed { steps - 1 - step } else { step };
                let time = first + step;
                let gates = &mut gates[step * count * width..][..count * width];
                let (hidden, cell, scratch) = (&mut *hidden, &mut *cell, &mut *scratch);
                let hidden_size = self.hidden_size;
                let of_step = Step { hidden_size, gates, hidden, cell, scratch, time, lengths };
                self.cell.step(self.direction, self.weights, of_step);
                let Some(lengths) = lengths else {
                    each(time, hidden);
                    continue;
                };
                output.copy_from_slice(hidden);
                for (row, length) in output.chunks_exact_mut(hidden_size).zip(lengths) {
                    if time >= *length {
                        row.fill(0.0);
                    }
                }
                each(time, &output);
            }
        }
    }
}
