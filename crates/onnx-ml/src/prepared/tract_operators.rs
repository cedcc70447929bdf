//! Serialization of tract's own operators that remain in optimized models. For each operator there
//! is a type with its parameters.

use super::parameters::Parameters;
use crate::encoding::fields::{
    datum_type, optional_datum_type, pool_spec, resize, shared_tensor, sizes,
};
use serde::{Deserialize, Serialize};
use tract_onnx::tract_core::axes::AxesMapping;
use tract_onnx::tract_core::ops::array::{Gather, MultiBroadcastTo, Slice, Topk, TypedConcat};
use tract_onnx::tract_core::ops::binary::{BinMiniOp, OptBinByScalar, OptBinUnicast, TypedBinOp};
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::change_axes::{InOut, IntoShape};
use tract_onnx::tract_core::ops::cnn::{MaxPool, OptMaxPool, OptSumPool, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::element_wise::{ElementWiseMiniOp, ElementWiseOp};
use tract_onnx::tract_core::ops::logic::{self, Iff};
use tract_onnx::tract_core::ops::nn::resize::{NearestUpsample, Resize};
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer, RmsNorm, Softmax, SoftmaxKind};
use tract_onnx::tract_core::ops::{math, nn};
use tract_onnx::tract_hir::internal::*;

/// Parameters of `AxisOp`, which adds, removes, moves or reshapes axes.
#[derive(Deserialize, Serialize)]
pub enum AxisOpParameters {
    Add(usize),
    Rm(usize),
    Move(usize, usize),
    /// First axis, and the dimensions before and after, formatted as strings.
    Reshape(usize, Vec<String>, Vec<String>),
}

impl Parameters for AxisOpParameters {
    fn from_op(op: &dyn TypedOp) -> Option<AxisOpParameters> {
        Some(match op.downcast_ref::<AxisOp>()? {
            AxisOp::Add(axis) => AxisOpParameters::Add(*axis),
            AxisOp::Rm(axis) => AxisOpParameters::Rm(*axis),
            AxisOp::Move(from, to) => AxisOpParameters::Move(*from, *to),
            AxisOp::Reshape(axis, from, to) => {
                AxisOpParameters::Reshape(*axis, to_strings(from), to_strings(to))
            }
        })
    }

    fn into_op(self, symbols: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(Box::new(match self {
            AxisOpParameters::Add(axis) => AxisOp::Add(axis),
            AxisOpParameters::Rm(axis) => AxisOp::Rm(axis),
            AxisOpParameters::Move(from, to) => AxisOp::Move(from, to),
            AxisOpParameters::Reshape(axis, from, to) => {
                AxisOp::Reshape(axis, dims(&from, symbols)?, dims(&to, symbols)?)
            }
        }))
    }
}

/// Element-wise operators of two inputs. The parameter is the output type, if it differs from the
/// type of the inputs.
pub mod binary {
    use super::*;

    macro_rules! binary {
        ($($name:ident = $op:expr),+ $(,)?) => {$(
            #[derive(Deserialize, Serialize)]
            pub struct $name(#[serde(with = "optional_datum_type")] Option<DatumType>);

            impl Parameters for $name {
                fn from_op(op: &dyn TypedOp) -> Option<$name> {
                    let op = op.downcast_ref::<TypedBinOp>()?;
                    let binop: Box<dyn BinMiniOp> = $op;
                    (op.0 == binop).then_some($name(op.1))
                }

                fn into_op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
                    Ok(Box::new(TypedBinOp($op, self.0)))
                }
            }
        )+};
    }

    binary! {
        Add = Box::new(math::Add),
        Sub = Box::new(math::Sub),
        Mul = Box::new(math::Mul),
        Div = Box::new(math::Div),
        Rem = Box::new(math::Rem),
        Pow = Box::new(math::Pow),
        Min = Box::new(math::Min),
        Max = Box::new(math::Max),
        And = Box::new(logic::And),
        Or = Box::new(logic::Or),
        Equal = logic::comp_eq(),
        NotEqual = logic::comp_ne(),
        Less = logic::comp_lt(),
        Greater = logic::comp_gt(),
        LessOrEqual = logic::comp_lte(),
        GreaterOrEqual = logic::comp_gte(),
    }
}

/// Element-wise operators of one input that have no parameters.
pub mod element_wise {
    use super::*;

