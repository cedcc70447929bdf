//! ONNX models of classical machine learning (the `ai.onnx.ml` domain) for tract, and what tract
//! lacks of ONNX's main domain.
//!
//! [`onnx`] is tract's ONNX front end with the operators of this crate, which add to tract's and
//! replace those that answer wrongly; [`functions::inline`] takes a model's own functions,
//! [`zip_map::lower`] and [`maps::lower`] take what tract has no
//! type for out of a model before it is parsed, and [`label_outputs::lower`] the strings that cost
//! time. It knows nothing of any service.
//!
//! An operator is a file: a [`kernel::Kernel`], a function that makes one of a node's attributes,
//! and a line in [`register`].

mod affine_grid;
mod array_feature_extractor;
mod attention;
mod attention_weights;
mod bag;
mod batch_normalization;
mod binarizer;
mod bit_cast;
mod bit_shift;
mod cast;
pub mod categories;
mod category_mapper;
mod causal_conv_with_state;
mod cdist;
mod celu;
mod center_crop_pad;
mod col2im;
mod columns;
mod compress;
mod constant_of_shape;
mod conv_transpose;
mod cross_entropy;
mod cum_prod;
mod deform_conv;
mod det;
mod einsum;
mod element_wise;
mod equal;
mod expand;
mod fast;
mod feature_vectorizer;
mod flatten;
pub mod functions;
mod fused;
mod if_operator;
mod imputer;
mod indices;
pub mod kernel;
mod label_encoder;
pub mod label_outputs;
mod labels;
mod linear;
mod linear_attention;
mod linear_classifier;
mod linear_regressor;
mod log_softmax;
mod lookup;
mod loop_operator;
mod lp_pool;
mod mapping;
pub mod maps;
mod mat_mul;
mod max_unpool;
mod murmur_hash3;
mod ngrams;
mod normalizer;
mod one_hot;
mod one_hot_encoder;
mod pad;
mod pattern;
mod picked;
mod post_transform;
mod pow;
pub mod prepared;
mod q_linear_mat_mul;
mod quantize_linear;
mod recurrent;
mod reduce;
mod refused;
mod regex_full_match;
mod resize;
mod reverse_sequence;
mod roi_align;
pub mod row_wise;
mod scaler;
mod simd;
mod slice;
mod sliding;
mod softplus;
mod space_to_depth;
mod squeeze;
mod string_cast;
mod string_concat;
mod string_normalizer;
mod string_split;
mod subgraph;
mod svm;
mod svm_classifier;
mod svm_regressor;
mod swiglu;
mod tensor_scatter;
mod tf_idf_vectorizer;
mod tokenizer;
mod tracts;
mod tree_attributes;
mod tree_ensemble;
mod tree_ensemble_classifier;
mod tree_ensemble_regressor;
pub mod trees;
mod unique;
mod vectors;
mod windows;
pub mod zip_map;

