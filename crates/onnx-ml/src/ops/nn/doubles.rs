//! Support for doubles in element-wise operators that tract does not compute for doubles:
//! [IsInf](https://onnx.ai/onnx/operators/onnx__IsInf.html),
//! [IsNaN](https://onnx.ai/onnx/operators/onnx__IsNaN.html) and
//! [Round](https://onnx.ai/onnx/operators/onnx__Round.html). For other types, tract's operators are used.

use crate::operator::adapter::{Built, wire};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use crate::operator::tensors::tensor;
use serde::{Deserialize, Serialize};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::math::{is_inf, is_nan, round_half_to_even};
use tract_onnx::tract_hir::internal::*;

/// Builds IsInf, IsNaN or Round.
pub fn doubles(_: &ParsingContext, node: &NodeProto) -> Built {
    let flag = |name: &str| TractResult::Ok(node.get_attr_opt::<i64>(name)?.unwrap_or(1) != 0);
    lower(match node.op_type.as_str() {
        "IsInf" => Doubles::IsInf {
            positive: flag("detect_positive")?,
            negative: flag("detect_negative")?,
        },
        "IsNaN" => Doubles::IsNan,
        "Round" => Doubles::Round,
        other => bail!("expected IsInf, IsNaN or Round, found {other}"),
    })
}

/// An element-wise operator on doubles, or on any type before the type is known.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub enum Doubles {
    IsInf { positive: bool, negative: bool },
    IsNan,
    Round,
}

impl Doubles {
    /// Returns tract's operator for other types.
    fn tract(self) -> ElementWiseOp {
        match self {
            Doubles::IsInf { positive, negative } => is_inf(positive, negative),
            Doubles::IsNan => is_nan(),
            Doubles::Round => round_half_to_even(),
        }
    }
}

impl Lowering for Doubles {
    fn name(&self) -> StaticName {
        self.tract().name()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        match self {
            Doubles::Round => solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?,
            _ => solver.equals(&outputs[0].datum_type, bool::datum_type())?,
        }
        solver.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(&self, wiring: Wiring, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        if wiring.fact(inputs[0])?.datum_type != f64::datum_type() {
            return wiring.last(self.tract(), inputs);
        }
        wire(wiring.prefix, wiring.model, *self, inputs, 1)
    }
}

impl Kernel for Doubles {
    const NAME: &'static str = "Doubles";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let found = inputs[0].datum_type;
        ensure!(found == f64::datum_type(), "expected doubles, found {found:?}");
        let datum_type = match self {
            Doubles::Round => f64::datum_type(),
            _ => bool::datum_type(),
        };
        Ok(tvec!(Fact::new(datum_type, inputs[0].shape.iter().cloned())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let (x, shape) = (inputs[0].try_as_plain_ram()?.as_slice::<f64>()?, inputs[0].shape());
        let flags = |is: &dyn Fn(f64) -> bool| tensor(shape, x.iter().map(|x| is(*x)).collect());
        let output = match *self {
            Doubles::IsInf { positive, negative } => {
                flags(&|x| positive && x == f64::INFINITY || negative && x == f64::NEG_INFINITY)
            }
            Doubles::IsNan => flags(&f64::is_nan),
            Doubles::Round => tensor(shape, x.iter().map(|x| x.round_ties_even()).collect()),
        };
        Ok(vec![output?])
    }
}
