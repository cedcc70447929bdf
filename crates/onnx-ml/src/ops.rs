//! The operators, grouped by kind. Each operator is one file, and each group registers its
//! operators.

pub(crate) mod control;
pub(crate) mod ml;
pub(crate) mod nn;
pub(crate) mod quantized;
pub(crate) mod recurrent;
pub(crate) mod tensor;
pub(crate) mod text;

use tract_onnx::model::OnnxOpRegister;

/// Registers the operators of this crate. They replace tract's operators with the same names.
pub(crate) fn register(operators: &mut OnnxOpRegister) {
    control::register(operators);
    ml::register(operators);
    nn::register(operators);
    quantized::register(operators);
    recurrent::register(operators);
    tensor::register(operators);
    text::register(operators);
}