    macro_rules! element_wise {
        ($($name:ident = $op:expr),+ $(,)?) => {$(
            #[derive(Deserialize, Serialize)]
            pub struct $name;

            impl Parameters for $name {
                fn from_op(op: &dyn TypedOp) -> Option<$name> {
                    (*op.downcast_ref::<ElementWiseOp>()? == $op).then_some($name)
                }

                fn into_op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
                    Ok(Box::new($op))
                }
            }
        )+};
    }

    element_wise! {
        Abs = math::abs(),
        Neg = math::neg(),
        Sign = math::sign(),
        Exp = math::exp(),
        Ln = math::ln(),
        Square = math::square(),
        Sqrt = math::sqrt(),
        Rsqrt = math::rsqrt(),
        Recip = math::recip(),
        Ceil = math::ceil(),
        Floor = math::floor(),
        Round = math::round(),
        RoundHalfToEven = math::round_half_to_even(),
        Tanh = math::tanh(),
        Erf = math::erf(),
        Sigmoid = nn::sigmoid(),
        Silu = nn::silu::silu(),
        GeluExact = nn::gelu_exact::gelu_exact(),
        HardSwish = nn::hard_swish(),
        Not = logic::not(),
    }
}

/// Returns the element-wise operator `O`, which contains the parameters, or `None` if `op` is a
/// different operator.
fn element_wise_parameters<O: ElementWiseMiniOp>(op: &dyn TypedOp) -> Option<&O> {
    let op = op.downcast_ref::<ElementWiseOp>()?;
    op.1.is_none().then(|| op.0.downcast_ref())?
}

/// Parameter of `MultiBroadcastTo`: the shape of the output, formatted as strings.
#[derive(Deserialize, Serialize)]
pub struct BroadcastParameters(Vec<String>);

impl Parameters for BroadcastParameters {
    fn from_op(op: &dyn TypedOp) -> Option<BroadcastParameters> {
        let op = op.downcast_ref::<MultiBroadcastTo>()?;
        Some(BroadcastParameters(to_strings(op.shape.iter())))
    }

    fn into_op(self, symbols: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(Box::new(MultiBroadcastTo { shape: dims(&self.0, symbols)?.into_iter().collect() }))
    }
}

/// Parameter of `Cast`: the type of the output.
#[derive(Deserialize, Serialize)]
pub struct CastParameters(#[serde(with = "datum_type")] DatumType);

impl Parameters for CastParameters {
    fn from_op(op: &dyn TypedOp) -> Option<CastParameters> {
        Some(CastParameters(op.downcast_ref::<Cast>()?.to))
    }

    fn into_op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(Box::new(Cast { to: self.0 }))
    }
}

/// Parameter of `TypedConcat`: the axis of the concatenation.
#[derive(Deserialize, Serialize)]
pub struct ConcatParameters(usize);

impl Parameters for ConcatParameters {
    fn from_op(op: &dyn TypedOp) -> Option<ConcatParameters> {
        Some(ConcatParameters(op.downcast_ref::<TypedConcat>()?.axis))
    }

    fn into_op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(Box::new(TypedConcat { axis: self.0 }))
    }
}

/// Parameter of `Gather`: the axis of the data along which the indices select. A `Gather` with an explicit output type
/// is not serializable.
#[derive(Deserialize, Serialize)]
pub struct GatherParameters(usize);

impl Parameters for GatherParameters {
    fn from_op(op: &dyn TypedOp) -> Option<GatherParameters> {
        let op = op.downcast_ref::<Gather>()?;
        op.output_type.is_none().then_some(GatherParameters(op.axis))
    }

    fn into_op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(Box::new(Gather { axis: self.0, output_type: None }))
    }
}

/// `Iff` (ONNX's `Where`) has no parameters.
#[derive(Deserialize, Serialize)]
pub struct IffParameters;

impl Parameters for IffParameters {
    fn from_op(op: &dyn TypedOp) -> Option<IffParameters> {
        op.is::<Iff>().then_some(IffParameters)
    }

    fn into_op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(Box::new(Iff))
    }
}

/// Parameters of `IntoShape`: the rank of the input, and the shape of the output.
#[derive(Deserialize, Serialize)]
pub struct ReshapeParameters(usize, #[serde(with = "sizes")] TVec<usize>);

impl Parameters for ReshapeParameters {
    fn from_op(op: &dyn TypedOp) -> Option<ReshapeParameters> {
        let op = op.downcast_ref::<IntoShape>()?;
        let is_contiguous = *op.strides == *Tensor::natural_strides(&op.dims);
        is_contiguous.then(|| ReshapeParameters(op.mapping.rank(InOut::In(0)), op.dims.clone()))
    }

    fn into_op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        let ReshapeParameters(rank, dims) = self;
        Ok(Box::new(IntoShape {
            mapping: AxesMapping::disconnected_for_ranks(&[rank], &[dims.len()])?,
            len: dims.iter().product(),
            strides: Tensor::natural_strides(&dims),
            dims,
        }))
    }
}

