//! Maps from a list of keys to a list of values, for LabelEncoder and CategoryMapper.

use crate::encoding::fields::{datum_type, tensor_value};
use crate::operator::kernel::Fact;
use crate::operator::tensors::tensor;
use crate::ops::ml::columns::Selection;
use crate::ops::ml::lookup::{Lookup, positions};
use serde::{Deserialize, Serialize};
use tract_onnx::tract_hir::internal::*;

/// A map from keys of one type to values of one type.
#[derive(Debug, Deserialize, Serialize)]
pub struct Mapping {
    /// Type of the keys.
    #[serde(with = "datum_type")]
    pub key_type: DatumType,
    /// Maps a key to the position of its value in `values`.
    pub keys: Lookup,
    /// One value per key.
    #[serde(with = "tensor_value")]
    pub values: Tensor,
    /// One value of the same type as `values`, for elements that are not a key.
    #[serde(with = "tensor_value")]
    pub default: Tensor,
}

/// Maps with different key types. The type of the input selects the map.
#[derive(Debug, Deserialize, Serialize)]
pub struct Mappings(pub Vec<Mapping>);

impl Mappings {
    /// Creates a map from strings to integers and a map back, from two lists of equal length.
    pub fn both_ways(
        strings: Vec<String>,
        ints: Vec<i64>,
        default_string: String,
        default_int: i64,
    ) -> Mappings {
        Mappings(vec![
            Mapping {
                key_type: String::datum_type(),
                keys: Lookup::Strings(positions(strings.iter().cloned()).collect()),
                values: tensor1(&ints),
                default: tensor0(default_int),
            },
            Mapping {
                key_type: i64::datum_type(),
                keys: Lookup::ints(positions(ints).collect()),
                values: tensor1(&strings),
                default: tensor0(default_string),
            },
        ])
    }

    /// Returns the fact of the operator's only output.
    ///
    /// # Errors
    ///
    /// Returns an error if no map has keys of the input's type.
    pub fn outputs(&self, input: &Fact) -> TractResult<TVec<Fact>> {
        let mapping = self.for_input_type(input.datum_type)?;
        Ok(tvec!(Fact::new(mapping.values.datum_type(), input.shape.iter().cloned())))
    }

    /// Returns the values for the selected elements of `input`, with shape `shape`.
    ///
    /// # Errors
    ///
    /// Returns an error if no map has keys of the input's type.
    pub fn eval(
        &self,
        input: &TValue,
        selection: &Selection,
        shape: &[usize],
    ) -> TractResult<Tensor> {
        let mapping = self.for_input_type(input.datum_type())?;
        let positions = mapping.keys.positions(input, selection)?;
        dispatch_datum!(select(mapping.values.datum_type())(
            &mapping.values,
            &mapping.default,
            &positions,
            shape
        ))
    }

    /// Returns the map for inputs of type `found`. tract's dimensions count as integers.
    fn for_input_type(&self, found: DatumType) -> TractResult<&Mapping> {
        let found = if found.is_tdim() { DatumType::I64 } else { found };
        self.0.iter().find(|mapping| mapping.key_type == found).with_context(|| {
            let types: Vec<_> = self.0.iter().map(|mapping| mapping.key_type).collect();
            format!("expected an input of one of the types {types:?}, found {found:?}")
        })
    }
}

/// Returns the value at each position, or `default` for `None`.
fn select<T: Datum>(
    values: &Tensor,
    default: &Tensor,
    positions: &[Option<usize>],
    shape: &[usize],
) -> TractResult<Tensor> {
    let (values, default) = (values.try_as_plain_ram()?, default.try_as_plain_ram()?);
    let values = values.as_slice::<T>()?;
    let default =
        default.as_slice::<T>()?.first().context("expected a default value, found none")?;
    let value = |position: usize| values.get(position);
    let selected =
        positions.iter().map(|position| position.and_then(value).unwrap_or(default).clone());
    tensor(shape, selected.collect())
}
