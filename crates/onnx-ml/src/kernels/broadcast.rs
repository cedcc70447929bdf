//! Iteration over operands that are broadcast to a common shape, by the rules of
//! [ONNX](https://github.com/onnx/onnx/blob/main/docs/Broadcasting.md).

use tract_onnx::prelude::*;

/// Nested loops over `N` row-major operands. Axes that can be traversed by one loop are merged, so
/// that there are as few loops as possible.
#[derive(Debug)]
pub struct Loops<const N: usize> {
    /// Shape of the result.
    pub shape: TVec<usize>,
    /// Each loop, outermost first: its length, and for each operand the distance between the
    /// elements of consecutive iterations (0 if the operand is broadcast along the loop). There is
    /// at least one loop.
    pub loops: TVec<(usize, [usize; N])>,
}

impl<const N: usize> Loops<N> {
    /// Returns the loops over operands of the given shapes, or `None` if the ranks differ or the
    /// shapes cannot be broadcast.
    pub fn new(shapes: [&[usize]; N]) -> Option<Loops<N>> {
        let rank = shapes[0].len();
        if shapes.iter().any(|shape| shape.len() != rank) {
            return None;
        }
        let mut shape = TVec::from_elem(1, rank);
        let mut loops: TVec<(usize, [usize; N])> = tvec!();
        // Distance between neighbors along `axis`, for each operand.
        let mut strides = [1; N];
        for axis in (0..rank).rev() {
            let lengths = shapes.map(|shape| shape[axis]);
            let length = lengths.into_iter().find(|length| *length != 1).unwrap_or(1);
            if lengths.iter().any(|own| *own != 1 && *own != length) {
                return None;
            }
            shape[axis] = length;
            if length == 1 {
                continue;
            }
            let steps = std::array::from_fn(|operand| match lengths[operand] {
                1 => 0,
                _ => strides[operand],
            });
            for (stride, own_length) in strides.iter_mut().zip(lengths) {
                *stride *= own_length;
            }
            // Merge this axis with the loop inside it if, for every operand, one step along this
            // axis advances as far as all iterations of the inner loop.
            match loops.last_mut() {
                Some((inner, inside))
                    if inside.iter().zip(&steps).all(|(i, s)| i * *inner == *s) =>
                {
                    *inner *= length;
                }
                _ => loops.push((length, steps)),
            }
        }
        if loops.is_empty() {
            loops.push((1, [1; N]));
        }
        loops.reverse();
        Some(Loops { shape, loops })
    }

    /// Calls `run` once for each iteration of the loops around the innermost loop. The argument
    /// has, for each operand, the index of the first element of the innermost loop. `run` itself
    /// executes the innermost loop, the last element of [`Loops::loops`].
    ///
    /// The outer loops work like an odometer: `counters` has one counter per loop. If a counter
    /// reaches the length of its loop, it returns to 0 and the next outer counter advances.
    #[inline(always)]
    pub fn for_each_inner_loop(&self, mut run: impl FnMut([usize; N])) {
        let outer = &self.loops[..self.loops.len() - 1];
        if self.shape.contains(&0) {
            return;
        }
        let mut counters: TVec<usize> = TVec::from_elem(0, outer.len());
        let mut offsets = [0; N];
        loop {
            run(offsets);
            let mut level = outer.len();
            loop {
                let Some(next) = level.checked_sub(1) else { return };
                level = next;
                let (length, steps) = outer[level];
                counters[level] += 1;
                let wraps = counters[level] == length;
                for (offset, step) in offsets.iter_mut().zip(steps) {
                    *offset += step;
                    if wraps {
                        *offset -= step * length;
                    }
                }
                if !wraps {
                    break;
                }
                counters[level] = 0;
            }
        }
    }
}
