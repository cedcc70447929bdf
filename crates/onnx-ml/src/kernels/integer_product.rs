//! Matrix products of 8-bit integers.
//!
//! The first matrix (rows × terms) has unsigned integers, and the second matrix (terms × columns) has signed integers.
//! Integers of the other signedness are shifted by 128, and their zero points too. The shift flips the highest bit of
//! the byte ([`FLIP`]).
//!
//! The second matrix is packed in panels of [`LANES`] columns, `[panel][group][column][term]` with
//! groups of [`GROUP`] terms. Columns and terms are padded with zeros. A tile of a few rows goes
//! through a few panels at a time, with its sums in registers. All rows go through a chunk of
//! [`CHUNK`] panels before the next chunk, so that the chunk stays in the cache.
//!
//! With zero points `a0` and `b0`, the product is
//! `Σ (a - a0) (b - b0) = Σ a b - a0 Σ b - b0 Σ a + terms a0 b0`.
//! [`Corrections`] holds what is added to `Σ a b`.

use crate::encoding::weights::Weights;
use crate::kernels::quantize::{Narrow, clamped};
use crate::kernels::simd::dot::{Dot, Dots, GROUP, LANES, PanelGroup, RowGroup, dots};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The bit whose flip turns an unsigned integer into a signed integer that is 128 less. Flipping the bit again reverses
/// the change.
pub const FLIP: u8 = 0x80;

/// Number of panels that all rows go through before the next chunk.
pub const CHUNK: usize = 16;

/// Number of columns of a chunk.
pub const CHUNK_COLUMNS: usize = CHUNK * LANES;

/// The second matrix.
#[derive(Debug, Deserialize, Serialize)]
pub struct Columns {
    panels: Weights<PanelGroup>,
    /// Number of rows of the matrix.
    pub terms: usize,
    /// Number of columns of the matrix.
    pub columns: usize,
    /// Sum of each column of the packed integers.
    pub sums: Vec<i32>,
}

impl Columns {
    /// Packs a matrix of bytes, `[term][column]`. `flip` is [`FLIP`] for unsigned integers, and 0 for signed integers.
    pub fn new(bytes: &[u8], terms: usize, columns: usize, flip: u8) -> Columns {
        let (groups, count) = (terms.div_ceil(GROUP), columns.div_ceil(LANES));
        let mut panels = vec![[0_i8; LANES * GROUP]; groups * count];
        let mut sums = vec![0_i32; columns];
        for (term, line) in bytes.chunks_exact(columns.max(1)).take(terms).enumerate() {
            for (panel, line) in line.chunks(LANES).enumerate() {
                let group = &mut panels[panel * groups + term / GROUP];
                for (lane, byte) in line.iter().enumerate() {
                    group[lane * GROUP + term % GROUP] = (byte ^ flip) as i8;
                }
            }
            for (sum, byte) in sums.iter_mut().zip(line) {
                *sum = sum.wrapping_add(i32::from((byte ^ flip) as i8));
            }
        }
        Columns { panels: panels.into(), terms, columns, sums }
    }

    /// Returns the panels.
    pub fn panels(&self) -> Panels<'_> {
        Panels { panels: &self.panels, columns: self.columns }
    }
}

/// Packed columns.
#[derive(Debug, Clone, Copy)]
pub struct Panels<'a> {
    /// `[panel][group]`
    pub panels: &'a [PanelGroup],
    /// Number of columns.
    pub columns: usize,
}

/// The first matrix.
#[derive(Debug)]
pub struct Rows<'a> {
    /// `[row][group]`
    groups: Cow<'a, [RowGroup]>,
    /// Number of groups of a row.
    length: usize,
}

