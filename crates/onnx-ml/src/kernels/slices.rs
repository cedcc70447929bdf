//! Loops over slices: copies, and functions of each element.

use crate::kernels::simd::{Vectorized, vectorized};

/// Copies `from` to `to`, which must have the same length. For short slices this is faster than a
/// call of `memcpy`.
#[inline(always)]
pub fn copy(to: &mut [f32], from: &[f32]) {
    let copied =
        copy_blocks::<16>(to, from) || copy_blocks::<8>(to, from) || copy_blocks::<4>(to, from);
    if !copied {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    }
}

/// Copies in blocks of `N` elements. The last block is aligned with the end of the slices, so it
/// may overlap the block before it. Returns `false` if the slices are shorter than a block.
#[inline(always)]
fn copy_blocks<const N: usize>(to: &mut [f32], from: &[f32]) -> bool {
    let (blocks, _) = to.as_chunks_mut::<N>();
    blocks.iter_mut().zip(from.as_chunks().0).for_each(|(to, from)| *to = *from);
    match (to.last_chunk_mut::<N>(), from.last_chunk()) {
        (Some(to), Some(from)) => *to = *from,
        _ => return false,
    }
    true
}

/// Applies `combine` to each element of the matrix `x` (row-major) and the value of the element's
/// column.
///
/// `values` has one value for each column, or a single value for all columns.
pub fn columnwise<T: Copy, V: Copy, U>(
    x: &[T],
    values: &[V],
    combine: impl Fn(T, V) -> U + Copy,
) -> Vec<U> {
    vectorized(Columnwise { x, values, combine })
}

/// See [`columnwise`].
struct Columnwise<'a, T, V, F> {
    x: &'a [T],
    values: &'a [V],
    combine: F,
}

impl<T: Copy, V: Copy, U, F: Fn(T, V) -> U> Vectorized for Columnwise<'_, T, V, F> {
    type Output = Vec<U>;

    #[inline(always)]
    fn run(self) -> Vec<U> {
        let Columnwise { x, values, combine } = self;
        let mut combined = Vec::with_capacity(x.len());
        // If rows are short, repeat `values` so that one inner loop processes several rows. A loop
        // over a few columns would spend more time on its start and end than on its elements.
        let max_rows = MIN_LOOP.div_ceil(values.len().max(1));
        let rows = (x.len() / values.len().max(1)).clamp(1, max_rows);
        let values = values.repeat(rows);
        for x in x.chunks(values.len().max(1)) {
            combined.extend(x.iter().zip(&values).map(|(x, value)| combine(*x, *value)));
        }
        combined
    }
}

/// Minimum number of elements in an inner loop of [`columnwise`], unless `x` has fewer elements.
const MIN_LOOP: usize = 128;

/// Applies a function to each element.
pub fn each(elements: &mut [f32], function: impl Fn(f32) -> f32) {
    vectorized(Each { elements, function });
}

/// See [`each`].
struct Each<'a, F> {
    elements: &'a mut [f32],
    function: F,
}

impl<F: Fn(f32) -> f32> Vectorized for Each<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for element in self.elements {
            *element = (self.function)(*element);
        }
    }
}
