//! The operators that can be serialized: this crate's, and those of tract that remain in optimized
//! models of classical machine learning and in networks.
//!
//! Each operator is a constant of type [`SerializedOperator`]. Its reader refers to that operator
//! only, so that a program links the code of the operators that it names, and of all fast paths if
//! it names a reader that wraps one.

use super::parameters::Parameters;
use super::tract_operators::{
    AxisOpParameters, BroadcastParameters, CastParameters, ConcatParameters, GatherParameters,
    IffParameters, LeakyReluParameters, MaxPoolParameters, NearestUpsampleParameters,
    PowConstParameters, ReduceParameters, ReshapeParameters, ResizeParameters, RmsNormParameters,
    SliceParameters, SoftmaxParameters, SumPoolParameters, TopKParameters, binary, element_wise,
};
use crate::operator::kernel::{self, Kernel};
use crate::ops::ml::array_feature_extractor::ArrayFeatureExtractor;
use crate::ops::ml::binarizer::Binarizer;
use crate::ops::ml::category_mapper::CategoryMapper;
use crate::ops::ml::cdist::CDist;
use crate::ops::ml::columns::OnSelectedColumns;
use crate::ops::ml::feature_vectorizer::FeatureVectorizer;
use crate::ops::ml::imputer::Imputer;
use crate::ops::ml::label_encoder::LabelEncoder;
use crate::ops::ml::linear_classifier::LinearClassifier;
use crate::ops::ml::linear_regressor::LinearRegressor;
use crate::ops::ml::normalizer::Normalizer;
use crate::ops::ml::one_hot_encoder::OneHotEncoder;
use crate::ops::ml::scaler::Scaler;
use crate::ops::ml::svm_classifier::SvmClassifier;
use crate::ops::ml::svm_regressor::SvmRegressor;
use crate::ops::ml::tree_ensemble::TreeEnsemble;
use crate::ops::ml::tree_ensemble_classifier::TreeEnsembleClassifier;
use crate::ops::ml::tree_ensemble_regressor::TreeEnsembleRegressor;
use crate::ops::recurrent::gru::Gru;
use crate::ops::recurrent::layer::Recurrent;
use crate::ops::recurrent::lstm::Lstm;
use crate::ops::recurrent::rnn::Rnn;
use crate::ops::tensor::cast::Truncate;
use crate::ops::tensor::expand::Materialize;
use crate::ops::tensor::gather_scatter::Positions;
use crate::ops::text::string_cast::StringCast;
use crate::ops::text::string_normalizer::StringNormalizer;
use crate::ops::text::tf_idf_vectorizer::{Classifier, Product, TfIdfVectorizer};
use crate::passes::chain::Chain;
use crate::passes::conv::Conv;
use crate::passes::deconv::Interleaved;
use crate::passes::dense::Dense;
use crate::passes::fast;
use crate::passes::mat_mul::MatMul;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tract_onnx::prelude::*;

/// Reader and writer of an operator.
#[derive(Debug, Clone, Copy)]
pub struct SerializedOperator {
    pub read: Reader,
    /// Reader that wraps the operator in its fast path.
    pub fast: Reader,
    write: fn(&dyn TypedOp) -> Option<postcard::Result<Vec<u8>>>,
}

/// Function that creates an operator from its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    /// Path of the constant and field in this module, such as `REDUCE.fast`.
    pub name: &'static str,
    pub(super) read: Read,
}

type Read = fn(&[u8], &SymbolScope) -> TractResult<Box<dyn TypedOp>>;

/// Returns an operator's serialization and its bytes, or `None` if it is not serializable.
pub(super) fn of(op: &dyn TypedOp) -> Option<(SerializedOperator, postcard::Result<Vec<u8>>)> {
    ALL.iter().find_map(|operator| Some((*operator, (operator.write)(op)?)))
}

macro_rules! serialized_operators {
    ($($constant:ident: $parameters:ty),+ $(,)?) => {
        $(pub const $constant: SerializedOperator = SerializedOperator {
            read: Reader {
                name: concat!(stringify!($constant), ".read"),
                read: read::<$parameters>,
            },
            fast: Reader {
                name: concat!(stringify!($constant), ".fast"),
                read: read_fast::<$parameters>,
            },
            write: write::<$parameters>,
        };)+

        static ALL: &[SerializedOperator] = &[$($constant),+];
    };
}

