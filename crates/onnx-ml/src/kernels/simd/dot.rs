//! Products of 8-bit integers for several instruction sets, like [`Product`](super::Product) for
//! floats.
//!
//! The unit is a group of [`GROUP`] terms: four unsigned integers of a row, times four signed
//! integers of each of [`LANES`] columns. The sums have 32 bits and are exact for every instruction
//! set; they wrap around if they overflow.
//!
//! - AVX-512 VNNI has an instruction for this computation, `vpdpbusd`.
//! - With AVX2, the bytes at even positions and the bytes at odd positions are extended to 16 bits, and `vpmaddwd`
//!   multiplies and adds pairs of 16-bit integers. The instruction for bytes, `vpmaddubsw`, is not usable, because its
//!   sums have 16 bits and saturate.
//! - Elsewhere, the compiler vectorizes plain loops.

use super::Vectorized;
#[cfg(target_arch = "x86_64")]
use super::{Avx2, Avx512Vnni};
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Number of columns of a panel: the 32-bit sums of an AVX-512 register.
pub const LANES: usize = 16;

/// Number of terms of a group.
pub const GROUP: usize = 4;

/// Four terms of a row.
pub type RowGroup = [u8; GROUP];

/// Four terms of each column of a panel, `[column][term]`.
pub type PanelGroup = [i8; LANES * GROUP];

/// An instruction set that multiplies 8-bit integers.
pub trait Dot: Copy {
    /// Sums of the columns of a panel.
    type Sums: Copy;

    /// Returns sums of zero.
    fn zero(self) -> Self::Sums;

    /// Adds the products of a group to `sums`.
    fn add(self, sums: Self::Sums, row: RowGroup, panel: &PanelGroup) -> Self::Sums;

    /// Copies `sums` to `to`.
    fn store(self, sums: Self::Sums, to: &mut [i32; LANES]);
}

/// A computation with products of 8-bit integers.
///
/// [`Dots::run`] and all functions that it calls must be `#[inline(always)]`, as for
/// [`Vectorized`].
pub trait Dots {
    type Output;

    /// Runs the computation. The sums of `ROWS` rows × `PANELS` panels fit in the registers.
    fn run<D: Dot, const ROWS: usize, const PANELS: usize>(self, dot: D) -> Self::Output;
}

/// Runs `work` with the fastest instructions that the processor has.
pub fn dots<W: Dots>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if let Some(set) = Avx512Vnni::detected() {
        return set.run(Compiled::<_, _, 6, 4>(work, set));
    } else if let Some(set) = Avx2::detected() {
        return set.run(Compiled::<_, _, 3, 1>(work, set));
    }
    work.run::<_, 4, 1>(Portable)
}

/// Turns [`Dots`] into [`Vectorized`] work for one instruction set.
#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "compiled once"))]
struct Compiled<W, D, const ROWS: usize, const PANELS: usize>(W, D);

impl<W: Dots, D: Dot, const ROWS: usize, const PANELS: usize> Vectorized
    for Compiled<W, D, ROWS, PANELS>
{
    type Output = W::Output;

    #[inline(always)]
    fn run(self) -> W::Output {
        self.0.run::<D, ROWS, PANELS>(self.1)
    }
}

/// Plain loops.
#[derive(Clone, Copy)]
struct Portable;

impl Dot for Portable {
    type Sums = [i32; LANES];

    #[inline(always)]
    fn zero(self) -> Self::Sums {
        [0; LANES]
    }

    #[inline(always)]
    fn add(self, mut sums: Self::Sums, row: RowGroup, panel: &PanelGroup) -> Self::Sums {
        let row = row.map(i32::from);
        for (sum, column) in sums.iter_mut().zip(panel.as_chunks::<GROUP>().0) {
            let [a, b, c, d] = column.map(i32::from);
            *sum = sum.wrapping_add(row[0] * a + row[1] * b + row[2] * c + row[3] * d);
        }
        sums
    }

    #[inline(always)]
    fn store(self, sums: Self::Sums, to: &mut [i32; LANES]) {
        *to = sums;
    }
}

// SAFETY of all blocks below: an intrinsic may only be called on a processor that has its feature.
// `self` is a token, which exists only if the processor has the features of its list, and the list
// has the features of the intrinsics: `avx512f` and `avx512vnni`, or `avx2`. The unaligned loads
// and stores access exactly the bytes of the arrays behind their references.

