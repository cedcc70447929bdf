//! [Imputer](https://onnx.ai/onnx/operators/onnx_aionnxml_Imputer.html): replaces missing values by
//! fill values. An attribute of the node contains the value that marks a missing value. This value may be NaN.
//! There is one fill value for all columns or one per column.

use crate::kernels::slices::columnwise;
use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, tensor};
use serde::{Deserialize, Serialize};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// The operator for floats or for integers. `replaced` is the value that marks a missing value, and `imputed` contains
/// the fill values.
#[derive(Debug, Deserialize, Serialize)]
pub enum Imputer {
    Floats { imputed: Vec<f32>, replaced: f32 },
    Ints { imputed: Vec<i64>, replaced: i64 },
}

/// Builds the operator.
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
        (neither, _) => {
            let found = if neither { "neither" } else { "both" };
            return node.bail(&format!(
                "expected either imputed_value_floats or imputed_value_int64s, found {found}"
            ));
        }
    };
    operator(node, 1, imputer)
}

impl Imputer {
    /// Returns the number of fill values.
    fn fill_value_count(&self) -> usize {
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
                if let Some(wide) = imputed.iter().find(|value| i32::try_from(**value).is_err()) {
                    bail!("expected 32-bit integers as fill values, found {wide}");
                }
                DatumType::I32
            }
            (Imputer::Floats { .. }, found) => bail!("expected floats, found {found:?}"),
            (Imputer::Ints { .. }, found) => bail!("expected integers, found {found:?}"),
        };
        if self.fill_value_count() > 1 {
            let (_, columns) = input.matrix()?;
            let found = self.fill_value_count();
            ensure!(columns == found.to_dim(), "expected {columns} fill values, found {found}");
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

/// Replaces each element that is `missing` by the fill value of its column. `cast` converts fill
/// values to the type of the input.
fn impute<T: Datum + Copy, V: Copy>(
    input: &TValue,
    imputed: &[V],
    cast: impl Fn(V) -> T,
    missing: impl Fn(T) -> bool + Copy,
) -> TractResult<Tensor> {
    let elements = elements::<T>(input)?;
    let elements = elements.try_as_plain_ram()?;
    let fill_values: Vec<T> = imputed.iter().map(|value| cast(*value)).collect();
    let impute = |x: T, fill_value: T| if missing(x) { fill_value } else { x };
    let complete = columnwise(elements.as_slice::<T>()?, &fill_values, impute);
    tensor(input.shape(), complete)
}
