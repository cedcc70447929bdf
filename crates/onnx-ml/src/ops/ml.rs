//! The operators of the domain `ai.onnx.ml`, and the pairwise distances of exported
//! nearest-neighbor models.

pub(crate) mod array_feature_extractor;
pub(crate) mod binarizer;
pub(crate) mod category_mapper;
pub(crate) mod cdist;
pub(crate) mod columns;
pub(crate) mod feature_vectorizer;
pub(crate) mod imputer;
pub(crate) mod label_encoder;
mod labels;
mod linear;
pub(crate) mod linear_classifier;
pub(crate) mod linear_regressor;
mod lookup;
mod mapping;
pub(crate) mod normalizer;
pub(crate) mod one_hot_encoder;
pub(crate) mod post_transform;
pub(crate) mod scaler;
mod svm;
pub(crate) mod svm_classifier;
pub(crate) mod svm_regressor;
mod tree_attributes;
pub(crate) mod tree_ensemble;
pub(crate) mod tree_ensemble_classifier;
pub(crate) mod tree_ensemble_regressor;
mod vectors;

use tract_onnx::model::OnnxOpRegister;

/// Registers the operators of this group.
pub(super) fn register(operators: &mut OnnxOpRegister) {
    operators.insert("ArrayFeatureExtractor", array_feature_extractor::array_feature_extractor);
    operators.insert("Binarizer", binarizer::binarizer);
    operators.insert("CategoryMapper", category_mapper::category_mapper);
    operators.insert("CDist", cdist::cdist);
    operators.insert("FeatureVectorizer", feature_vectorizer::feature_vectorizer);
    operators.insert("Imputer", imputer::imputer);
    operators.insert("LabelEncoder", label_encoder::label_encoder);
    operators.insert("LinearClassifier", linear_classifier::linear_classifier);
    operators.insert("LinearRegressor", linear_regressor::linear_regressor);
    operators.insert("Normalizer", normalizer::normalizer);
    operators.insert("OneHotEncoder", one_hot_encoder::one_hot_encoder);
    operators.insert("Scaler", scaler::scaler);
    operators.insert("Scan", cdist::scan);
    operators.insert("SVMClassifier", svm_classifier::svm_classifier);
    operators.insert("SVMRegressor", svm_regressor::svm_regressor);
    operators.insert("TreeEnsemble", tree_ensemble::tree_ensemble);
    operators.insert("TreeEnsembleClassifier", tree_ensemble_classifier::tree_ensemble_classifier);
    operators.insert("TreeEnsembleRegressor", tree_ensemble_regressor::tree_ensemble_regressor);
}