impl<'a> Rows<'a> {
    /// Creates the matrix from bytes, `[row][term]`. `flip` is [`FLIP`] for signed integers, and 0 for unsigned
    /// integers.
    pub fn new(bytes: &'a [u8], terms: usize, flip: u8) -> Rows<'a> {
        let length = terms.div_ceil(GROUP);
        let (groups, rest) = bytes.as_chunks::<GROUP>();
        if flip == 0 && terms.is_multiple_of(GROUP) && rest.is_empty() {
            return Rows { groups: Cow::Borrowed(groups), length };
        }
        let mut groups = vec![[0; GROUP]; length * (bytes.len() / terms.max(1))];
        let rows = groups.chunks_exact_mut(length.max(1));
        for (groups, row) in rows.zip(bytes.chunks_exact(terms.max(1))) {
            let padded = groups.as_flattened_mut();
            padded.iter_mut().zip(row).for_each(|(to, byte)| *to = byte ^ flip);
        }
        Rows { groups: Cow::Owned(groups), length }
    }

    /// Creates the matrix from groups that [`Rows::groups`] returned, for rows of `terms` terms.
    pub fn from_groups(groups: &'a [RowGroup], terms: usize) -> Rows<'a> {
        Rows { groups: Cow::Borrowed(groups), length: terms.div_ceil(GROUP) }
    }

    /// Returns the integers, `[row][group]`. Rows are padded with zeros.
    pub fn groups(&self) -> &[RowGroup] {
        &self.groups
    }

    /// Returns the sum of each row.
    pub fn sums(&self) -> Vec<i32> {
        let rows = self.groups.chunks_exact(self.length.max(1));
        let sum = |row: &[RowGroup]| row.as_flattened().iter().map(|byte| i32::from(*byte)).sum();
        rows.map(sum).collect()
    }
}

/// Terms that zero points and biases add to the sums. An empty list adds nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Corrections<'a> {
    /// Added to each row.
    pub rows: &'a [i32],
    /// Added to each column.
    pub columns: &'a [i32],
    /// A factor of each row and a factor of each column, whose product is subtracted.
    pub factors: Option<[&'a [i32]; 2]>,
}

impl Corrections<'_> {
    /// Corrects the sums of a row, from column `first` on.
    #[inline(always)]
    fn apply(&self, row: usize, first: usize, sums: &mut [i32]) {
        if let Some(offset) = self.rows.get(row) {
            sums.iter_mut().for_each(|sum| *sum = sum.wrapping_add(*offset));
        }
        if !self.columns.is_empty() {
            let offsets = &self.columns[first..];
            sums.iter_mut().zip(offsets).for_each(|(sum, offset)| *sum = sum.wrapping_add(*offset));
        }
        if let Some([rows, columns]) = self.factors {
            let row = rows[row];
            for (sum, column) in sums.iter_mut().zip(&columns[first..]) {
                *sum = sum.wrapping_sub(row.wrapping_mul(*column));
            }
        }
    }
}

/// A consumer of the sums.
pub trait Epilogue {
    /// Takes the sums of a row, from column `first` on. Must be `#[inline(always)]`.
    fn emit(&mut self, row: usize, first: usize, sums: &[i32]);
}

/// Stores the sums in a matrix with `columns` columns.
pub struct Integers<'a> {
    pub y: &'a mut [i32],
    pub columns: usize,
}

impl Epilogue for Integers<'_> {
    #[inline(always)]
    fn emit(&mut self, row: usize, first: usize, sums: &[i32]) {
        self.y[row * self.columns + first..][..sums.len()].copy_from_slice(sums);
    }
}

/// Multiplies the sums by scales, adds a bias, and stores them in a matrix.
pub struct Floats<'a> {
    pub y: &'a mut [f32],
    /// Scale of each column.
    pub scales: &'a [f32],
    /// Bias of each column, or an empty list.
    pub bias: &'a [f32],
}

impl Epilogue for Floats<'_> {
    #[inline(always)]
    fn emit(&mut self, row: usize, first: usize, sums: &[i32]) {
        let y = &mut self.y[row * self.scales.len() + first..][..sums.len()];
        let scales = &self.scales[first..];
        y.iter_mut().zip(sums).zip(scales).for_each(|((y, sum), scale)| *y = *sum as f32 * scale);
        if !self.bias.is_empty() {
            y.iter_mut().zip(&self.bias[first..]).for_each(|(y, bias)| *y += bias);
        }
    }
}

