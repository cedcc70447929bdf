//! Operators that ONNX Runtime's optimizer writes for a product and the operators after it:
//! [FusedConv, FusedGemm and
//! FusedMatMul](https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md) in the
//! domain `com.microsoft`. A fused operator is built from the operators that it replaces.

use crate::operator::adapter::Built;
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::{math, nn};
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::activations::{Clip, HardSigmoid, LeakyRelu};
use tract_onnx::tract_hir::ops::binary::wire_rank_broadcast;
use tract_onnx::tract_hir::ops::matmul::MatMulInference;

pub fn fused_conv(context: &ParsingContext, node: &NodeProto) -> Built {
    let parameters = node.get_attr_opt_vec::<f32>("activation_params")?.unwrap_or_default();
    let mut conv = node.clone();
    // The fourth input of FusedConv is added to the convolution.
    let sum = conv.input.get(3).is_some_and(|name| !name.is_empty());
    conv.input.truncate(3);
    conv.input.retain(|name| !name.is_empty());
    let operator = build_part(context, "Conv", &conv)?;
    let activation = activation(node, &parameters)?;
    lower(Fused { operator, inputs: conv.input.len(), sum, activation })
}

pub fn fused_gemm(context: &ParsingContext, node: &NodeProto) -> Built {
    let parameter = |name: &str| node.get_attr_opt::<f32>(name);
    let parameters = [parameter("activation_alpha")?, parameter("activation_beta")?];
    let parameters: Vec<f32> = parameters.into_iter().flatten().collect();
    let operator = build_part(context, "Gemm", node)?;
    let activation = activation(node, &parameters)?;
    lower(Fused { operator, inputs: node.input.len(), sum: false, activation })
}

pub fn fused_mat_mul(_: &ParsingContext, node: &NodeProto) -> Built {
    let flag = |name: &str| TractResult::Ok(node.get_attr_opt::<i64>(name)?.unwrap_or(0) != 0);
    for name in ["transBatchA", "transBatchB"] {
        let found = node.get_attr_opt::<i64>(name)?.unwrap_or(0);
        node.expect_attr(name, found == 0, || format!("0, found {found}"))?;
    }
    let product =
        MatMulInference::default().with_a_trans(flag("transA")?).with_b_trans(flag("transB")?);
    let operator = Box::new(product);
    let activation = Activation::Scale(node.get_attr_opt("alpha")?.unwrap_or(1.0));
    lower(Fused { operator, inputs: 2, sum: false, activation })
}

/// Builds operator `name`, of tract or this crate, from the attributes of the fused node.
fn build_part(
    context: &ParsingContext,
    name: &str,
    node: &NodeProto,
) -> TractResult<Box<dyn Expansion>> {
    let operators = &context.framework.op_register.0;
    let build = operators
        .get(name)
        .with_context(|| format!("expected a supported operator, found {name}"))?;
    let (operator, _) = build(context, node)?;
    let expansion = operator.as_op().downcast_ref::<Box<dyn Expansion>>();
    Ok(expansion.with_context(|| format!("expected an expansion, found operator {name}"))?.clone())
}

/// The last operator of a fused node.
#[derive(Debug, Clone)]
enum Activation {
    Sigmoid,
    Tanh,
    /// A factor; 1 for nodes without activation.
    Scale(f32),
    Other(Box<dyn Expansion>),
}

/// Reads the attribute `activation`.
fn activation(node: &NodeProto, parameters: &[f32]) -> TractResult<Activation> {
    let parameter = |index: usize, default| parameters.get(index).copied().unwrap_or(default);
    let other = |operator: Box<dyn Expansion>| Ok(Activation::Other(operator));
    match node.get_attr_opt::<&str>("activation")?.unwrap_or_default() {
        "" => Ok(Activation::Scale(1.0)),
        "Clip" => {
            let bounds = (parameter(0, f32::MIN), parameter(1, f32::MAX));
            other(Box::new(Clip::new(Some(bounds.0), Some(bounds.1))))
        }
        "HardSigmoid" => other(Box::new(HardSigmoid(parameter(0, 0.2), parameter(1, 0.5)))),
        "LeakyRelu" => other(Box::new(LeakyRelu(parameter(0, 0.01)))),
        "Relu" => other(Box::new(Clip::new(Some(0.0), None))),
        "Sigmoid" => Ok(Activation::Sigmoid),
        "Tanh" => Ok(Activation::Tanh),
        found => {
            node.bail_attr("activation", &format!("expected a supported activation, found {found}"))
        }
    }
}

/// A product, an optional sum with the last input, and an activation.
#[derive(Debug, Clone)]
struct Fused {
    /// The product.
    operator: Box<dyn Expansion>,
    /// Number of inputs of the product.
    inputs: usize,
    /// `true` if the node has a further input, which is added to the product.
    sum: bool,
    activation: Activation,
}

impl Lowering for Fused {
    fn name(&self) -> StaticName {
        format!("Fused{}", self.operator.name()).into()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        check_input_arity(inputs, self.inputs + usize::from(self.sum))?;
        self.operator.rules(solver, &inputs[..self.inputs], outputs)
    }

    fn wire(
        &self,
        Wiring { prefix, model }: Wiring,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let (product_inputs, sum) = inputs.split_at(self.inputs);
        let mut wires = self.operator.wire(&format!("{prefix}.product"), model, product_inputs)?;
        if let [sum] = sum {
            wires = model.wire_node(format!("{prefix}.sum"), math::add(), &[wires[0], *sum])?;
        }
        match &self.activation {
            Activation::Sigmoid => model.wire_node(prefix, nn::sigmoid(), &wires),
            Activation::Tanh => model.wire_node(prefix, math::tanh(), &wires),
            Activation::Scale(1.0) => Ok(wires),
            Activation::Scale(factor) => {
                let datum_type = model.outlet_fact(wires[0])?.datum_type;
                let factor = tensor0(*factor).cast_to_dt(datum_type)?.into_owned();
                let factor = model.add_const(format!("{prefix}.factor"), factor)?;
                let wires = wire_rank_broadcast(prefix, model, &[wires[0], factor])?;
                model.wire_node(prefix, math::mul(), &wires)
            }
            Activation::Other(operator) => operator.wire(prefix, model, &wires),
        }
    }
}
