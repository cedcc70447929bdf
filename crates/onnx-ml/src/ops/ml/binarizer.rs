//! [Binarizer](https://onnx.ai/onnx/operators/onnx_aionnxml_Binarizer.html): replaces elements
//! above a threshold by 1 and all others by 0. NaN is an error, as in ONNX Runtime.

use crate::kernels::simd::{Vectorized, vectorized};
use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, tensor};
use serde::{Deserialize, Serialize};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Deserialize, Serialize)]
pub struct Binarizer {
    threshold: f32,
}

/// Builds the operator.
pub fn binarizer(_: &ParsingContext, node: &NodeProto) -> Built {
    let threshold = node.get_attr_opt("threshold")?.unwrap_or(0.0);
    operator(node, 1, Binarizer { threshold })
}

impl Kernel for Binarizer {
    const NAME: &'static str = "Binarizer";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let datum_type = match inputs[0].datum_type {
            DatumType::TDim => DatumType::I64,
            found => found,
        };
        ensure!(inputs[0].is_number(), "expected numbers, found {datum_type:?}");
        Ok(tvec!(Fact::new(datum_type, inputs[0].shape.iter().cloned())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let input = &inputs[0];
        let threshold = f64::from(self.threshold);
        let binary = match input.datum_type() {
            DatumType::F32 => binarize(input, |x: f32| x > self.threshold, f32::is_nan)?,
            DatumType::F64 => binarize(input, |x: f64| x > threshold, f64::is_nan)?,
            DatumType::I32 => binarize(input, |x: i32| f64::from(x) > threshold, |_| false)?,
            _ => binarize(input, |x: i64| x as f64 > threshold, |_| false)?,
        };
        Ok(vec![binary])
    }
}

/// Returns a tensor with 1 for each element for which `above` is `true`, and 0 for all other elements.
///
/// # Errors
///
/// Returns an error if `is_nan` is `true` for an element.
fn binarize<T: Datum + Copy + From<bool>>(
    input: &TValue,
    above: impl Fn(T) -> bool,
    is_nan: impl Fn(T) -> bool,
) -> TractResult<Tensor> {
    let elements = elements::<T>(input)?;
    let elements = elements.try_as_plain_ram()?;
    let elements = elements.as_slice::<T>()?;
    let (binary, any_nan) = vectorized(Binarize { elements, above, is_nan: &is_nan });
    if any_nan && let Some(element) = elements.iter().position(|x| is_nan(*x)) {
        bail!("element {element}: expected a number, found NaN");
    }
    tensor(input.shape(), binary)
}

/// The loop of [`binarize`]. The loop does not return at the first NaN, because an early return would prevent
/// vectorization.
struct Binarize<'a, T, A, N> {
    elements: &'a [T],
    above: A,
    is_nan: N,
}

impl<T: Copy + From<bool>, A: Fn(T) -> bool, N: Fn(T) -> bool> Vectorized
    for Binarize<'_, T, A, N>
{
    /// The binary values, and `true` if any element is NaN.
    type Output = (Vec<T>, bool);

    #[inline(always)]
    fn run(self) -> (Vec<T>, bool) {
        let any_nan = self.elements.iter().fold(false, |any, x| any | (self.is_nan)(*x));
        (self.elements.iter().map(|x| T::from((self.above)(*x))).collect(), any_nan)
    }
}
