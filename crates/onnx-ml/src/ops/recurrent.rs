//! The recurrent layers `LSTM`, `GRU` and `RNN`, and ONNX Runtime's `DynamicQuantizeLSTM`.

mod activation;
mod cell;
pub(crate) mod gru;
pub(crate) mod layer;
pub(crate) mod lstm;
mod product;
mod quantized;
pub(crate) mod rnn;
mod sequence;
mod weights;

use tract_onnx::model::OnnxOpRegister;

/// Registers the operators of this group.
pub(super) fn register(operators: &mut OnnxOpRegister) {
    operators.insert("DynamicQuantizeLSTM", layer::dynamic_quantize_lstm);
    operators.insert("GRU", layer::gru);
    operators.insert("LSTM", layer::lstm);
    operators.insert("RNN", layer::rnn);
}