serialized_operators! {
    ARRAY_FEATURE_EXTRACTOR: KernelParameters<ArrayFeatureExtractor>,
    BINARIZER: KernelParameters<Binarizer>,
    BAG_CLASSIFIER: KernelParameters<Classifier>,
    BAG_PRODUCT: KernelParameters<Product>,
    C_DIST: KernelParameters<CDist>,
    CATEGORY_MAPPER: KernelParameters<CategoryMapper>,
    CHAIN: KernelParameters<Chain>,
    CONV: KernelParameters<Conv>,
    DENSE: KernelParameters<Dense>,
    FEATURE_VECTORIZER: KernelParameters<FeatureVectorizer>,
    GRU: KernelParameters<Recurrent<Gru>>,
    IMPUTER: KernelParameters<Imputer>,
    INTERLEAVED: KernelParameters<Interleaved>,
    LABEL_ENCODER: KernelParameters<LabelEncoder>,
    LABEL_ENCODER_OF_COLUMNS: KernelParameters<OnSelectedColumns<LabelEncoder>>,
    LINEAR_CLASSIFIER: KernelParameters<LinearClassifier>,
    LINEAR_REGRESSOR: KernelParameters<LinearRegressor>,
    LSTM: KernelParameters<Recurrent<Lstm>>,
    MAT_MUL: KernelParameters<MatMul>,
    NORMALIZER: KernelParameters<Normalizer>,
    ONE_HOT_ENCODER: KernelParameters<OneHotEncoder>,
    ONE_HOT_ENCODER_OF_COLUMNS: KernelParameters<OnSelectedColumns<OneHotEncoder>>,
    MATERIALIZE: KernelParameters<Materialize>,
    POSITIONS: KernelParameters<Positions>,
    RNN: KernelParameters<Recurrent<Rnn>>,
    SCALER: KernelParameters<Scaler>,
    STRING_CAST: KernelParameters<StringCast>,
    STRING_NORMALIZER: KernelParameters<StringNormalizer>,
    SVM_CLASSIFIER: KernelParameters<SvmClassifier>,
    SVM_REGRESSOR: KernelParameters<SvmRegressor>,
    TF_IDF_VECTORIZER: KernelParameters<TfIdfVectorizer>,
    TREE_ENSEMBLE_DOUBLE: KernelParameters<TreeEnsemble<f64>>,
    TREE_ENSEMBLE_SINGLE: KernelParameters<TreeEnsemble<f32>>,
    TREE_ENSEMBLE_CLASSIFIER: KernelParameters<TreeEnsembleClassifier>,
    TREE_ENSEMBLE_REGRESSOR: KernelParameters<TreeEnsembleRegressor>,
    TRUNCATE: KernelParameters<Truncate>,
    AXIS: AxisOpParameters,
    ADD: binary::Add,
    SUB: binary::Sub,
    MUL: binary::Mul,
    DIV: binary::Div,
    REM: binary::Rem,
    POW: binary::Pow,
    MIN: binary::Min,
    MAX: binary::Max,
    AND: binary::And,
    OR: binary::Or,
    EQUAL: binary::Equal,
    NOT_EQUAL: binary::NotEqual,
    LESS: binary::Less,
    GREATER: binary::Greater,
    LESS_OR_EQUAL: binary::LessOrEqual,
    GREATER_OR_EQUAL: binary::GreaterOrEqual,
    BROADCAST: BroadcastParameters,
    CAST: CastParameters,
    CONCAT: ConcatParameters,
    ABS: element_wise::Abs,
    NEG: element_wise::Neg,
    SIGN: element_wise::Sign,
    EXP: element_wise::Exp,
    LN: element_wise::Ln,
    SQUARE: element_wise::Square,
    SQRT: element_wise::Sqrt,
    RSQRT: element_wise::Rsqrt,
    RECIP: element_wise::Recip,
    CEIL: element_wise::Ceil,
    FLOOR: element_wise::Floor,
    ROUND: element_wise::Round,
    ROUND_HALF_TO_EVEN: element_wise::RoundHalfToEven,
    TANH: element_wise::Tanh,
    ERF: element_wise::Erf,
    SIGMOID: element_wise::Sigmoid,
    SILU: element_wise::Silu,
    GELU_EXACT: element_wise::GeluExact,
    HARD_SWISH: element_wise::HardSwish,
    NOT: element_wise::Not,
    GATHER: GatherParameters,
    IFF: IffParameters,
    INTO_SHAPE: ReshapeParameters,
    LEAKY_RELU: LeakyReluParameters,
    MAX_POOL: MaxPoolParameters,
    NEAREST_UPSAMPLE: NearestUpsampleParameters,
    POWER: PowConstParameters,
    REDUCE: ReduceParameters,
    RESIZE: ResizeParameters,
    RMS_NORM: RmsNormParameters,
    SLICE: SliceParameters,
    SOFTMAX: SoftmaxParameters,
    SUM_POOL: SumPoolParameters,
    TOP_K: TopKParameters,
}

fn write<P: Parameters>(op: &dyn TypedOp) -> Option<postcard::Result<Vec<u8>>> {
    P::of(op).map(|parameters| postcard::to_allocvec(&parameters))
}

fn read<P: Parameters>(bytes: &[u8], symbols: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
    postcard::from_bytes::<P>(bytes)?.op(symbols)
}

fn read_fast<P: Parameters>(bytes: &[u8], symbols: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
    Ok(fast::around(read::<P>(bytes, symbols)?))
}

/// A kernel of this crate, and the indices of its outputs that the node has.
#[derive(Deserialize, Serialize)]
struct KernelParameters<K>(Arc<K>, Vec<usize>);

impl<K: Kernel + DeserializeOwned + Serialize> Parameters for KernelParameters<K> {
    fn of(op: &dyn TypedOp) -> Option<KernelParameters<K>> {
        kernel::parts::<K>(op).map(|(kernel, outputs)| KernelParameters(kernel, outputs.to_vec()))
    }

    fn op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(kernel::from_parts(self.0, &self.1))
    }
}