pub use fast::optimize;
pub use refused::{Expected, RefusedValue, may_refuse};
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
    operators.insert("AffineGrid", affine_grid::affine_grid);
    operators.insert("ArrayFeatureExtractor", array_feature_extractor::array_feature_extractor);
    operators.insert("Attention", attention::attention);
    operators.insert("AveragePool", sliding::pool);
    operators.insert("BatchNormalization", batch_normalization::batch_normalization);
    operators.insert("Binarizer", binarizer::binarizer);
    operators.insert("BitCast", bit_cast::bit_cast);
    operators.insert("BitShift", bit_shift::bit_shift);
    operators.insert("Cast", cast::cast);
    operators.insert("CastLike", cast::cast_like);
    operators.insert("CategoryMapper", category_mapper::category_mapper);
    operators.insert("CausalConvWithState", causal_conv_with_state::causal_conv_with_state);
    operators.insert("CDist", cdist::cdist);
    operators.insert("Celu", celu::celu);
    operators.insert("CenterCropPad", center_crop_pad::center_crop_pad);
    operators.insert("Col2Im", col2im::col2im);
    operators.insert("Compress", compress::compress);
    operators.insert("ConstantOfShape", constant_of_shape::constant_of_shape);
    operators.insert("Conv", sliding::conv);
    operators.insert("ConvTranspose", conv_transpose::conv_transpose);
    operators.insert("CumProd", cum_prod::cum_prod);
    operators.insert("DeformConv", deform_conv::deform_conv);
    operators.insert("DequantizeLinear", quantize_linear::dequantize_linear);
    operators.insert("Det", det::det);
    operators.insert("Einsum", einsum::einsum);
    operators.insert("Equal", equal::equal);
    operators.insert("Expand", expand::expanded);
    operators.insert("FeatureVectorizer", feature_vectorizer::feature_vectorizer);
    operators.insert("Flatten", flatten::flatten);
    operators.insert("FusedConv", fused::fused_conv);
    operators.insert("FusedGemm", fused::fused_gemm);
    operators.insert("FusedMatMul", fused::fused_mat_mul);
    operators.insert("Gather", indices::gather);
    operators.insert("GatherElements", indices::gather_elements);
    operators.insert("GatherND", indices::gather_nd);
    operators.insert("GlobalLpPool", lp_pool::global_lp_pool);
    operators.insert("GRU", recurrent::gru);
    operators.insert("HardSwish", element_wise::element_wise);
    operators.insert("If", if_operator::if_operator);
    operators.insert("Imputer", imputer::imputer);
    operators.insert("LabelEncoder", label_encoder::label_encoder);
    operators.insert("LeakyRelu", element_wise::element_wise);
    operators.insert("LinearAttention", linear_attention::linear_attention);
    operators.insert("LinearClassifier", linear_classifier::linear_classifier);
    operators.insert("LinearRegressor", linear_regressor::linear_regressor);
    operators.insert("LogSoftmax", log_softmax::log_softmax);
    operators.insert("Loop", loop_operator::loop_operator);
    operators.insert("LpPool", lp_pool::lp_pool);
    operators.insert("LSTM", recurrent::lstm);
    operators.insert("MatMul", mat_mul::mat_mul);
    operators.insert("MaxPool", sliding::pool);
    operators.insert("MaxUnpool", max_unpool::max_unpool);
    operators.insert("MurmurHash3", murmur_hash3::murmur_hash3);
    operators.insert("NegativeLogLikelihoodLoss", cross_entropy::negative_log_likelihood_loss);
    operators.insert("Normalizer", normalizer::normalizer);
    operators.insert("OneHot", one_hot::one_hot);
    operators.insert("OneHotEncoder", one_hot_encoder::one_hot_encoder);
    operators.insert("Pad", pad::pad);
    operators.insert("Pow", pow::pow);
    operators.insert("QLinearMatMul", q_linear_mat_mul::q_linear_mat_mul);
    operators.insert("QuantizeLinear", quantize_linear::quantize_linear);
    operators.insert("ReduceLogSumExp", reduce::reduce_log_sum_exp);
    operators.insert("ReduceMax", reduce::reduce_extreme);
    operators.insert("ReduceMin", reduce::reduce_extreme);
    operators.insert("RegexFullMatch", regex_full_match::regex_full_match);
    operators.insert("Resize", resize::resize);
    operators.insert("ReverseSequence", reverse_sequence::reverse_sequence);
    operators.insert("RNN", recurrent::rnn);
    operators.insert("RoiAlign", roi_align::roi_align);
    operators.insert("Scaler", scaler::scaler);
    operators.insert("Scan", cdist::scan);
    operators.insert("Scatter", indices::scatter_elements);
    operators.insert("ScatterElements", indices::scatter_elements);
    operators.insert("ScatterND", indices::scatter_nd);
    operators.insert("Sigmoid", element_wise::element_wise);
    operators.insert("Slice", slice::slice);
    operators.insert("SoftmaxCrossEntropyLoss", cross_entropy::softmax_cross_entropy_loss);
    operators.insert("Softplus", softplus::softplus);
    operators.insert("SpaceToDepth", space_to_depth::space_to_depth);
    operators.insert("Squeeze", squeeze::squeeze);
    operators.insert("StringConcat", string_concat::string_concat);
    operators.insert("StringNormalizer", string_normalizer::string_normalizer);
    operators.insert("StringSplit", string_split::string_split);
    operators.insert("SVMClassifier", svm_classifier::svm_classifier);
    operators.insert("SVMRegressor", svm_regressor::svm_regressor);
    operators.insert("SwiGLU", swiglu::swiglu);
    operators.insert("TensorScatter", tensor_scatter::tensor_scatter);
    operators.insert("TfIdfVectorizer", tf_idf_vectorizer::tf_idf_vectorizer);
    operators.insert("Tile", expand::expanded);
    operators.insert("Tokenizer", tokenizer::tokenizer);
    operators.insert("TreeEnsemble", tree_ensemble::tree_ensemble);
    operators.insert("TreeEnsembleClassifier", tree_ensemble_classifier::tree_ensemble_classifier);
    operators.insert("TreeEnsembleRegressor", tree_ensemble_regressor::tree_ensemble_regressor);
    operators.insert("Unique", unique::unique);
    operators.insert("Upsample", resize::upsample);
}
