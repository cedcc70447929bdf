//! Lookup of values in a list of keys that is part of the model, shared by the category operators.

use crate::operator::tensors::elements;
use crate::ops::ml::columns::Selection;
use foldhash::HashMap;
use serde::{Deserialize, Serialize};
use tract_onnx::tract_hir::internal::*;

/// Map from each key of a list to its position in the list.
#[derive(Debug, Deserialize, Serialize)]
pub enum Lookup {
    Strings(HashMap<String, usize>),
    Ints(HashMap<i64, usize>),
    /// Integers in a narrow range.
    DenseInts(DenseInts),
    /// The keys are the [`bits`] of floats.
    Floats(HashMap<u64, usize>),
}

impl Lookup {
    /// Creates a lookup of integers. Keys in a narrow range are stored in an array instead of a
    /// hash map.
    pub fn ints(positions: HashMap<i64, usize>) -> Lookup {
        DenseInts::new(&positions).map_or(Lookup::Ints(positions), Lookup::DenseInts)
    }

    /// Returns the distinct keys as strings, in the order of the list.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<(usize, String)> = match self {
            Lookup::Strings(positions) => {
                positions.iter().map(|(key, position)| (*position, key.clone())).collect()
            }
            Lookup::Ints(positions) => {
                positions.iter().map(|(key, position)| (*position, key.to_string())).collect()
            }
            Lookup::DenseInts(DenseInts { least, positions }) => {
                let slots = (*least..).zip(positions);
                slots.filter_map(|(key, position)| Some(((*position)?, key.to_string()))).collect()
            }
            Lookup::Floats(positions) => {
                let key = |bits: &u64| f64::from_bits(*bits).to_string();
                positions.iter().map(|(bits, position)| (*position, key(bits))).collect()
            }
        };
        keys.sort_unstable();
        keys.into_iter().map(|(_, key)| key).collect()
    }

    /// Returns the position in the list of each selected element of `input`, or `None` for an
    /// element that is not in the list. If the list contains integers, floats are truncated.
    ///
    /// # Errors
    ///
    /// Returns an error if the list holds strings and the input holds numbers, or the reverse.
    pub fn positions(
        &self,
        input: &TValue,
        selection: &Selection,
    ) -> TractResult<Vec<Option<usize>>> {
        match self {
            Lookup::Strings(positions) => {
                let input = input.try_as_plain_ram()?;
                let strings = selection.select(input.as_slice::<String>()?);
                Ok(strings.map(|string| positions.get(string).copied()).collect())
            }
            Lookup::Ints(positions) if input.datum_type().is_float() => {
                find(input, selection, |x| positions.get(&truncated(x)?).copied())
            }
            Lookup::Ints(positions) => find(input, selection, |x| positions.get(&x).copied()),
            Lookup::DenseInts(positions) if input.datum_type().is_float() => {
                find(input, selection, |x| positions.get(truncated(x)?))
            }
            Lookup::DenseInts(positions) => find(input, selection, |x| positions.get(x)),
            Lookup::Floats(positions) => {
                find(input, selection, |x| positions.get(&bits(x)).copied())
            }
        }
    }
}

/// Converts each selected element to `T`, and returns the results of `position` for these elements.
fn find<T: Datum + Copy>(
    input: &TValue,
    selection: &Selection,
    position: impl Fn(T) -> Option<usize>,
) -> TractResult<Vec<Option<usize>>> {
    let elements = elements::<T>(input)?;
    let elements = elements.try_as_plain_ram()?;
    let elements = elements.as_slice::<T>()?;
    Ok(match selection {
        // The boxed iterator of `select` is slower.
        Selection::All => elements.iter().map(|x| position(*x)).collect(),
        Selection::Columns { .. } => selection.select(elements).map(|x| position(*x)).collect(),
    })
}

/// Truncates `x` towards zero. Returns `None` if `x` is NaN or out of the range of `i64`.
fn truncated(x: f64) -> Option<i64> {
    let in_range = x >= i64::MIN as f64 && x < i64::MAX as f64;
    in_range.then_some(x as i64)
}

/// Integer keys in a narrow range and their positions.
#[derive(Debug, Deserialize, Serialize)]
pub struct DenseInts {
    /// The smallest key.
    least: i64,
    /// The element at `index` is the position of the key `least + index`. `None` if this integer is not a key.
    positions: Vec<Option<usize>>,
}

impl DenseInts {
    /// Returns `None` if the keys are spread so widely that more than 7 of 8 slots would be empty.
    fn new(positions: &HashMap<i64, usize>) -> Option<DenseInts> {
        let (least, greatest) = (*positions.keys().min()?, *positions.keys().max()?);
        let span = greatest.checked_sub(least).and_then(|span| usize::try_from(span).ok())?;
        if span / 8 > positions.len() {
            return None;
        }
        let mut slots = vec![None; span + 1];
        for (key, position) in positions {
            let slot = key.checked_sub(least).and_then(|slot| usize::try_from(slot).ok());
            slots[slot?] = Some(*position);
        }
        Some(DenseInts { least, positions: slots })
    }

    /// Returns the position of `key`.
    fn get(&self, key: i64) -> Option<usize> {
        let slot = usize::try_from(key.checked_sub(self.least)?).ok()?;
        self.positions.get(slot).copied().flatten()
    }
}

/// Returns a bit pattern that is the same for equal numbers. 0.0 and -0.0 count as equal, and so do
/// all NaNs.
pub fn bits(x: f64) -> u64 {
    match x {
        x if x.is_nan() => f64::NAN.to_bits(),
        0.0 => 0,
        x => x.to_bits(),
    }
}

/// Pairs each key with its position. If the pairs are collected into a map, a repeated key gets its
/// last position.
pub fn positions<K>(list: impl IntoIterator<Item = K>) -> impl Iterator<Item = (K, usize)> {
    list.into_iter().enumerate().map(|(position, key)| (key, position))
}
