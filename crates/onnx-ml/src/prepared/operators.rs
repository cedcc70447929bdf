//! The operators that have a form as bytes: this crate's, and what tract leaves of its own in
//! optimised models of classical machine learning and in networks.

use super::fields::{datum_type, optional_datum_type, pool_spec, resize, shared_tensor, sizes};
use crate::array_feature_extractor::ArrayFeatureExtractor;
use crate::binarizer::Binarizer;
use crate::cast::Truncate;
use crate::category_mapper::CategoryMapper;
use crate::cdist::CDist;
use crate::columns::OfColumns;
use crate::expand::Own;
use crate::fast::chain::Chain;
use crate::fast::conv::Conv;
use crate::fast::deconv::Interleaved;
use crate::fast::dense::Dense;
use crate::fast::mat_mul::MatMul;
use crate::feature_vectorizer::FeatureVectorizer;
use crate::imputer::Imputer;
use crate::indices::Positions;
use crate::kernel;
use crate::label_encoder::LabelEncoder;
use crate::linear_classifier::LinearClassifier;
use crate::linear_regressor::LinearRegressor;
use crate::normalizer::Normalizer;
use crate::one_hot_encoder::OneHotEncoder;
use crate::recurrent::{Gru, Lstm, Recurrent, Rnn};
use crate::scaler::Scaler;
use crate::string_normalizer::StringNormalizer;
use crate::svm_classifier::SvmClassifier;
use crate::svm_regressor::SvmRegressor;
use crate::tf_idf_vectorizer::{Classifier, Product, TfIdfVectorizer};
use crate::tree_ensemble::TreeEnsemble;
use crate::tree_ensemble_classifier::TreeEnsembleClassifier;
use crate::tree_ensemble_regressor::TreeEnsembleRegressor;
use serde::{Deserialize, Serialize};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::axes::AxesMapping;
use tract_onnx::tract_core::ops::array::{Gather, MultiBroadcastTo, Slice, Topk, TypedConcat};
use tract_onnx::tract_core::ops::binary::{BinMiniOp, OptBinByScalar, OptBinUnicast, TypedBinOp};
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::change_axes::{InOut, IntoShape};
use tract_onnx::tract_core::ops::cnn::{MaxPool, OptMaxPool, OptSumPool, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::logic::{self, Iff};
use tract_onnx::tract_core::ops::nn::resize::{NearestUpsample, Resize};
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer, RmsNorm, Softmax, SoftmaxKind};
use tract_onnx::tract_core::ops::{math, nn};
use tract_onnx::tract_hir::internal::*;

macro_rules! kernels {
    ($($variant:ident($kernel:ty)),+ $(,)?) => {
        /// A kernel of this crate.
        #[derive(Debug, Deserialize, Serialize)]
        pub enum Kernel { $($variant(Arc<$kernel>),)+ }

        impl Kernel {
            /// The kernel of an operator, and which of its outputs there are.
            fn of(op: &dyn TypedOp) -> Option<(Kernel, &[usize])> {
                $(if let Some((kernel, outputs)) = kernel::parts::<$kernel>(op) {
                    return Some((Kernel::$variant(kernel), outputs));
                })+
                None
            }

            fn op(self, outputs: &[usize]) -> Box<dyn TypedOp> {
                match self { $(Kernel::$variant(kernel) => kernel::whole(kernel, outputs),)+ }
            }
        }
    };
}

