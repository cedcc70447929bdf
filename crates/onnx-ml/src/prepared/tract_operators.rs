//! Serialization of operators that are not kernels: tract's own, as they remain in optimized
//! models, and casts of strings.

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

#[derive(Deserialize, Serialize)]
pub enum Axis {
    Add(usize),
    Rm(usize),
    Move(usize, usize),
    /// Axis and dimensions, in the text form of `TDim`.
    Reshape(usize, Vec<String>, Vec<String>),
}

impl Parameters for Axis {
    fn of(op: &dyn TypedOp) -> Option<Axis> {
        Some(match op.downcast_ref::<AxisOp>()? {
            AxisOp::Add(axis) => Axis::Add(*axis),
            AxisOp::Rm(axis) => Axis::Rm(*axis),
            AxisOp::Move(from, to) => Axis::Move(*from, *to),
            AxisOp::Reshape(axis, from, to) => Axis::Reshape(*axis, texts(from), texts(to)),
        })
    }

    fn op(self, symbols: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(Box::new(match self {
            Axis::Add(axis) => AxisOp::Add(axis),
            Axis::Rm(axis) => AxisOp::Rm(axis),
            Axis::Move(from, to) => AxisOp::Move(from, to),
            Axis::Reshape(axis, from, to) => {
                AxisOp::Reshape(axis, dims(&from, symbols)?, dims(&to, symbols)?)
            }
        }))
    }
}

/// Operators on two tensors, with the output type if it differs from the inputs'.
pub mod binary {
    use super::*;

