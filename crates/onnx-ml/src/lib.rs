//! ONNX models of classical machine learning (the `ai.onnx.ml` domain) for tract.
//!
//! [`onnx`] is tract's ONNX front end with the operators of this crate, which add to tract's and
//! replace those that answer wrongly; [`zip_map::lower`] and [`maps::lower`] take what tract has no
//! type for out of a model before it is parsed. It knows nothing of any service.
//!
//! An operator is a file: a [`kernel::Kernel`], a function that makes one of a node's attributes,
//! and a line in [`register`].

mod array_feature_extractor;
mod bag;
mod binarizer;
mod category_mapper;
mod cdist;
mod compress;
mod fast;
mod feature_vectorizer;
mod flatten;
mod imputer;
pub mod kernel;
mod label_encoder;
mod labels;
mod linear;
mod linear_classifier;
mod linear_regressor;
mod lookup;
mod mapping;
pub mod maps;
mod murmur_hash3;
mod ngrams;
mod normalizer;
mod one_hot_encoder;
mod pattern;
mod post_transform;
mod regex_full_match;
mod scaler;
mod simd;
mod string_cast;
mod string_concat;
mod string_normalizer;
mod string_split;
mod svm;
mod svm_classifier;
mod svm_regressor;
mod tf_idf_vectorizer;
mod tokenizer;
mod tree_attributes;
mod tree_ensemble;
mod tree_ensemble_classifier;
mod tree_ensemble_regressor;
pub mod trees;
mod unique;
mod vectors;
pub mod zip_map;

pub use fast::optimize;
use tract_onnx::Onnx;
use tract_onnx::model::OnnxOpRegister;

/// tract's ONNX front end, fit for models of classical machine learning.
pub fn onnx() -> Onnx {
    let mut onnx = tract_onnx::onnx();
    register(&mut onnx.op_register);
    onnx
}

/// Adds the operators of this crate, in place of tract's of the same name.
pub fn register(operators: &mut OnnxOpRegister) {
    operators.insert("ArrayFeatureExtractor", array_feature_extractor::array_feature_extractor);
    operators.insert("Binarizer", binarizer::binarizer);
    operators.insert("Cast", string_cast::string_cast);
    operators.insert("CategoryMapper", category_mapper::category_mapper);
    operators.insert("CDist", cdist::cdist);
    operators.insert("Compress", compress::compress);
    operators.insert("FeatureVectorizer", feature_vectorizer::feature_vectorizer);
    operators.insert("Flatten", flatten::flatten);
    operators.insert("Imputer", imputer::imputer);
    operators.insert("LabelEncoder", label_encoder::label_encoder);
    operators.insert("LinearClassifier", linear_classifier::linear_classifier);
    operators.insert("LinearRegressor", linear_regressor::linear_regressor);
    operators.insert("MurmurHash3", murmur_hash3::murmur_hash3);
    operators.insert("Normalizer", normalizer::normalizer);
    operators.insert("OneHotEncoder", one_hot_encoder::one_hot_encoder);
    operators.insert("RegexFullMatch", regex_full_match::regex_full_match);
    operators.insert("Scaler", scaler::scaler);
    operators.insert("Scan", cdist::scan);
    operators.insert("StringConcat", string_concat::string_concat);
    operators.insert("StringNormalizer", string_normalizer::string_normalizer);
    operators.insert("StringSplit", string_split::string_split);
    operators.insert("SVMClassifier", svm_classifier::svm_classifier);
    operators.insert("SVMRegressor", svm_regressor::svm_regressor);
    operators.insert("TfIdfVectorizer", tf_idf_vectorizer::tf_idf_vectorizer);
    operators.insert("Tokenizer", tokenizer::tokenizer);
    operators.insert("TreeEnsemble", tree_ensemble::tree_ensemble);
    operators.insert("TreeEnsembleClassifier", tree_ensemble_classifier::tree_ensemble_classifier);
    operators.insert("TreeEnsembleRegressor", tree_ensemble_regressor::tree_ensemble_regressor);
    operators.insert("Unique", unique::unique);
}