/// Scales of an output.
#[derive(Debug, Clone, Copy)]
pub enum OutputScales<'a> {
    /// A scale for each row.
    Rows(&'a [f32]),
    /// A scale for each column.
    Columns(&'a [f32]),
}

/// Multiplies the sums by scales, rounds them, adds the zero point, and stores them in a matrix.
pub struct Requantized<'a, T> {
    pub y: &'a mut [T],
    /// Number of columns of the matrix.
    pub columns: usize,
    pub scales: OutputScales<'a>,
    pub zero: f32,
}

impl<T: Narrow> Epilogue for Requantized<'_, T> {
    #[inline(always)]
    fn emit(&mut self, row: usize, first: usize, sums: &[i32]) {
        let y = &mut self.y[row * self.columns + first..][..sums.len()];
        let zero = self.zero;
        let round = |sum: i32, scale: f32| clamped((sum as f32 * scale).round_ties_even() + zero);
        match self.scales {
            OutputScales::Rows(scales) => {
                let scale = scales[row];
                y.iter_mut().zip(sums).for_each(|(y, sum)| *y = round(*sum, scale));
            }
            OutputScales::Columns(scales) => {
                let columns = sums.iter().zip(&scales[first..]);
                y.iter_mut().zip(columns).for_each(|(y, (sum, scale))| *y = round(*sum, *scale));
            }
        }
    }
}

/// Multiplies `rows` by `panels`. `first` is the number of columns before `panels` in the complete
/// matrix.
pub fn multiply(
    rows: &Rows<'_>,
    panels: Panels<'_>,
    first: usize,
    corrections: Corrections<'_>,
    epilogue: &mut impl Epilogue,
) {
    dots(Multiplied { rows, panels, first, corrections, epilogue });
}

/// See [`multiply`].
struct Multiplied<'a, E> {
    rows: &'a Rows<'a>,
    panels: Panels<'a>,
    first: usize,
    corrections: Corrections<'a>,
    epilogue: &'a mut E,
}

/// Number of panels that a single row goes through at once. An addition must wait for the previous
/// addition to the same sum; with several panels, consecutive additions go to different sums.
const SINGLE_ROW_PANELS: usize = 8;

impl<E: Epilogue> Dots for Multiplied<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot, const ROWS: usize, const PANELS: usize>(self, dot: D) {
        let Multiplied { rows, panels: Panels { panels, columns }, first, corrections, epilogue } =
            self;
        let length = rows.length;
        let count = rows.groups.len() / length.max(1);
        let mut sums = [[0; CHUNK_COLUMNS]; ROWS];
        let chunks = panels.chunks((CHUNK * length).max(1));
        for (chunk, start) in chunks.zip((0..columns).step_by(CHUNK_COLUMNS)) {
            let width = CHUNK_COLUMNS.min(columns - start);
            for row in (0..count).step_by(ROWS) {
                let tile_rows = ROWS.min(count - row);
                // If fewer than `ROWS` rows remain, the tile repeats the last row.
                let tile = std::array::from_fn(|index| {
                    &rows.groups[(row + index.min(tile_rows - 1)) * length..][..length]
                });
                if tile_rows == 1 {
                    let row = [tile[0]];
                    let sums = sums.first_chunk_mut().expect("a tile has a row");
                    through::<D, 1, SINGLE_ROW_PANELS>(dot, row, chunk, sums);
                } else {
                    through::<D, ROWS, PANELS>(dot, tile, chunk, &mut sums);
                }
                for (index, sums) in sums.iter_mut().take(tile_rows).enumerate() {
                    let sums = &mut sums[..width];
                    corrections.apply(row + index, first + start, sums);
                    epilogue.emit(row + index, first + start, sums);
                }
            }
        }
    }
}

/// Multiplies `R` rows by the panels of a chunk, `P` panels at a time.
#[inline(always)]
fn through<D: Dot, const R: usize, const P: usize>(
    dot: D,
    rows: [&[RowGroup]; R],
    chunk: &[PanelGroup],
    sums: &mut [[i32; CHUNK_COLUMNS]; R],
) {
    let length = rows[0].len();
    let count = chunk.len() / length.max(1);
    let whole = count - count % P;
    for panel in (0..whole).step_by(P) {
        tile::<D, R, P>(dot, rows, &chunk[panel * length..], sums, panel);
    }
    for panel in whole..count {
        tile::<D, R, 1>(dot, rows, &chunk[panel * length..], sums, panel);
    }
}

