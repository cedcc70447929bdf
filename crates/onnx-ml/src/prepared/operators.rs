//! The operators that can be serialized: kernels of this crate, and operators of tract that remain
//! in optimized models.
//!
//! Each operator is a constant of type [`SerializedOperator`]. If a program refers to the field `read` of a constant,
//! the code of that operator is linked into the program. If a program refers to a field `fast`, the code of all fast
//! paths is linked too.

use super::parameters::Parameters;
use super::tract_operators::{
    AxisOpParameters, BroadcastParameters, CastParameters, ConcatParameters, GatherParameters,
    IffParameters, LeakyReluParameters, MaxPoolParameters, NearestUpsampleParameters,
    PowConstParameters, ReduceParameters, ReshapeParameters, ResizeParameters, RmsNormParameters,
    SliceParameters, SoftmaxParameters, SumPoolParameters, TopKParameters, binary, element_wise,
};
use crate::operator::adapter;
use crate::operator::kernel::Kernel;
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
use crate::ops::nn::doubles::Doubles;
use crate::ops::quantized::binary::QuantizedBinary;
use crate::ops::quantized::dynamic_quantize_linear::DynamicQuantizeLinear;
use crate::ops::quantized::integer_conv::IntegerConv;
use crate::ops::quantized::integer_mat_mul::IntegerMatMul;
use crate::ops::quantized::quantize_linear::{Dequantize, Quantize};
use crate::ops::quantized::softmax::QuantizedSoftmax;
use crate::ops::recurrent::gru::Gru;
use crate::ops::recurrent::layer::Recurrent;
use crate::ops::recurrent::lstm::Lstm;
use crate::ops::recurrent::rnn::Rnn;
use crate::ops::tensor::cast::Truncate;
use crate::ops::tensor::expand::Materialize;
use crate::ops::tensor::gather_scatter::Positions;
use crate::ops::tensor::narrow_cast::Round;
use crate::ops::text::string_cast::StringCast;
use crate::ops::text::string_normalizer::StringNormalizer;
use crate::ops::text::tf_idf_vectorizer::{BagClassifier, BagProduct, TfIdfVectorizer};
use crate::passes::chain::Chain;
use crate::passes::conv::Conv;
use crate::passes::deconv::Interleaved;
use crate::passes::dense::Dense;
use crate::passes::fast;
use crate::passes::mat_mul::MatMul;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tract_onnx::prelude::*;

/// Functions that read and write an operator.
#[derive(Debug, Clone, Copy)]
pub struct SerializedOperator {
    /// Reads the operator.
    pub read: Reader,
    /// Reads the operator and wraps it in its fast path.
    pub fast: Reader,
    /// Serializes the operator. Returns `None` if the argument is a different operator.
    write: fn(&dyn TypedOp) -> Option<postcard::Result<Vec<u8>>>,
}

/// A function that creates an operator from its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    /// Constant of this module and its field, such as `REDUCE.fast`. The build script writes this
    /// path into generated code.
    pub name: &'static str,
    pub(super) read: Read,
}

/// A function that reads an operator from its bytes. The second argument is the symbols of the model.
type Read = fn(&[u8], &SymbolScope) -> TractResult<Box<dyn TypedOp>>;

/// Serializes `op`. Returns the constant of the operator and the operator's bytes. Returns `None` if `op` is not
/// serializable.
pub(super) fn serialize(
    op: &dyn TypedOp,
) -> Option<(SerializedOperator, postcard::Result<Vec<u8>>)> {
    ALL.iter().find_map(|operator| Some((*operator, (operator.write)(op)?)))
}

/// Declares a constant for each operator, from the type that holds its parameters.
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
    BAG_CLASSIFIER: KernelParameters<BagClassifier>,
    BAG_PRODUCT: KernelParameters<BagProduct>,
    C_DIST: KernelParameters<CDist>,
    CATEGORY_MAPPER: KernelParameters<CategoryMapper>,
    CHAIN: KernelParameters<Chain>,
    CONV: KernelParameters<Conv>,
    DEQUANTIZE: KernelParameters<Dequantize>,
    DENSE: KernelParameters<Dense>,
    DOUBLES: KernelParameters<Doubles>,
    DYNAMIC_QUANTIZE: KernelParameters<DynamicQuantizeLinear>,
    FEATURE_VECTORIZER: KernelParameters<FeatureVectorizer>,
    GRU: KernelParameters<Recurrent<Gru>>,
    IMPUTER: KernelParameters<Imputer>,
    INTEGER_CONV: KernelParameters<IntegerConv>,
    INTEGER_MAT_MUL: KernelParameters<IntegerMatMul>,
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
    QUANTIZE: KernelParameters<Quantize>,
    QUANTIZED_BINARY: KernelParameters<QuantizedBinary>,
    QUANTIZED_SOFTMAX: KernelParameters<QuantizedSoftmax>,
    RNN: KernelParameters<Recurrent<Rnn>>,
    ROUND_TO_TYPE: KernelParameters<Round>,
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
    P::from_op(op).map(|parameters| postcard::to_allocvec(&parameters))
}

fn read<P: Parameters>(bytes: &[u8], symbols: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
    postcard::from_bytes::<P>(bytes)?.into_op(symbols)
}

fn read_fast<P: Parameters>(bytes: &[u8], symbols: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
    Ok(fast::with_fast_path(read::<P>(bytes, symbols)?))
}

/// Parameters of a kernel of this crate: the kernel, and the indices of the kernel's outputs that
/// the node has.
#[derive(Deserialize, Serialize)]
struct KernelParameters<K>(Arc<K>, Vec<usize>);

impl<K: Kernel + DeserializeOwned + Serialize> Parameters for KernelParameters<K> {
    fn from_op(op: &dyn TypedOp) -> Option<KernelParameters<K>> {
        adapter::parts::<K>(op).map(|(kernel, outputs)| KernelParameters(kernel, outputs.to_vec()))
    }

    fn into_op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(adapter::from_parts(self.0, &self.1))
    }
}
