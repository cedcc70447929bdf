//! Runs a block of rows through all steps of a sequence, in one direction. A row is an element of
//! the batch.

use super::cell::{Cell, Direction, Step};
use super::weights::Weights;
use std::ops::Range;

/// Maximum number of rows in a block. This is also the maximum of rows × steps for which input products are computed at
/// once.
pub const BLOCK: usize = 128;

/// One direction over all steps of the input `x`.
pub struct Sequence<'a, C> {
    pub cell: &'a C,
    pub direction: &'a Direction,
    pub weights: &'a Weights,
    /// `[time, batch, columns]`.
    pub x: &'a [f32],
    /// Number of steps.
    pub time: usize,
    pub batch: usize,
    pub hidden_size: usize,
    /// Length of each row's sequence. `None` if all sequences have `time` steps.
    pub lengths: Option<&'a [usize]>,
}

impl<C: Cell> Sequence<'_, C> {
    /// Runs `rows`, a block of the batch, and updates their states `hidden` and `cell`, both
    /// `[rows, hidden_size]`. The block is the whole batch if the weights are quantized.
    ///
    /// After each step, calls `after_step` with the index of the step and the hidden states. The
    /// hidden state of a row is reported as zero after the end of the row's sequence.
    pub fn run(
        &self,
        rows: Range<usize>,
        hidden: &mut [f32],
        cell: &mut [f32],
        mut after_step: impl FnMut(usize, &[f32]),
    ) {
        let count = rows.len();
        // Number of gates times `hidden_size`.
        let width = self.weights.bias.len();
        let columns = self.weights.input.columns();
        let lengths = self.lengths.map(|lengths| &lengths[rows.clone()]);
        // Number of steps whose input products are computed at once. The inputs of several steps are adjacent in memory
        // only if the block is the whole batch. If the inputs are quantized, all steps are computed at once, because
        // all inputs have one scale.
        let steps_at_once = match (self.weights.input.is_quantized(), count == self.batch) {
            (true, _) => self.time.max(1),
            (false, true) => (BLOCK / count).clamp(1, self.time.max(1)),
            (false, false) => 1,
        };
        let mut gates = vec![0.0; steps_at_once * count * width];
        let mut scratch = vec![0.0; hidden.len()];
        let mut output = vec![0.0; if lengths.is_some() { hidden.len() } else { 0 }];
        for done in (0..self.time).step_by(steps_at_once) {
            let steps = steps_at_once.min(self.time - done);
            let first = if self.direction.reversed { self.time - done - steps } else { done };
            let gates = &mut gates[..steps * count * width];
            // The gates begin with the bias plus the input products.
            for row in gates.chunks_exact_mut(width) {
                row.copy_from_slice(&self.weights.bias);
            }
            let x = &self.x[(first * self.batch + rows.start) * columns..];
            self.weights.input.add_product(&x[..steps * count * columns], gates, width);
            for step in 0..steps {
                let step = if self.direction.reversed { steps - 1 - step } else { step };
                let time = first + step;
                let gates = &mut gates[step * count * width..][..count * width];
                let (hidden, cell, scratch) = (&mut *hidden, &mut *cell, &mut *scratch);
                let hidden_size = self.hidden_size;
                let buffers = Step { hidden_size, gates, hidden, cell, scratch, time, lengths };
                self.cell.step(self.direction, self.weights, buffers);
                let Some(lengths) = lengths else {
                    after_step(time, hidden);
                    continue;
                };
                output.copy_from_slice(hidden);
                for (row, length) in output.chunks_exact_mut(hidden_size).zip(lengths) {
                    if time >= *length {
                        row.fill(0.0);
                    }
                }
                after_step(time, &output);
            }
        }
    }
}
