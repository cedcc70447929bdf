//! ONNX models of classical machine learning (the `ai.onnx.ml` domain) for tract.
//!
//! [`onnx`] is tract's ONNX front end with the operators of this crate, which add to tract's and
//! replace those that answer wrongly; [`zip_map::lower`] takes what tract has no type for out of a
//! model before it is parsed. It knows nothing of any service.
//!
//! An operator is a file: a [`kernel::Kernel`], a function that makes one of a node's attributes,
//! and a line in [`register`].

pub mod kernel;
mod scaler;
pub mod zip_map;

use tract_onnx::Onnx;
use tract_onnx::model::OnnxOpRegister;

/// Operators of tract 0.23.9 that give wrong answers or can be made to crash, so that a model
/// which needs them is refused instead:
///
/// - `TreeEnsembleClassifier`: wrong labels for binary models (the winner is taken from
///   `[score, 0]` before the complement), and unchecked indices from the model file.
const WITHHELD: [&str; 1] = ["TreeEnsembleClassifier"];

/// tract's ONNX front end, fit for models of classical machine learning.
pub fn onnx() -> Onnx {
    let mut onnx = tract_onnx::onnx();
    for operator in WITHHELD {
        onnx.op_register.0.remove(operator);
    }
    register(&mut onnx.op_register);
    onnx
}

/// Adds the operators of this crate, in place of tract's of the same name.
pub fn register(operators: &mut OnnxOpRegister) {
    operators.insert("Scaler", scaler::scaler);
}
