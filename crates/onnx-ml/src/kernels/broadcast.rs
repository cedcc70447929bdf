//! Walks along operands that are broadcast to one shape, as
//! [ONNX](https://github.com/onnx/onnx/blob/main/docs/Broadcasting.md) has it.

use tract_onnx::prelude::*;

/// Nested loops over `N` operands, as few as there can be.
#[derive(Debug)]
pub struct Loops<const N: usize> {
    /// Of the result.
    pub shape: TVec<usize>,
    /// Length of each loop, and how far each operand moves in it, outermost first; at least one.
    pub loops: TVec<(usize, [usize; N])>,
}

impl<const N: usize> Loops<N> {
    /// `None` where the ranks differ or the shapes do not fit.
    pub fn new(shapes: [&[usize]; N]) -> Option<Loops<N>> {
        let rank = shapes[0].len();
        if shapes.iter().any(|shape| shape.len() != rank) {
            return None;
        }
        let mut shape = TVec::from_elem(1, rank);
        let mut loops: TVec<(usize, [usize; N])> = tvec!();
        let mut strides = [1; N];
        for axis in (0..rank).rev() {
            let own = shapes.map(|shape| shape[axis]);
            let length = own.into_iter().find(|length| *length != 1).unwrap_or(1);
            if own.iter().any(|own| *own != 1 && *own != length) {
                return None;
            }
            shape[axis] = length;
            if length == 1 {
                continue;
            }
            let steps = std::array::from_fn(|operand| match own[operand] {
                1 => 0,
                _ => strides[operand],
            });
            for (stride, own) in strides.iter_mut().zip(own) {
                *stride *= own;
            }
            // A loop whose steps go on where the one inside ends is one with it.
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

    /// Calls `run` with the operands' offsets for each turn of the loops but the innermost.
    #[inline(always)]
    pub fn runs(&self, mut run: impl FnMut([usize; N])) {
        let outer = &self.loops[..self.loops.len() - 1];
        if self.shape.contains(&0) {
            return;
        }
        let mut turns: TVec<usize> = TVec::from_elem(0, outer.len());
        let mut offsets = [0; N];
        loop {
            run(offsets);
            let mut level = outer.len();
            loop {
                let Some(next) = level.checked_sub(1) else { return };
                level = next;
                let (length, steps) = outer[level];
                turns[level] += 1;
                let back = turns[level] == length;
                for (offset, step) in offsets.iter_mut().zip(steps) {
                    *offset += step;
                    if back {
                        *offset -= step * length;
                    }
                }
                if !back {
                    break;
                }
                turns[level] = 0;
            }
        }
    }
}