/// Parameter of `LeakyRelu`: the slope for negative elements.
#[derive(Deserialize, Serialize)]
pub struct LeakyReluParameters(f32);

impl Parameters for LeakyReluParameters {
    fn from_op(op: &dyn TypedOp) -> Option<LeakyReluParameters> {
        element_wise_parameters::<nn::LeakyRelu>(op).map(|op| LeakyReluParameters(op.alpha))
    }

    fn into_op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(Box::new(nn::leaky_relu(self.0)))
    }
}

/// Parameter of `MaxPool`: the windows. A pool that also returns indices is not serializable.
#[derive(Deserialize, Serialize)]
pub struct MaxPoolParameters(#[serde(with = "pool_spec")] PoolSpec);

impl Parameters for MaxPoolParameters {
    fn from_op(op: &dyn TypedOp) -> Option<MaxPoolParameters> {
        let (window, indices) = match (op.downcast_ref::<MaxPool>(), op.downcast_ref()) {
            (Some(op), _) => (&op.pool_spec, op.with_index_outputs),
            (None, Some(OptMaxPool { pool_spec, with_index_outputs, .. })) => {
                (pool_spec, *with_index_outputs)
            }
            (None, None) => return None,
        };
        indices.is_none().then(|| MaxPoolParameters(window.clone()))
    }

    fn into_op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(Box::new(MaxPool { pool_spec: self.0, with_index_outputs: None }))
    }
}

/// Parameter of `NearestUpsample`: an integer factor for each axis.
#[derive(Deserialize, Serialize)]
pub struct NearestUpsampleParameters(#[serde(with = "sizes")] TVec<usize>);

impl Parameters for NearestUpsampleParameters {
    fn from_op(op: &dyn TypedOp) -> Option<NearestUpsampleParameters> {
        Some(NearestUpsampleParameters(op.downcast_ref::<NearestUpsample>()?.scales.clone()))
    }

    fn into_op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(Box::new(NearestUpsample { scales: self.0 }))
    }
}

/// Parameter of `PowConst`: the exponent.
#[derive(Deserialize, Serialize)]
pub struct PowConstParameters(f32);

impl Parameters for PowConstParameters {
    fn from_op(op: &dyn TypedOp) -> Option<PowConstParameters> {
        element_wise_parameters::<math::PowConst>(op).map(|op| PowConstParameters(op.exponent))
    }

    fn into_op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(Box::new(math::pow_const(self.0)))
    }
}

/// Parameters of `Reduce`: the axes, and an index into [`REDUCERS`].
#[derive(Deserialize, Serialize)]
pub struct ReduceParameters(#[serde(with = "sizes")] TVec<usize>, usize);

impl Parameters for ReduceParameters {
    fn from_op(op: &dyn TypedOp) -> Option<ReduceParameters> {
        let op = op.downcast_ref::<Reduce>()?;
        let reducer = REDUCERS.iter().position(|reducer| *reducer == op.reducer)?;
        Some(ReduceParameters(op.axes.clone(), reducer))
    }

    fn into_op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        let reducer = REDUCERS.get(self.1).with_context(|| {
            format!("expected an index below {}, found {}", REDUCERS.len(), self.1)
        })?;
        Ok(Box::new(Reduce { axes: self.0, reducer: *reducer }))
    }
}

/// The supported reductions. Serialized models refer to them by index.
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

/// Parameter of `Resize`: the complete operator.
#[derive(Deserialize, Serialize)]
pub struct ResizeParameters(#[serde(with = "resize")] Resize);

impl Parameters for ResizeParameters {
    fn from_op(op: &dyn TypedOp) -> Option<ResizeParameters> {
        Some(ResizeParameters(op.downcast_ref::<Resize>()?.clone()))
    }

    fn into_op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(Box::new(self.0))
    }
}

/// Parameters of `RmsNorm`: the axis of the normalization, and the epsilon that is added to the
/// mean of the squares.
#[derive(Deserialize, Serialize)]
pub struct RmsNormParameters(usize, #[serde(with = "shared_tensor")] Arc<Tensor>);

impl Parameters for RmsNormParameters {
    fn from_op(op: &dyn TypedOp) -> Option<RmsNormParameters> {
        let op = op.downcast_ref::<RmsNorm>()?;
        Some(RmsNormParameters(op.axis, op.eps.clone()))
    }

    fn into_op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(Box::new(RmsNorm { axis: self.0, eps: self.1 }))
    }
}

