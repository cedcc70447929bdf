//! Where a value stands in a list of the model: what the operators on categories have in common.

use crate::kernel::elements;
use foldhash::HashMap;
use std::hash::Hash;
use tract_onnx::tract_hir::internal::*;

/// The positions of a list's elements.
#[derive(Debug)]
pub enum Lookup {
    Strings(HashMap<String, usize>),
    Ints(HashMap<i64, usize>),
    /// By [`bits`].
    Floats(HashMap<u64, usize>),
}

impl Lookup {
    /// Where each element of `input` stands. Floats are truncated where the list holds integers.
    ///
    /// # Errors
    ///
    /// Where the input is of text and the list is not, or the other way round.
    pub fn positions(&self, input: &TValue) -> TractResult<Vec<Option<usize>>> {
        match self {
            Lookup::Strings(positions) => {
                let input = input.try_as_plain_ram()?;
                let texts = input.as_slice::<String>()?.iter();
                Ok(texts.map(|text| positions.get(text).copied()).collect())
            }
            Lookup::Ints(positions) if input.datum_type().is_float() => {
                find(input, positions, |x: f64| {
                    let in_range = x >= i64::MIN as f64 && x < i64::MAX as f64;
                    in_range.then_some(x as i64)
                })
            }
            Lookup::Ints(positions) => find(input, positions, Some),
            Lookup::Floats(positions) => find(input, positions, |x| Some(bits(x))),
        }
    }
}

fn find<T: Datum + Copy, K: Hash + Eq>(
    input: &TValue,
    positions: &HashMap<K, usize>,
    key: impl Fn(T) -> Option<K>,
) -> TractResult<Vec<Option<usize>>> {
    let elements = elements::<T>(input)?;
    let elements = elements.try_as_plain_ram()?;
    let keys = elements.as_slice::<T>()?.iter().map(|x| key(*x));
    Ok(keys.map(|key| positions.get(&key?).copied()).collect())
}

/// Equal for equal numbers, for both zeros, and for every NaN.
pub fn bits(x: f64) -> u64 {
    match x {
        x if x.is_nan() => f64::NAN.to_bits(),
        0.0 => 0,
        x => x.to_bits(),
    }
}

/// Elements with their positions; of equal elements in a map, the last one counts.
pub fn positions<K>(list: impl IntoIterator<Item = K>) -> impl Iterator<Item = (K, usize)> {
    list.into_iter().enumerate().map(|(position, key)| (key, position))
}
