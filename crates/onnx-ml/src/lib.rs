//! ONNX models of classical machine learning (the `ai.onnx.ml` domain) for tract.
//!
//! [`onnx`] is tract's ONNX front end with the operators of this crate, which add to tract's and
//! replace those that answer wrongly; [`zip_map::lower`] takes what tract has no type for out of a
//! model before it is parsed. It knows nothing of any service.
//!
//! An operator is a file: a [`kernel::Kernel`], a function that makes one of a node's attributes,
//! and a line in [`register`].

mod array_feature_extractor;
mod binarizer;
mod cast;
mod category_mapper;
mod cdist;
mod constant_of_shape;
mod equal;
mod fast;
mod feature_vectorizer;
mod fused;
mod if_operator;
mod imputer;
mod indices;
pub mod kernel;
mod label_encoder;
mod labels;
mod linear;
mod linear_classifier;
mod linear_regressor;
mod lookup;
mod loop_operator;
mod mapping;
mod normalizer;
mod one_hot;
mod one_hot_encoder;
mod post_transform;
mod recurrent;
mod scaler;
mod simd;
mod slice;
mod subgraph;
mod svm;
mod svm_classifier;
mod svm_regressor;
mod tree_attributes;
mod tree_ensemble_classifier;
mod tree_ensemble_regressor;
pub mod trees;
mod vectors;
pub mod zip_map;

pub use fast::optimize;
use tract_onnx::Onnx;
use tract_onnx::model::OnnxOpRegister;

/// tract's ONNX front end, fit for models as they are exported.
///
/// The shapes that a model notes of its inner values are ignored: they contradict inputs of other
/// sizes than it was exported for, and so they do another name for the size of the batch.
pub fn onnx() -> Onnx {
    let mut onnx = tract_onnx::onnx().with_ignore_value_info(true);
    register(&mut onnx.op_register);
    onnx
}

/// Adds the operators of this crate, in place of tract's of the same name.
pub fn register(operators: &mut OnnxOpRegister) {
    operators.insert("ArrayFeatureExtractor", array_feature_extractor::array_feature_extractor);
    operators.insert("Binarizer", binarizer::binarizer);
    operators.insert("Cast", cast::cast);
    operators.insert("CastLike", cast::cast_like);
    operators.insert("CategoryMapper", category_mapper::category_mapper);
    operators.insert("CDist", cdist::cdist);
    operators.insert("ConstantOfShape", constant_of_shape::constant_of_shape);
    operators.insert("Equal", equal::equal);
    operators.insert("FeatureVectorizer", feature_vectorizer::feature_vectorizer);
    operators.insert("FusedConv", fused::fused_conv);
    operators.insert("FusedGemm", fused::fused_gemm);
    operators.insert("FusedMatMul", fused::fused_mat_mul);
    operators.insert("GRU", recurrent::gru);
    operators.insert("Gather", indices::gather);
    operators.insert("GatherElements", indices::gather_elements);
    operators.insert("GatherND", indices::gather_nd);
    operators.insert("If", if_operator::if_operator);
    operators.insert("Imputer", imputer::imputer);
    operators.insert("LSTM", recurrent::lstm);
    operators.insert("LabelEncoder", label_encoder::label_encoder);
    operators.insert("LinearClassifier", linear_classifier::linear_classifier);
    operators.insert("LinearRegressor", linear_regressor::linear_regressor);
    operators.insert("Loop", loop_operator::loop_operator);
    operators.insert("Normalizer", normalizer::normalizer);
    operators.insert("OneHot", one_hot::one_hot);
    operators.insert("OneHotEncoder", one_hot_encoder::one_hot_encoder);
    operators.insert("RNN", recurrent::rnn);
    operators.insert("Scan", cdist::scan);
    operators.insert("Scaler", scaler::scaler);
    operators.insert("Slice", slice::slice);
    operators.insert("SVMClassifier", svm_classifier::svm_classifier);
    operators.insert("SVMRegressor", svm_regressor::svm_regressor);
    operators.insert("Scatter", indices::scatter_elements);
    operators.insert("ScatterElements", indices::scatter_elements);
    operators.insert("ScatterND", indices::scatter_nd);
    operators.insert("TreeEnsembleClassifier", tree_ensemble_classifier::tree_ensemble_classifier);
    operators.insert("TreeEnsembleRegressor", tree_ensemble_regressor::tree_ensemble_regressor);
}