kernels! {
    ArrayFeatureExtractor(ArrayFeatureExtractor),
    Binarizer(Binarizer),
    BagClassifier(Classifier),
    BagProduct(Product),
    CDist(CDist),
    CategoryMapper(CategoryMapper),
    Chain(Chain),
    Conv(Conv),
    Dense(Dense),
    FeatureVectorizer(FeatureVectorizer),
    Gru(Recurrent<Gru>),
    Imputer(Imputer),
    Interleaved(Interleaved),
    LabelEncoder(LabelEncoder),
    LabelEncoderOfColumns(OfColumns<LabelEncoder>),
    LinearClassifier(LinearClassifier),
    LinearRegressor(LinearRegressor),
    Lstm(Recurrent<Lstm>),
    MatMul(MatMul),
    Normalizer(Normalizer),
    OneHotEncoder(OneHotEncoder),
    OneHotEncoderOfColumns(OfColumns<OneHotEncoder>),
    Own(Own),
    Positions(Positions),
    Rnn(Recurrent<Rnn>),
    Scaler(Scaler),
    StringNormalizer(StringNormalizer),
    SvmClassifier(SvmClassifier),
    SvmRegressor(SvmRegressor),
    TfIdfVectorizer(TfIdfVectorizer),
    TreeEnsembleDouble(TreeEnsemble<f64>),
    TreeEnsembleSingle(TreeEnsemble<f32>),
    TreeEnsembleClassifier(TreeEnsembleClassifier),
    TreeEnsembleRegressor(TreeEnsembleRegressor),
    Truncate(Truncate),
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Window(#[serde(with = "pool_spec")] PoolSpec);

#[derive(Debug, Deserialize, Serialize)]
pub struct Resized(#[serde(with = "resize")] Resize);

/// An operator's parameters.
#[derive(Debug, Deserialize, Serialize)]
pub enum Operator {
    Kernel(Kernel, Vec<usize>),
    Add(usize),
    Rm(usize),
    Move(usize, usize),
    /// Dimensions as `TDim` writes itself.
    Reshape(usize, Vec<String>, Vec<String>),
    /// A place in [`binary`], and the type of the output where it is not the inputs'.
    Binary(usize, #[serde(with = "optional_datum_type")] Option<DatumType>),
    Broadcast(Vec<String>),
    Cast(#[serde(with = "datum_type")] DatumType),
    Concat(usize),
    /// A place in [`element_wise`].
    ElementWise(usize),
    Gather(usize),
    Iff,
    /// Of so many axes, and those of the result.
    IntoShape(usize, #[serde(with = "sizes")] TVec<usize>),
    LeakyRelu(f32),
    MaxPool(Box<Window>),
    /// By so much along each axis.
    NearestUpsample(#[serde(with = "sizes")] TVec<usize>),
    Power(f32),
    /// A place in [`REDUCERS`].
    Reduce(#[serde(with = "sizes")] TVec<usize>, usize),
    Resize(Resized),
    /// An axis, and what is added to the mean of the squares.
    RmsNorm(usize, #[serde(with = "shared_tensor")] Arc<Tensor>),
    Slice(usize, String, String),
    Softmax(#[serde(with = "sizes")] TVec<usize>, bool),
    /// Whether padding counts, and whether the sum is divided by what counts.
    SumPool(Box<Window>, bool, bool),
    TopK(usize, bool, String),
}

impl Operator {
    /// `None` for those that have no form.
    pub fn of(op: &dyn TypedOp) -> Option<Operator> {
        if let Some((kernel, outputs)) = Kernel::of(op) {
            return Some(Operator::Kernel(kernel, outputs.to_vec()));
        }
        if let Some(op) = op.downcast_ref::<AxisOp>() {
            return Some(match op {
                AxisOp::Add(axis) => Operator::Add(*axis),
                AxisOp::Rm(axis) => Operator::Rm(*axis),
                AxisOp::Move(from, to) => Operator::Move(*from, *to),
                AxisOp::Reshape(axis, from, to) => Operator::Reshape(*axis, texts(from), texts(to)),
            });
        }
        if let Some(op) = op.downcast_ref::<TypedBinOp>() {
            return Some(Operator::Binary(binary().iter().position(|it| *it == op.0)?, op.1));
        }
        if let Some(op) = op.downcast_ref::<MultiBroadcastTo>() {
            return Some(Operator::Broadcast(texts(op.shape.iter())));
        }
        if let Some(op) = op.downcast_ref::<Cast>() {
            return Some(Operator::Cast(op.to));
        }
        if let Some(op) = op.downcast_ref::<TypedConcat>() {
            return Some(Operator::Concat(op.axis));
        }
        if let Some(op) = op.downcast_ref::<ElementWiseOp>() {
            if let (Some(power), None) = (op.0.downcast_ref::<math::PowConst>(), op.1) {
                return Some(Operator::Power(power.exponent));
            }
            if let (Some(leaky), None) = (op.0.downcast_ref::<nn::LeakyRelu>(), op.1) {
                return Some(Operator::LeakyRelu(leaky.alpha));
            }
            return Some(Operator::ElementWise(element_wise().iter().position(|it| it == op)?));
        }
        if let Some(op) = op.downcast_ref::<Gather>() {
            return op.output_type.is_none().then_some(Operator::Gather(op.axis));
        }
        if op.is::<Iff>() {
            return Some(Operator::Iff);
        }
        if let Some(op) = op.downcast_ref::<IntoShape>() {
            let plain = *op.strides == *Tensor::natural_strides(&op.dims);
            let rank = op.mapping.rank(InOut::In(0));
            return plain.then(|| Operator::IntoShape(rank, op.dims.clone()));
        }
        if let Some(op) = op.downcast_ref::<MaxPool>() {
            let plain = op.with_index_outputs.is_none();
            return plain.then(|| Operator::MaxPool(Box::new(Window(op.pool_spec.clone()))));
        }
        if let Some(op) = op.downcast_ref::<OptMaxPool>() {
            let plain = op.with_index_outputs.is_none();
            return plain.then(|| Operator::MaxPool(Box::new(Window(op.pool_spec.clone()))));
        }
        if let Some(op) = op.downcast_ref::<Reduce>() {
            let reducer = REDUCERS.iter().position(|reducer| *reducer == op.reducer)?;
            return Some(Operator::Reduce(op.axes.clone(), reducer));
        }
        if let Some(op) = op.downcast_ref::<NearestUpsample>() {
            return Some(Operator::NearestUpsample(op.scales.clone()));
        }
        if let Some(op) = op.downcast_ref::<Resize>() {
            return Some(Operator::Resize(Resized(op.clone())));
        }
        if let Some(op) = op.downcast_ref::<RmsNorm>() {
            return Some(Operator::RmsNorm(op.axis, op.eps.clone()));
        }
        if let Some(op) = op.downcast_ref::<Slice>() {
            return Some(Operator::Slice(op.axis, op.start.to_string(), op.end.to_string()));
        }
        if let Some(op) = op.downcast_ref::<Softmax>() {
            let logarithmic = op.kind == SoftmaxKind::LogSoftmax;
            let plain = op.quant_output_dt.is_none();
            return plain.then(|| Operator::Softmax(op.axes.clone(), logarithmic));
        }
        if let Some(op) = op.downcast_ref::<SumPool>() {
            let window = Box::new(Window(op.pool_spec.clone()));
            return Some(Operator::SumPool(window, op.count_include_pad, op.normalize));
        }
        if let Some(op) = op.downcast_ref::<OptSumPool>() {
            let window = Box::new(Window(op.pool_spec.clone()));
            return Some(Operator::SumPool(window, op.count_include_pad, op.normalize));
        }
        if let Some(op) = op.downcast_ref::<Topk>() {
            return Some(Operator::TopK(op.axis, op.largest, op.fallback_k.to_string()));
        }
        None
    }

    /// The operator in whose place tract puts `op` in optimised models, where it is slower than ours.
    pub fn unoptimised(op: &dyn TypedOp) -> Option<Operator> {
        let by_scalar = op.downcast_ref::<OptBinByScalar>().map(|op| &op.binop);
        let binop = by_scalar.or(op.downcast_ref::<OptBinUnicast>().map(|op| &op.binop))?;
        Some(Operator::Binary(binary().iter().position(|it| it == binop)?, None))
    }

    /// # Errors
    ///
    /// Where it is not by [`Operator::of`] of the same build.
    pub fn op(self, symbols: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        let dims = |texts: Vec<String>| -> TractResult<TVec<TDim>> {
            texts.iter().map(|text| symbols.parse_tdim(text)).collect()
        };
        Ok(match self {
            Operator::Kernel(kernel, outputs) => kernel.op(&outputs),
            Operator::Add(axis) => Box::new(AxisOp::Add(axis)),
            Operator::Rm(axis) => Box::new(AxisOp::Rm(axis)),
            Operator::Move(from, to) => Box::new(AxisOp::Move(from, to)),
            Operator::Reshape(axis, from, to) => {
                Box::new(AxisOp::Reshape(axis, dims(from)?, dims(to)?))
            }
            Operator::Binary(place, output) => Box::new(TypedBinOp(at(binary(), place)?, output)),
            Operator::Broadcast(shape) => {
                Box::new(MultiBroadcastTo { shape: dims(shape)?.into_iter().collect() })
            }
            Operator::Cast(to) => Box::new(Cast { to }),
            Operator::Concat(axis) => Box::new(TypedConcat { axis }),
            Operator::ElementWise(place) => Box::new(at(element_wise(), place)?),
            Operator::Gather(axis) => Box::new(Gather { axis, output_type: None }),
            Operator::Iff => Box::new(Iff),
            Operator::IntoShape(rank, dims) => Box::new(IntoShape {
                mapping: AxesMapping::disconnected_for_ranks(&[rank], &[dims.len()])?,
                len: dims.iter().product(),
                strides: Tensor::natural_strides(&dims),
                dims,
            }),
            Operator::MaxPool(window) => {
                Box::new(MaxPool { pool_spec: window.0, with_index_outputs: None })
            }
            Operator::LeakyRelu(alpha) => Box::new(nn::leaky_relu(alpha)),
            Operator::NearestUpsample(scales) => Box::new(NearestUpsample { scales }),
            Operator::Power(exponent) => Box::new(math::pow_const(exponent)),
            Operator::Reduce(axes, place) => {
                Box::new(Reduce { axes, reducer: at(REDUCERS, place)? })
            }
            Operator::Resize(Resized(resize)) => Box::new(resize),
            Operator::RmsNorm(axis, eps) => Box::new(RmsNorm { axis, eps }),
            Operator::Slice(axis, start, end) => {
                let (start, end) = (symbols.parse_tdim(start)?, symbols.parse_tdim(end)?);
                Box::new(Slice { axis, start, end })
            }
            Operator::Softmax(axes, logarithmic) => {
                let kind = if logarithmic { SoftmaxKind::LogSoftmax } else { SoftmaxKind::Softmax };
                Box::new(Softmax { axes, quant_output_dt: None, kind })
            }
            Operator::SumPool(window, count_include_pad, normalize) => {
                Box::new(SumPool { pool_spec: window.0, count_include_pad, normalize })
            }
            Operator::TopK(axis, largest, k) => {
                Box::new(Topk { axis, largest, fallback_k: symbols.parse_tdim(k)? })
            }
        })
    }
}

fn texts<'a>(dims: impl IntoIterator<Item = &'a TDim>) -> Vec<String> {
    dims.into_iter().map(TDim::to_string).collect()
}

fn at<T>(all: impl IntoIterator<Item = T>, place: usize) -> TractResult<T> {
    all.into_iter().nth(place).context("expected the place of an operator")
}

const REDUCERS: [Reducer; 11] = [
    Reducer::ArgMax(false),
    Reducer::ArgMax(true),
    Reducer::ArgMin(false),
    Reducer::ArgMin(true),
    Reducer::Max,
    Reducer::Min,
    Reducer::Prod,
    Reducer::Sum,
    Reducer::MeanOfSquares,
    Reducer::All,
    Reducer::Any,
];

fn binary() -> [Box<dyn BinMiniOp>; 16] {
    [
        Box::new(math::Add),
        Box::new(math::Sub),
        Box::new(math::Mul),
        Box::new(math::Div),
        Box::new(math::Rem),
        Box::new(math::Pow),
        Box::new(math::Min),
        Box::new(math::Max),
        Box::new(logic::And),
        Box::new(logic::Or),
        logic::comp_eq(),
        logic::comp_ne(),
        logic::comp_lt(),
        logic::comp_gt(),
        logic::comp_lte(),
        logic::comp_gte(),
    ]
}

fn element_wise() -> [ElementWiseOp; 20] {
    [
        math::abs(),
        math::neg(),
        math::sign(),
        math::exp(),
        math::ln(),
        math::square(),
        math::sqrt(),
        math::rsqrt(),
        math::recip(),
        math::ceil(),
        math::floor(),
        math::round(),
        math::round_half_to_even(),
        math::tanh(),
        math::erf(),
        nn::sigmoid(),
        nn::silu::silu(),
        nn::gelu_exact::gelu_exact(),
        nn::hard_swish(),
        logic::not(),
    ]
}
