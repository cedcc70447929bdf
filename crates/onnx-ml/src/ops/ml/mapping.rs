//! Maps from the values of one list to those of another, for LabelEncoder and CategoryMapper.

use crate::encoding::fields::{datum_type, tensor_value};
use crate::operator::kernel::{Fact, tensor};
use crate::ops::ml::columns::Columns;
use crate::ops::ml::lookup::{Lookup, positions};
use serde::{Deserialize, Serialize};
use tract_onnx::tract_hir::internal::*;

/// A map from elements of one type.
#[derive(Debug, Deserialize, Serialize)]
pub struct Mapping {
    /// Type of the keys.
    #[serde(with = "datum_type")]
    pub from: DatumType,
    pub keys: Lookup,
    /// One value per key.
    #[serde(with = "tensor_value")]
    pub to: Tensor,
    /// One value of the same type as `to`, for elements that are not a key.
    #[serde(with = "tensor_value")]
    pub default: Tensor,
}

/// Maps from elements of different types; the type of the input selects the map.
#[derive(Debug, Deserialize, Serialize)]
pub struct Mappings(pub Vec<Mapping>);

impl Mappings {
    /// Creates maps from strings to integers and back, from two lists of equal length.
    pub fn both_ways(
        strings: Vec<String>,
        ints: Vec<i64>,
        default_string: String,
        default_int: i64,
    ) -> Mappings {
        Mappings(vec![
            Mapping {
                from: String::datum_type(),
                keys: Lookup::Strings(positions(strings.iter().cloned()).collect()),
                to: tensor1(&ints),
                default: tensor0(default_int),
            },
            Mapping {
                from: i64::datum_type(),
                keys: Lookup::ints(positions(ints).collect()),
                to: tensor1(&strings),
                default: tensor0(default_string),
            },
        ])
    }

    pub fn outputs(&self, input: &Fact) -> TractResult<TVec<Fact>> {
        let mapping = self.of(input.datum_type)?;
        Ok(tvec!(Fact::new(mapping.to.datum_type(), input.shape.iter().cloned())))
    }

    /// Returns the values of the selected elements, with shape `shape`.
    pub fn eval(&self, input: &TValue, columns: &Columns, shape: &[usize]) -> TractResult<Tensor> {
        let mapping = self.of(input.datum_type())?;
        let positions = mapping.keys.positions(input, columns)?;
        dispatch_datum!(select(mapping.to.datum_type())(
            &mapping.to,
            &mapping.default,
            &positions,
            shape
        ))
    }

    fn of(&self, found: DatumType) -> TractResult<&Mapping> {
        let found = if found.is_tdim() { DatumType::I64 } else { found };
        self.0.iter().find(|mapping| mapping.from == found).with_context(|| {
            let from: Vec<_> = self.0.iter().map(|mapping| mapping.from).collect();
            format!("expected one of {from:?}, found {found:?}")
        })
    }
}

fn select<T: Datum>(
    values: &Tensor,
    default: &Tensor,
    positions: &[Option<usize>],
    shape: &[usize],
) -> TractResult<Tensor> {
    let (values, default) = (values.try_as_plain_ram()?, default.try_as_plain_ram()?);
    let values = values.as_slice::<T>()?;
    let default = default.as_slice::<T>()?.first().context("expected a default, found none")?;
    let value = |position: usize| values.get(position);
    let selected =
        positions.iter().map(|position| position.and_then(value).unwrap_or(default).clone());
    tensor(shape, selected.collect())
}
