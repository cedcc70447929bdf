//! The operators on quantized tensors.

pub(crate) mod binary;
pub(crate) mod dynamic_quantize_linear;
pub(crate) mod integer_conv;
pub(crate) mod integer_mat_mul;
mod operand;
pub(crate) mod quantize_linear;
pub(crate) mod softmax;

use tract_onnx::model::OnnxOpRegister;

/// Registers the operators of this group.
pub(super) fn register(operators: &mut OnnxOpRegister) {
    operators.insert("ConvInteger", integer_conv::conv_integer);
    operators.insert("DequantizeLinear", quantize_linear::dequantize_linear);
    operators.insert("DynamicQuantizeLinear", dynamic_quantize_linear::dynamic_quantize_linear);
    operators.insert("MatMulInteger", integer_mat_mul::mat_mul_integer);
    operators.insert("MatMulIntegerToFloat", integer_mat_mul::mat_mul_integer_to_float);
    operators.insert("QGemm", integer_mat_mul::q_gemm);
    operators.insert("QLinearAdd", binary::q_linear_add);
    operators.insert("QLinearConv", integer_conv::q_linear_conv);
    operators.insert("QLinearMatMul", integer_mat_mul::q_linear_mat_mul);
    operators.insert("QLinearMul", binary::q_linear_mul);
    operators.insert("QLinearSoftmax", softmax::q_linear_softmax);
    operators.insert("QuantizeLinear", quantize_linear::quantize_linear);
}
