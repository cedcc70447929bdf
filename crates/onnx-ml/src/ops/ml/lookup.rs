//! Positions of values in a list of the model, shared by the category operators.

use crate::operator::kernel::elements;
use crate::ops::ml::columns::Columns;
use foldhash::HashMap;
use serde::{Deserialize, Serialize};
use tract_onnx::tract_hir::internal::*;

/// Index from a list's elements to their positions.
#[derive(Debug, Deserialize, Serialize)]
pub enum Lookup {
    Strings(HashMap<String, usize>),
    Ints(HashMap<i64, usize>),
    Table(Table),
    /// Keyed by the float's [`bits`].
    Floats(HashMap<u64, usize>),
}

impl Lookup {
    /// Creates a lookup of integers; dense keys are stored in a table.
    pub fn ints(positions: HashMap<i64, usize>) -> Lookup {
        Table::new(&positions).map_or(Lookup::Ints(positions), Lookup::Table)
    }

    /// Returns the distinct elements of the list, in order.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<(usize, String)> = match self {
            Lookup::Strings(positions) => {
                positions.iter().map(|(text, position)| (*position, text.clone())).collect()
            }
            Lookup::Ints(positions) => {
                positions.iter().map(|(key, position)| (*position, key.to_string())).collect()
            }
            Lookup::Table(Table { least, positions }) => {
                let keys = (*least..).zip(positions);
                keys.filter_map(|(key, position)| Some(((*position)?, key.to_string()))).collect()
            }
            Lookup::Floats(positions) => {
                let name = |bits: &u64| f64::from_bits(*bits).to_string();
                positions.iter().map(|(bits, position)| (*position, name(bits))).collect()
            }
        };
        names.sort_unstable();
        names.into_iter().map(|(_, name)| name).collect()
    }

    /// Returns the position of each selected element of `input`, or `None` if it is not in the
    /// list. Floats are truncated if the list holds integers.
    ///
    /// # Errors
    ///
    /// Returns an error if only one of the input and the list is of text.
    pub fn positions(&self, input: &TValue, columns: &Columns) -> TractResult<Vec<Option<usize>>> {
        match self {
            Lookup::Strings(positions) => {
                let input = input.try_as_plain_ram()?;
                let texts = columns.of(input.as_slice::<String>()?);
                Ok(texts.map(|text| positions.get(text).copied()).collect())
            }
            Lookup::Ints(positions) if input.datum_type().is_float() => {
                find(input, columns, |x| positions.get(&truncated(x)?).copied())
            }
            Lookup::Ints(positions) => find(input, columns, |x| positions.get(&x).copied()),
            Lookup::Table(table) if input.datum_type().is_float() => {
                find(input, columns, |x| table.get(truncated(x)?))
            }
            Lookup::Table(table) => find(input, columns, |x| table.get(x)),
            Lookup::Floats(positions) => find(input, columns, |x| positions.get(&bits(x)).copied()),
        }
    }
}

fn find<T: Datum + Copy>(
    input: &TValue,
    columns: &Columns,
    position: impl Fn(T) -> Option<usize>,
) -> TractResult<Vec<Option<usize>>> {
    let elements = elements::<T>(input)?;
    let elements = elements.try_as_plain_ram()?;
    let elements = elements.as_slice::<T>()?;
    Ok(match columns {
        Columns::All => elements.iter().map(|x| position(*x)).collect(),
        columns => columns.of(elements).map(|x| position(*x)).collect(),
    })
}

fn truncated(x: f64) -> Option<i64> {
    let in_range = x >= i64::MIN as f64 && x < i64::MAX as f64;
    in_range.then_some(x as i64)
}

/// Positions of integers, indexed by `key - least`.
#[derive(Debug, Deserialize, Serialize)]
pub struct Table {
    least: i64,
    positions: Vec<Option<usize>>,
}

impl Table {
    /// Returns `None` if more than 7 of 8 slots would be empty.
    fn new(positions: &HashMap<i64, usize>) -> Option<Table> {
        let (least, greatest) = (*positions.keys().min()?, *positions.keys().max()?);
        let span = greatest.checked_sub(least).and_then(|span| usize::try_from(span).ok())?;
        if span / 8 > positions.len() {
            return None;
        }
        let mut table = Table { least, positions: vec![None; span + 1] };
        for (key, position) in positions {
            let slot = key.checked_sub(least).and_then(|slot| usize::try_from(slot).ok());
            table.positions[slot?] = Some(*position);
        }
        Some(table)
    }

    fn get(&self, key: i64) -> Option<usize> {
        let slot = usize::try_from(key.checked_sub(self.least)?).ok()?;
        self.positions.get(slot).copied().flatten()
    }
}

/// Returns bits that are equal for equal numbers: both zeros are equal, and so are all NaNs.
pub fn bits(x: f64) -> u64 {
    match x {
        x if x.is_nan() => f64::NAN.to_bits(),
        0.0 => 0,
        x => x.to_bits(),
    }
}

/// Returns elements with their positions. Collected into a map, the last of equal elements counts.
pub fn positions<K>(list: impl IntoIterator<Item = K>) -> impl Iterator<Item = (K, usize)> {
    list.into_iter().enumerate().map(|(position, key)| (key, position))
}
