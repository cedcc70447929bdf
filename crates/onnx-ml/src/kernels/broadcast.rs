//! Iteration over operands that are broadcast to a common shape, by the rules of
//! [ONNX](https://github.com/onnx/onnx/blob/main/docs/Broadcasting.md).

use tract_onnx::prelude::*;

/// Nested loops over `N` operands, merged into as few loops as possible.
#[derive(Debug)]
pub struct Loops<const N: usize> {
    /// Shape of the result.
    pub shape: TVec<usize>,
    /// Length of each loop and the stride of each operand in it, outermost loop first; at least one
    /// loop.
    pub loops: TVec<(usize, [usize; N])>,
}

impl<const N: usize> Loops<N> {
    /// Returns `None` if the ranks differ or the shapes cannot be broadcast.
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
            // An outer loop merges with the inner one if each of its steps continues where the
            // inner loop ends.
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

    /// Calls `run` with the operands' offsets for each iteration of all loops but the innermost.
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