/// Parameters of `Slice`: the axis, and the start and the end (exclusive) of the slice, formatted
/// as strings.
#[derive(Deserialize, Serialize)]
pub struct SliceParameters(usize, String, String);

impl Parameters for SliceParameters {
    fn from_op(op: &dyn TypedOp) -> Option<SliceParameters> {
        let op = op.downcast_ref::<Slice>()?;
        Some(SliceParameters(op.axis, op.start.to_string(), op.end.to_string()))
    }

    fn into_op(self, symbols: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        let (start, end) = (symbols.parse_tdim(self.1)?, symbols.parse_tdim(self.2)?);
        Ok(Box::new(Slice { axis: self.0, start, end }))
    }
}

/// Parameters of `Softmax`: the axes of the sum, and `true` for the logarithm of the softmax.
#[derive(Deserialize, Serialize)]
pub struct SoftmaxParameters(#[serde(with = "sizes")] TVec<usize>, bool);

impl Parameters for SoftmaxParameters {
    fn from_op(op: &dyn TypedOp) -> Option<SoftmaxParameters> {
        let op = op.downcast_ref::<Softmax>()?;
        let logarithmic = op.kind == SoftmaxKind::LogSoftmax;
        op.quant_output_dt.is_none().then(|| SoftmaxParameters(op.axes.clone(), logarithmic))
    }

    fn into_op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        let kind = if self.1 { SoftmaxKind::LogSoftmax } else { SoftmaxKind::Softmax };
        Ok(Box::new(Softmax { axes: self.0, quant_output_dt: None, kind }))
    }
}

/// Parameters of `SumPool`: the windows, `true` if elements of the padding are counted, and `true`
/// if the sum is divided by the number of counted elements (an average pool).
#[derive(Deserialize, Serialize)]
pub struct SumPoolParameters(#[serde(with = "pool_spec")] PoolSpec, bool, bool);

impl Parameters for SumPoolParameters {
    fn from_op(op: &dyn TypedOp) -> Option<SumPoolParameters> {
        Some(match (op.downcast_ref::<SumPool>(), op.downcast_ref::<OptSumPool>()) {
            (Some(op), _) => {
                SumPoolParameters(op.pool_spec.clone(), op.count_include_pad, op.normalize)
            }
            (_, Some(op)) => {
                SumPoolParameters(op.pool_spec.clone(), op.count_include_pad, op.normalize)
            }
            (None, None) => return None,
        })
    }

    fn into_op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        let SumPoolParameters(pool_spec, count_include_pad, normalize) = self;
        Ok(Box::new(SumPool { pool_spec, count_include_pad, normalize }))
    }
}

/// Parameters of `Topk`: the axis, `true` for the largest and `false` for the smallest elements,
/// and an expression for the number of elements. Shape inference uses the expression if the input
/// `k` is not constant.
#[derive(Deserialize, Serialize)]
pub struct TopKParameters(usize, bool, String);

impl Parameters for TopKParameters {
    fn from_op(op: &dyn TypedOp) -> Option<TopKParameters> {
        let op = op.downcast_ref::<Topk>()?;
        Some(TopKParameters(op.axis, op.largest, op.fallback_k.to_string()))
    }

    fn into_op(self, symbols: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        let fallback_k = symbols.parse_tdim(self.2)?;
        Ok(Box::new(Topk { axis: self.0, largest: self.1, fallback_k }))
    }
}

/// Returns the binary operator that tract replaced by `op` when tract optimized the model. Returns `None` if `op` is
/// not such a replacement. The fast path of the original operator is faster than tract's replacement, and the original
/// operator is serializable.
pub fn unoptimized(op: &dyn TypedOp) -> Option<TypedBinOp> {
    let by_scalar = op.downcast_ref::<OptBinByScalar>().map(|op| &op.binop);
    let binop = by_scalar.or(op.downcast_ref::<OptBinUnicast>().map(|op| &op.binop))?;
    Some(TypedBinOp(binop.clone(), None))
}

fn to_strings<'a>(dims: impl IntoIterator<Item = &'a TDim>) -> Vec<String> {
    dims.into_iter().map(TDim::to_string).collect()
}

fn dims(strings: &[String], symbols: &SymbolScope) -> TractResult<TVec<TDim>> {
    strings.iter().map(|string| symbols.parse_tdim(string)).collect()
}
