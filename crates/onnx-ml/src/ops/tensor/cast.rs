//! [Cast](https://onnx.ai/onnx/operators/onnx__Cast.html) and
//! [CastLike](https://onnx.ai/onnx/operators/onnx__CastLike.html).
//!
//! tract has a separate type for dimensions, `TDim`. Its values may be symbols, such as the number of rows. A cast of a
//! dimension to `int64` keeps the type `TDim`, so that computations with shapes stay symbolic. A cast of any other type
//! to `int64` has type `int64`. A float that is out of range of the integer type is cast to the same integer as by ONNX
//! Runtime on x86-64.

use crate::encoding::fields::datum_type;
use crate::kernels::slices::columnwise;
use crate::operator::adapter::{Built, kernel_op};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use crate::operator::tensors::tensor;
use crate::ops::text::string_cast::StringCast;
use serde::{Deserialize, Serialize};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::cast as tract_cast;
use tract_onnx::tract_hir::internal::*;

/// Builds Cast.
pub fn cast(_: &ParsingContext, node: &NodeProto) -> Built {
    let to: DatumType = node.get_attr("to")?;
    lower(Cast { to: Some(to) })
}

pub fn cast_like(_: &ParsingContext, _: &NodeProto) -> Built {
    lower(Cast { to: None })
}

#[derive(Debug, Clone)]
pub struct Cast {
    /// Target type; `None` means the type of the second input.
    to: Option<DatumType>,
}

impl Cast {
    /// Returns a cast to a type of tract.
    pub fn to(to: DatumType) -> Cast {
        Cast { to: Some(to) }
    }
}

/// Returns the type that tract uses for the result of a cast from `from` to `to`.
fn output_type(from: DatumType, to: DatumType) -> DatumType {
    let integer = to == i64::datum_type() || to.is_tdim();
    match (from.is_tdim(), integer) {
        (true, true) => from,
        (false, true) => i64::datum_type(),
        (_, false) => to,
    }
}

impl Lowering for Cast {
    fn name(&self) -> StaticName {
        "Cast".into()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        check_input_arity(inputs, if self.to.is_some() { 1 } else { 2 })?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)?;
        solver.given(&inputs[0].datum_type, move |solver, from| match self.to {
            Some(to) => solver.equals(&outputs[0].datum_type, output_type(from, to)),
            None => solver.given(&inputs[1].datum_type, move |solver, to| {
                solver.equals(&outputs[0].datum_type, output_type(from, to))
            }),
        })
    }

    fn wire(
        &self,
        Wiring { prefix, model }: Wiring,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let from = model.outlet_fact(inputs[0])?.datum_type;
        let to = match self.to {
            Some(to) => to,
            None => model.outlet_fact(inputs[1])?.datum_type,
        };
        let to = output_type(from, to);
        // `StringCast` does not support a cast from string to string. tract's cast supports it, and returns the input
        // unchanged.
        if from != to && [from, to].contains(&DatumType::String) {
            return model.wire_node(prefix, kernel_op(StringCast { to }), &inputs[..1]);
        }
        if from.is_float() && to.is_integer() {
            return model.wire_node(prefix, kernel_op(Truncate { to }), &inputs[..1]);
        }
        model.wire_node(prefix, tract_cast(to), &inputs[..1])
    }
}

/// Casts floats to integers by truncation.
#[derive(Debug, Deserialize, Serialize)]
pub struct Truncate {
    /// Type of the output.
    #[serde(with = "datum_type")]
    to: DatumType,
}

impl Kernel for Truncate {
    const NAME: &'static str = "Cast";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        Ok(tvec!(Fact::new(self.to, inputs[0].shape.iter().cloned())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        if let (DatumType::F32, DatumType::I64) = (inputs[0].datum_type(), self.to) {
            let floats = inputs[0].try_as_plain_ram()?;
            let integers = columnwise(floats.as_slice::<f32>()?, &[()], |x, ()| int64(x.into()));
            return Ok(vec![tensor(inputs[0].shape(), integers)?]);
        }
        let floats = inputs[0].cast_to::<f64>()?;
        let floats = floats.try_as_plain_ram()?;
        let floats = floats.as_slice::<f64>()?;
        let shape = inputs[0].shape();
        Ok(vec![match self.to {
            DatumType::I8 => tensor(shape, each(floats, |x| int32(x) as i8)),
            DatumType::I16 => tensor(shape, each(floats, |x| int32(x) as i16)),
            DatumType::I32 => tensor(shape, each(floats, int32)),
            DatumType::I64 => tensor(shape, each(floats, int64)),
            DatumType::U8 => tensor(shape, each(floats, |x| int32(x) as u8)),
            DatumType::U16 => tensor(shape, each(floats, |x| int32(x) as u16)),
            DatumType::U32 => tensor(shape, each(floats, |x| int64(x) as u32)),
            DatumType::U64 => tensor(shape, each(floats, uint64)),
            other => bail!("expected an integer type, found {other:?}"),
        }?])
    }
}

/// Converts each element.
fn each<T>(floats: &[f64], integer: impl Fn(f64) -> T) -> Vec<T> {
    floats.iter().map(|float| integer(*float)).collect()
}

/// Truncates to an `i32`. Returns `i32::MIN` if the value is NaN or out of range, like the
/// instruction `cvttsd2si` of x86-64.
fn int32(float: f64) -> i32 {
    let whole = float.trunc();
    let within = (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&whole);
    if within { whole as i32 } else { i32::MIN }
}

/// Truncates to an `i64`. Returns `i64::MIN` if the value is NaN or out of range.
#[inline(always)]
fn int64(float: f64) -> i64 {
    let bound = -(i64::MIN as f64);
    if (-bound..bound).contains(&float) { float as i64 } else { i64::MIN }
}

/// Truncates to a `u64`, as compilers do with the signed conversion of x86-64. For numbers of 2^63 or more, subtracts
/// 2^63 before the conversion, and flips the upper bit of the result.
fn uint64(float: f64) -> u64 {
    let bound = -(i64::MIN as f64);
    if float >= bound { int64(float - bound) as u64 ^ (1 << 63) } else { int64(float) as u64 }
}