    macro_rules! binary {
        ($($name:ident = $op:expr),+ $(,)?) => {$(
            #[derive(Deserialize, Serialize)]
            pub struct $name(#[serde(with = "optional_datum_type")] Option<DatumType>);

            impl Parameters for $name {
                fn of(op: &dyn TypedOp) -> Option<$name> {
                    let op = op.downcast_ref::<TypedBinOp>()?;
                    let own: Box<dyn BinMiniOp> = $op;
                    (op.0 == own).then_some($name(op.1))
                }

                fn op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
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

/// Element-wise operators without parameters.
pub mod element_wise {
    use super::*;

    macro_rules! element_wise {
        ($($name:ident = $op:expr),+ $(,)?) => {$(
            #[derive(Deserialize, Serialize)]
            pub struct $name;

            impl Parameters for $name {
                fn of(op: &dyn TypedOp) -> Option<$name> {
                    (*op.downcast_ref::<ElementWiseOp>()? == $op).then_some($name)
                }

                fn op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
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

/// Returns an element-wise operator with a parameter.
fn of_elements<O: ElementWiseMiniOp>(op: &dyn TypedOp) -> Option<&O> {
    let op = op.downcast_ref::<ElementWiseOp>()?;
    op.1.is_none().then(|| op.0.downcast_ref())?
}

#[derive(Deserialize, Serialize)]
pub struct Broadcast(Vec<String>);

impl Parameters for Broadcast {
    fn of(op: &dyn TypedOp) -> Option<Broadcast> {
        let op = op.downcast_ref::<MultiBroadcastTo>()?;
        Some(Broadcast(texts(op.shape.iter())))
    }

    fn op(self, symbols: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(Box::new(MultiBroadcastTo { shape: dims(&self.0, symbols)?.into_iter().collect() }))
    }
}

#[derive(Deserialize, Serialize)]
pub struct To(#[serde(with = "datum_type")] DatumType);

impl Parameters for To {
    fn of(op: &dyn TypedOp) -> Option<To> {
        Some(To(op.downcast_ref::<Cast>()?.to))
    }

    fn op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(Box::new(Cast { to: self.0 }))
    }
}

#[derive(Deserialize, Serialize)]
pub struct Along(usize);

impl Parameters for Along {
    fn of(op: &dyn TypedOp) -> Option<Along> {
        Some(Along(op.downcast_ref::<TypedConcat>()?.axis))
    }

    fn op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(Box::new(TypedConcat { axis: self.0 }))
    }
}

#[derive(Deserialize, Serialize)]
pub struct Gathered(usize);

impl Parameters for Gathered {
    fn of(op: &dyn TypedOp) -> Option<Gathered> {
        let op = op.downcast_ref::<Gather>()?;
        op.output_type.is_none().then_some(Gathered(op.axis))
    }

    fn op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(Box::new(Gather { axis: self.0, output_type: None }))
    }
}

#[derive(Deserialize, Serialize)]
pub struct Chosen;

impl Parameters for Chosen {
    fn of(op: &dyn TypedOp) -> Option<Chosen> {
        op.is::<Iff>().then_some(Chosen)
    }

    fn op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(Box::new(Iff))
    }
}

/// Number of axes of the input, and the axes of the result.
#[derive(Deserialize, Serialize)]
pub struct Shaped(usize, #[serde(with = "sizes")] TVec<usize>);

impl Parameters for Shaped {
    fn of(op: &dyn TypedOp) -> Option<Shaped> {
        let op = op.downcast_ref::<IntoShape>()?;
        let plain = *op.strides == *Tensor::natural_strides(&op.dims);
        plain.then(|| Shaped(op.mapping.rank(InOut::In(0)), op.dims.clone()))
    }

    fn op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        let Shaped(rank, dims) = self;
        Ok(Box::new(IntoShape {
            mapping: AxesMapping::disconnected_for_ranks(&[rank], &[dims.len()])?,
            len: dims.iter().product(),
            strides: Tensor::natural_strides(&dims),
            dims,
        }))
    }
}

#[derive(Deserialize, Serialize)]
pub struct Leaky(f32);

impl Parameters for Leaky {
    fn of(op: &dyn TypedOp) -> Option<Leaky> {
        of_elements::<nn::LeakyRelu>(op).map(|op| Leaky(op.alpha))
    }

    fn op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(Box::new(nn::leaky_relu(self.0)))
    }
}

#[derive(Deserialize, Serialize)]
pub struct MaxWindow(#[serde(with = "pool_spec")] PoolSpec);

impl Parameters for MaxWindow {
    fn of(op: &dyn TypedOp) -> Option<MaxWindow> {
        let (window, indices) = match (op.downcast_ref::<MaxPool>(), op.downcast_ref()) {
            (Some(op), _) => (&op.pool_spec, op.with_index_outputs),
            (None, Some(OptMaxPool { pool_spec, with_index_outputs, .. })) => {
                (pool_spec, *with_index_outputs)
            }
            (None, None) => return None,
        };
        indices.is_none().then(|| MaxWindow(window.clone()))
    }

    fn op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(Box::new(MaxPool { pool_spec: self.0, with_index_outputs: None }))
    }
}

/// Factor along each axis.
#[derive(Deserialize, Serialize)]
pub struct Upsampled(#[serde(with = "sizes")] TVec<usize>);

impl Parameters for Upsampled {
    fn of(op: &dyn TypedOp) -> Option<Upsampled> {
        Some(Upsampled(op.downcast_ref::<NearestUpsample>()?.scales.clone()))
    }

    fn op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(Box::new(NearestUpsample { scales: self.0 }))
    }
}

#[derive(Deserialize, Serialize)]
pub struct Power(f32);

impl Parameters for Power {
    fn of(op: &dyn TypedOp) -> Option<Power> {
        of_elements::<math::PowConst>(op).map(|op| Power(op.exponent))
    }

    fn op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(Box::new(math::pow_const(self.0)))
    }
}

/// Axes, and an index into [`REDUCERS`].
#[derive(Deserialize, Serialize)]
pub struct Reduced(#[serde(with = "sizes")] TVec<usize>, usize);

impl Parameters for Reduced {
    fn of(op: &dyn TypedOp) -> Option<Reduced> {
        let op = op.downcast_ref::<Reduce>()?;
        let reducer = REDUCERS.iter().position(|reducer| *reducer == op.reducer)?;
        Some(Reduced(op.axes.clone(), reducer))
    }

    fn op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        let reducer = REDUCERS.get(self.1).context("expected the place of a reducer")?;
        Ok(Box::new(Reduce { axes: self.0, reducer: *reducer }))
    }
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

#[derive(Deserialize, Serialize)]
pub struct Resized(#[serde(with = "resize")] Resize);

impl Parameters for Resized {
    fn of(op: &dyn TypedOp) -> Option<Resized> {
        Some(Resized(op.downcast_ref::<Resize>()?.clone()))
    }

    fn op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(Box::new(self.0))
    }
}

/// Axis, and epsilon, which is added to the mean of the squares.
#[derive(Deserialize, Serialize)]
pub struct Normed(usize, #[serde(with = "shared_tensor")] Arc<Tensor>);

impl Parameters for Normed {
    fn of(op: &dyn TypedOp) -> Option<Normed> {
        let op = op.downcast_ref::<RmsNorm>()?;
        Some(Normed(op.axis, op.eps.clone()))
    }

    fn op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        Ok(Box::new(RmsNorm { axis: self.0, eps: self.1 }))
    }
}

/// Axis, start and end.
#[derive(Deserialize, Serialize)]
pub struct Part(usize, String, String);

impl Parameters for Part {
    fn of(op: &dyn TypedOp) -> Option<Part> {
        let op = op.downcast_ref::<Slice>()?;
        Some(Part(op.axis, op.start.to_string(), op.end.to_string()))
    }

    fn op(self, symbols: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        let (start, end) = (symbols.parse_tdim(self.1)?, symbols.parse_tdim(self.2)?);
        Ok(Box::new(Slice { axis: self.0, start, end }))
    }
}

/// Axes, and `true` for the logarithm.
#[derive(Deserialize, Serialize)]
pub struct Soft(#[serde(with = "sizes")] TVec<usize>, bool);

impl Parameters for Soft {
    fn of(op: &dyn TypedOp) -> Option<Soft> {
        let op = op.downcast_ref::<Softmax>()?;
        let logarithmic = op.kind == SoftmaxKind::LogSoftmax;
        op.quant_output_dt.is_none().then(|| Soft(op.axes.clone(), logarithmic))
    }

    fn op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        let kind = if self.1 { SoftmaxKind::LogSoftmax } else { SoftmaxKind::Softmax };
        Ok(Box::new(Softmax { axes: self.0, quant_output_dt: None, kind }))
    }
}

/// Window, `true` if padding counts, and `true` if the sum is divided by the count.
#[derive(Deserialize, Serialize)]
pub struct SumWindow(#[serde(with = "pool_spec")] PoolSpec, bool, bool);

impl Parameters for SumWindow {
    fn of(op: &dyn TypedOp) -> Option<SumWindow> {
        Some(match (op.downcast_ref::<SumPool>(), op.downcast_ref::<OptSumPool>()) {
            (Some(op), _) => SumWindow(op.pool_spec.clone(), op.count_include_pad, op.normalize),
            (_, Some(op)) => SumWindow(op.pool_spec.clone(), op.count_include_pad, op.normalize),
            (None, None) => return None,
        })
    }

    fn op(self, _: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        let SumWindow(pool_spec, count_include_pad, normalize) = self;
        Ok(Box::new(SumPool { pool_spec, count_include_pad, normalize }))
    }
}

/// Axis, `true` for the largest elements, and k.
#[derive(Deserialize, Serialize)]
pub struct Best(usize, bool, String);

impl Parameters for Best {
    fn of(op: &dyn TypedOp) -> Option<Best> {
        let op = op.downcast_ref::<Topk>()?;
        Some(Best(op.axis, op.largest, op.fallback_k.to_string()))
    }

    fn op(self, symbols: &SymbolScope) -> TractResult<Box<dyn TypedOp>> {
        let fallback_k = symbols.parse_tdim(self.2)?;
        Ok(Box::new(Topk { axis: self.0, largest: self.1, fallback_k }))
    }
}

/// Returns the operator that tract replaced by `op` when it optimized the model, if this crate's
/// version of it is faster.
pub fn unoptimized(op: &dyn TypedOp) -> Option<TypedBinOp> {
    let by_scalar = op.downcast_ref::<OptBinByScalar>().map(|op| &op.binop);
    let binop = by_scalar.or(op.downcast_ref::<OptBinUnicast>().map(|op| &op.binop))?;
    Some(TypedBinOp(binop.clone(), None))
}

fn texts<'a>(dims: impl IntoIterator<Item = &'a TDim>) -> Vec<String> {
    dims.into_iter().map(TDim::to_string).collect()
}

fn dims(texts: &[String], symbols: &SymbolScope) -> TractResult<TVec<TDim>> {
    texts.iter().map(|text| symbols.parse_tdim(text)).collect()
}
