//! Element-wise operators for doubles that tract computes only in single precision:
//! [Sigmoid](https://onnx.ai/onnx/operators/onnx__Sigmoid.html),
//! [HardSwish](https://onnx.ai/onnx/operators/onnx__HardSwish.html) and
//! [LeakyRelu](https://onnx.ai/onnx/operators/onnx__LeakyRelu.html). The results have type double
//! but single precision.

use crate::operator::kernel::Built;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::nn::{hard_swish, leaky_relu, sigmoid};
use tract_onnx::tract_hir::internal::*;

pub fn element_wise(_: &ParsingContext, node: &NodeProto) -> Built {
    let operator = match node.op_type.as_str() {
        "Sigmoid" => sigmoid(),
        "HardSwish" => hard_swish(),
        "LeakyRelu" => leaky_relu(node.get_attr_opt("alpha")?.unwrap_or(0.01)),
        other => bail!("expected an element-wise operator, found {other}"),
    };
    Ok((expand(InSingle(operator)), vec![]))
}

#[derive(Debug, Clone)]
struct InSingle(ElementWiseOp);

impl Expansion for InSingle {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        if model.outlet_fact(inputs[0])?.datum_type != f64::datum_type() {
            return model.wire_node(prefix, self.0.clone(), inputs);
        }
        let single =
            model.wire_node(format!("{prefix}.single"), cast(f32::datum_type()), inputs)?;
        let output = model.wire_node(format!("{prefix}.output"), self.0.clone(), &single)?;
        model.wire_node(prefix, cast(f64::datum_type()), &output)
    }
}