/// Multiplies `R` rows by the first `P` panels of `panels`, and stores the sums from panel `first`
/// on.
#[inline(always)]
fn tile<D: Dot, const R: usize, const P: usize>(
    dot: D,
    rows: [&[RowGroup]; R],
    panels: &[PanelGroup],
    sums: &mut [[i32; CHUNK_COLUMNS]; R],
    first: usize,
) {
    let length = rows[0].len();
    let panels: [&[PanelGroup]; P] =
        std::array::from_fn(|panel| &panels[panel * length..][..length]);
    let rows = rows.map(|row| &row[..length]);
    let mut tile = [[dot.zero(); P]; R];
    for group in 0..length {
        for panel in 0..P {
            for row in 0..R {
                tile[row][panel] =
                    dot.add(tile[row][panel], rows[row][group], &panels[panel][group]);
            }
        }
    }
    for (tile, sums) in tile.iter().zip(sums) {
        let lanes = &mut sums.as_chunks_mut::<LANES>().0[first..];
        tile.iter().zip(lanes).for_each(|(sums, to)| dot.store(*sums, to));
    }
}

/// Returns the sum of each column, with padding up to a whole panel. `length` is the number of
/// groups of a panel.
pub fn column_sums(panels: &[PanelGroup], length: usize) -> Vec<i32> {
    dots(Sums { panels, length })
}

/// See [`column_sums`].
struct Sums<'a> {
    panels: &'a [PanelGroup],
    length: usize,
}

impl Dots for Sums<'_> {
    type Output = Vec<i32>;

    #[inline(always)]
    fn run<D: Dot, const ROWS: usize, const PANELS: usize>(self, dot: D) -> Vec<i32> {
        let mut sums = vec![0; self.panels.len() / self.length.max(1) * LANES];
        let lanes = sums.as_chunks_mut::<LANES>().0;
        for (panel, lanes) in self.panels.chunks_exact(self.length.max(1)).zip(lanes) {
            let mut sum = dot.zero();
            for group in panel {
                sum = dot.add(sum, [1; GROUP], group);
            }
            dot.store(sum, lanes);
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_exact_for_every_shape() {
        let mut state = 7_u32;
        let mut byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        for rows in [1, 2, 5, 6, 7, 13] {
            for terms in [1, 3, 4, 9, 64] {
                for columns in [1, 15, 16, 17, 65, 130, 256, 300] {
                    let a: Vec<u8> = (0..rows * terms).map(|_| byte()).collect();
                    let b: Vec<u8> = (0..terms * columns).map(|_| byte()).collect();
                    let [a0, b0] = [byte(), byte()].map(i32::from);
                    let packed = Columns::new(&b, terms, columns, FLIP);
                    let matrix = Rows::new(&a, terms, 0);
                    let sums = matrix.sums();
                    // `b` is shifted by 128.
                    let b1 = b0 - 128;
                    let offset = |sum: &i32| terms as i32 * a0 * b1 - a0 * sum;
                    let offsets: Vec<i32> = packed.sums.iter().map(offset).collect();
                    let zeros = vec![b1; columns];
                    let corrections = Corrections {
                        rows: &[],
                        columns: &offsets,
                        factors: Some([&sums, &zeros]),
                    };
                    let mut found = vec![0; rows * columns];
                    let mut epilogue = Integers { y: &mut found, columns };
                    multiply(&matrix, packed.panels(), 0, corrections, &mut epilogue);
                    for (index, found) in found.iter().enumerate() {
                        let (row, column) = (index / columns, index % columns);
                        let term = |term: usize| {
                            let a = i32::from(a[row * terms + term]) - a0;
                            a * (i32::from(b[term * columns + column]) - b0)
                        };
                        let expected: i32 = (0..terms).map(term).sum();
                        assert_eq!(*found, expected, "{rows} {terms} {columns} {index}");
                    }
                }
            }
        }
    }
}