#[cfg(target_arch = "x86_64")]
impl Dot for Avx512Vnni {
    type Sums = __m512i;

    #[inline(always)]
    fn zero(self) -> __m512i {
        // SAFETY: see above.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    fn add(self, sums: __m512i, row: RowGroup, panel: &PanelGroup) -> __m512i {
        // SAFETY: see above.
        unsafe {
            let panel = _mm512_loadu_si512(panel.as_ptr().cast());
            _mm512_dpbusd_epi32(sums, _mm512_set1_epi32(i32::from_le_bytes(row)), panel)
        }
    }

    #[inline(always)]
    fn store(self, sums: __m512i, to: &mut [i32; LANES]) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), sums) }
    }
}

#[cfg(target_arch = "x86_64")]
impl Dot for Avx2 {
    type Sums = [__m256i; 2];

    #[inline(always)]
    fn zero(self) -> [__m256i; 2] {
        // SAFETY: see above.
        unsafe { [_mm256_setzero_si256(); 2] }
    }

    #[inline(always)]
    fn add(self, sums: [__m256i; 2], row: RowGroup, panel: &PanelGroup) -> [__m256i; 2] {
        let row = i32::from_le_bytes(row);
        let (even, odd) = (row & 0x00ff_00ff, (row >> 8) & 0x00ff_00ff);
        std::array::from_fn(|half| {
            // SAFETY: see above; `half` is 0 or 1, and the array has 64 bytes.
            unsafe {
                let panel = _mm256_loadu_si256(panel.as_ptr().add(half * 32).cast());
                // A shift to the left and back extends the sign of the byte at the even position.
                let panel_even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(panel));
                let panel_odd = _mm256_srai_epi16::<8>(panel);
                let even = _mm256_madd_epi16(_mm256_set1_epi32(even), panel_even);
                let odd = _mm256_madd_epi16(_mm256_set1_epi32(odd), panel_odd);
                _mm256_add_epi32(sums[half], _mm256_add_epi32(even, odd))
            }
        })
    }

    #[inline(always)]
    fn store(self, sums: [__m256i; 2], to: &mut [i32; LANES]) {
        // SAFETY: see above; `to` has 64 bytes.
        unsafe {
            _mm256_storeu_si256(to.as_mut_ptr().cast(), sums[0]);
            _mm256_storeu_si256(to.as_mut_ptr().add(8).cast(), sums[1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sums of two groups of random integers, among them the extremes.
    #[derive(Clone, Copy)]
    struct Two<'a>(&'a [RowGroup; 2], &'a [PanelGroup; 2]);

    impl Dots for Two<'_> {
        type Output = [i32; LANES];

        #[inline(always)]
        fn run<D: Dot, const ROWS: usize, const PANELS: usize>(self, dot: D) -> [i32; LANES] {
            let mut stored = [0; LANES];
            let first = dot.add(dot.zero(), self.0[0], &self.1[0]);
            dot.store(dot.add(first, self.0[1], &self.1[1]), &mut stored);
            stored
        }
    }

    #[test]
    fn sums_are_exact_for_every_instruction_set() {
        let mut state = 1_u32;
        let mut byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let byte = (state >> 24) as u8;
            if state & 0x700 == 0 { byte | 0x7f } else { byte }
        };
        for round in 0..1000 {
            let rows: [RowGroup; 2] = std::array::from_fn(|_| {
                std::array::from_fn(|_| if round == 0 { 255 } else { byte() })
            });
            let panels: [PanelGroup; 2] = std::array::from_fn(|_| {
                std::array::from_fn(|_| if round == 0 { -128 } else { byte() as i8 })
            });
            let expected: [i32; LANES] = std::array::from_fn(|column| {
                (0..2)
                    .flat_map(|group| (0..GROUP).map(move |term| (group, term)))
                    .map(|(group, term)| {
                        let weight = panels[group][column * GROUP + term];
                        i32::from(rows[group][term]) * i32::from(weight)
                    })
                    .sum()
            });
            let work = Two(&rows, &panels);
            assert_eq!(work.run::<_, 1, 1>(Portable), expected);
            #[cfg(target_arch = "x86_64")]
            {
                if let Some(set) = Avx2::detected() {
                    assert_eq!(set.run(Compiled::<_, _, 1, 1>(work, set)), expected);
                }
                if let Some(set) = Avx512Vnni::detected() {
                    assert_eq!(set.run(Compiled::<_, _, 1, 1>(work, set)), expected);
                }
            }
        }
    }
}
