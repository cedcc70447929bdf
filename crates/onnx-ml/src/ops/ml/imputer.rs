//! [Imputer](https://onnx.ai/onnx/operators/onnx_aionnxml_Imputer.html): replaces missing values,
//! which are NaN or equal to a given number. The fill value is one for all columns or one per
//! column.

use crate::kernels::simd::columnwise;
use crate::operator::kernel::{Built, Fact, Kernel, elements, operator, tensor};
use serde::{Deserialize, Serialize};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Deserialize, Serialize)]
pub enum Imputer {
    Floats { imputed: Vec<f32>, replaced: f32 },
    Ints { imputed: Vec<i64>, replaced: i64 },
}

pub fn imputer(_: &ParsingContext, node: &NodeProto) -> Built {
    let floats: Vec<f32> = node.get_attr_opt_vec("imputed_value_floats")?.unwrap_or_default();
    let ints: Vec<i64> = node.get_attr_opt_vec("imputed_value_int64s")?.unwrap_or_default();
    let imputer = match (floats.is_empty(), ints.is_empty()) {
        (false, true) => Imputer::Floats {
            imputed: floats,
            replaced: node.get_attr_opt("replaced_value_float")?.unwrap_or(0.0),
        },
        (true, false) => Imputer::Ints {
            imputed: ints,
            replaced: node.get_attr_opt("replaced_value_int64")?.unwrap_or(0),
        },
        (none, _) => {
            let found = if none { "none" } else { "both" };
            return node.bail(&format!(
                "expected imputed_value_floats or imputed_value_int64s, found {found}"
            ));
        }
    };
    operator(node, 1, imputer)
}

impl Imputer {
    fn len(&self) -> usize {
        match self {
            Imputer::Floats { imputed, .. } => imputed.len(),
            Imputer::Ints { imputed, .. } => imputed.len(),
        }
    }
}

impl Kernel for Imputer {
    const NAME: &'static str = "Imputer";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let input = &inputs[0];
        let datum_type = match (self, input.datum_type) {
            (Imputer::Floats { .. }, DatumType::F32 | DatumType::F64) => input.datum_type,
            (Imputer::Ints { .. }, DatumType::I64 | DatumType::TDim) => DatumType::I64,
            (Imputer::Ints { imputed, .. }, DatumType::I32) => {
                let wide = imputed.iter().find(|value| i32::try_from(**value).is_err());
                ensure!(wide.is_none(), "expected 32 bit integers to impute, found {wide:?}");
                DatumType::I32
            }
            (Imputer::Floats { .. }, found) => bail!("expected floats, found {found:?}"),
            (Imputer::Ints { .. }, found) => bail!("expected integers, found {found:?}"),
        };
        if self.len() > 1 {
            let (_, columns) = input.matrix()?;
            let fits = columns == self.len().to_dim();
            ensure!(fits, "expected {columns} values to impute, found {}", self.len());
        }
        Ok(tvec!(Fact::new(datum_type, input.shape.iter().cloned())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let input = &inputs[0];
        let imputed = match (self, input.datum_type()) {
            (Imputer::Floats { imputed, replaced }, DatumType::F64) => {
                let replaced = f64::from(*replaced);
                let missing = |x: f64| x == replaced || (x.is_nan() && replaced.is_nan());
                impute(input, imputed, f64::from, missing)?
            }
            (Imputer::Floats { imputed, replaced }, _) => {
                let missing = |x: f32| x == *replaced || (x.is_nan() && replaced.is_nan());
                impute(input, imputed, |value| value, missing)?
            }
            (Imputer::Ints { imputed, replaced }, DatumType::I32) => {
                let missing = |x: i32| i64::from(x) == *replaced;
                impute(input, imputed, |value| value as i32, missing)?
            }
            (Imputer::Ints { imputed, replaced }, _) => {
                impute(input, imputed, |value| value, |x: i64| x == *replaced)?
            }
        };
        Ok(vec![imputed])
    }
}

fn impute<T: Datum + Copy, V: Copy>(
    input: &TValue,
    imputed: &[V],
    cast: impl Fn(V) -> T,
    missing: impl Fn(T) -> bool + Copy,
) -> TractResult<Tensor> {
    let elements = elements::<T>(input)?;
    let elements = elements.try_as_plain_ram()?;
    let values: Vec<T> = imputed.iter().map(|value| cast(*value)).collect();
    let impute = |x: T, value: T| if missing(x) { value } else { x };
    let full = columnwise(elements.as_slice::<T>()?, &values, impute);
    tensor(input.shape(), full)
}
