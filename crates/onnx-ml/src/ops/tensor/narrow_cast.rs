//! [Cast](https://onnx.ai/onnx/operators/onnx__Cast.html) to an element type that tract lacks:
//! `bfloat16`, floats of 8 and 4 bits, integers of 4 and 2 bits. The result is a tensor of the
//! type's carrier (see [`formats`](crate::proto::element_types::formats)), with elements that the
//! type can represent.

use crate::operator::adapter::{Built, kernel_op};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use crate::operator::tensors::tensor;
use crate::ops::tensor::cast::{self, Cast};
use crate::proto::element_types::formats::{FLOAT, FLOAT16, Format, INT8, integer};
use serde::{Deserialize, Serialize};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// Builds Cast: a cast to a type of tract, or to a type that tract lacks.
pub fn cast(context: &ParsingContext, node: &NodeProto) -> Built {
    let to = node.get_attr("to")?;
    let format = Format::of(to).filter(|_| to != FLOAT16);
    let Some(format) = format else { return cast::cast(context, node) };
    let saturates = node.get_attr_opt("saturate")?.unwrap_or(1_i64) != 0;
    let carrier = match format.carrier() {
        FLOAT => DatumType::F32,
        INT8 => DatumType::I8,
        _ => DatumType::U8,
    };
    lower(NarrowCast { to_carrier: Cast::to(carrier), round: Round { to, saturates } })
}

#[derive(Debug, Clone)]
struct NarrowCast {
    to_carrier: Cast,
    round: Round,
}

impl Lowering for NarrowCast {
    fn name(&self) -> StaticName {
        "Cast".into()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, io: Io<'r>) -> InferenceResult {
        self.to_carrier.rules(solver, io)
    }

    fn wire(
        &self,
        Wiring { prefix, model }: Wiring,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let carrier = format!("{prefix}.carrier");
        let wide = self.to_carrier.wire(Wiring { prefix: &carrier, model }, inputs)?;
        model.wire_node(prefix, kernel_op(self.round.clone()), &wide)
    }
}

/// Rounds the elements of a carrier to values of a narrower type.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Round {
    /// Code of the narrower type.
    to: i32,
    /// If true, a float beyond the greatest finite value becomes that value.
    saturates: bool,
}

impl Kernel for Round {
    const NAME: &'static str = "Cast";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        Ok(tvec!(Fact::new(inputs[0].datum_type, inputs[0].shape.iter().cloned())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let (shape, plain) = (inputs[0].shape(), inputs[0].try_as_plain_ram()?);
        let format = Format::of(self.to).context("expected a type that tract lacks")?;
        Ok(vec![match format {
            Format::Float(float) => {
                let round = |value: &f32| float.round(*value, self.saturates);
                tensor(shape, plain.as_slice::<f32>()?.iter().map(round).collect())?
            }
            Format::Integer { bits, is_signed: true } => {
                let wrap = |value: &i8| integer(u16::from(*value as u8), bits, true);
                tensor(shape, plain.as_slice::<i8>()?.iter().map(wrap).collect())?
            }
            Format::Integer { bits, is_signed: false } => {
                let wrap = |value: &u8| integer(u16::from(*value), bits, false) as u8;
                tensor(shape, plain.as_slice::<u8>()?.iter().map(wrap).collect())?
            }
        }])
    }
}
