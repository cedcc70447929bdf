//! The operators on quantized tensors.

mod q_linear_mat_mul;
mod quantize_linear;

use tract_onnx::model::OnnxOpRegister;

/// Registers the operators of this group.
pub(super) fn register(operators: &mut OnnxOpRegister) {
    operators.insert("DequantizeLinear", quantize_linear::dequantize_linear);
    operators.insert("QLinearMatMul", q_linear_mat_mul::q_linear_mat_mul);
    operators.insert("QuantizeLinear", quantize_linear::quantize_linear);
}
