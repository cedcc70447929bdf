//! Convolutions of 8-bit integers:
//! [ConvInteger](https://onnx.ai/onnx/operators/onnx__ConvInteger.html) and
//! [QLinearConv](https://onnx.ai/onnx/operators/onnx__QLinearConv.html).
//!
//! Weights that are constants of the model are packed when the model is loaded. tract computes convolutions over three
//! axes.

use crate::encoding::fields::{pool_spec, sizes};
use crate::encoding::weights::Weights;
use crate::kernels::integer_conv::{Geometry, Image, convolve, convolve_channel};
use crate::kernels::integer_product::{Epilogue, FLIP, Integers, OutputScales, Requantized, Rows};
use crate::kernels::quantize::Narrow;
use crate::kernels::simd::dot::{GROUP, RowGroup};
use crate::operator::adapter::{self, Built, kernel_op};
use crate::operator::kernel::{Fact, Kernel, Patch};
use crate::ops::nn::windows::expect_moderate;
use crate::ops::quantized::integer_mat_mul::bytes;
use crate::ops::quantized::operand::{Operand, Quantization, Scales, expanded, remaining_inputs};
use serde::{Deserialize, Serialize};
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cnn::{PaddingSpec, PoolSpec};
use tract_onnx::tract_core::ops::nn::DataFormat;
use tract_onnx::tract_hir::internal::*;

pub fn conv_integer(_: &ParsingContext, node: &NodeProto) -> Built {
    let inputs: Vec<Option<usize>> = optional_inputs(node).chain([None; 4]).take(4).collect();
    let [x, w, x_zero, w_zero] = inputs[..] else { bail!("expected inputs, found none") };
    build(node, [x, w], [x_zero, w_zero], Scales::default(), [None, None])
}

pub fn q_linear_conv(_: &ParsingContext, node: &NodeProto) -> Built {
    let inputs: Vec<Option<usize>> = optional_inputs(node).chain([None; 9]).take(9).collect();
    let [x, Some(x_scale), x_zero, w, Some(w_scale), w_zero, Some(y_scale), Some(y_zero), bias] =
        inputs[..]
    else {
        bail!("expected scales and zero points, found inputs {:?}", node.input)
    };
    let factors = vec![Operand::Input(x_scale), Operand::Input(w_scale)];
    let scales = Scales { factors, divisor: Some(Operand::Input(y_scale)) };
    build(node, [x, w], [x_zero, w_zero], scales, [bias, Some(y_zero)])
}

fn build(
    node: &NodeProto,
    [x, w]: [Option<usize>; 2],
    zeros: [Option<usize>; 2],
    scales: Scales,
    [bias, y_zero]: [Option<usize>; 2],
) -> Built {
    expect_moderate(node)?;
    let (Some(0), Some(w)) = (x, w) else {
        bail!("expected an image and weights, found inputs {:?}", node.input);
    };
    let pads: Option<TVec<usize>> = node.get_attr_opt_tvec("pads")?;
    let padding = match (node.get_attr_opt("auto_pad")?.unwrap_or("NOTSET"), pads) {
        ("NOTSET", Some(pads)) => {
            let (before, after) = pads.split_at(pads.len() / 2);
            PaddingSpec::Explicit(before.into(), after.into())
        }
        ("NOTSET" | "VALID", _) => PaddingSpec::Valid,
        ("SAME_UPPER", _) => PaddingSpec::SameUpper,
        ("SAME_LOWER", _) => PaddingSpec::SameLower,
        (found, _) => node.bail_attr("auto_pad", &format!("expected a padding, found {found}"))?,
    };
    let pool = PoolSpec {
        data_format: DataFormat::NCHW,
        kernel_shape: tvec!(),
        padding,
        dilations: node.get_attr_opt_tvec("dilations")?,
        strides: node.get_attr_opt_tvec("strides")?,
        input_channels: 0,
        output_channels: 0,
    };
    let groups: usize = node.get_attr_opt("group")?.unwrap_or(1);
    node.expect_attr("group", groups > 0, || "at least 1, found 0".to_owned())?;
    let conv = IntegerConv {
        pool,
        groups,
        weights: Kernels::Input(w),
        quantization: Quantization::new(zeros, scales, [bias, y_zero]),
    };
    adapter::variadic(node, conv)
}

/// The weights of a convolution.
#[derive(Debug, Clone, Deserialize, Serialize)]
enum Kernels {
    /// The input with this index.
    Input(usize),
    Packed(Arc<Packed>),
}

/// Packed weights.
#[derive(Debug, Deserialize, Serialize)]
struct Packed {
    /// Shape of the weights.
    #[serde(with = "sizes")]
    shape: TVec<usize>,
    /// The weights as unsigned integers, `[output channel][group of terms]`.
    groups: Weights<RowGroup>,
    /// [`FLIP`] if the integers were signed before packing. Otherwise 0.
    flip: u8,
}

/// A convolution. If there is a zero point for the output, the sums are quantized. Otherwise the outputs are the sums.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct IntegerConv {
    /// Strides, dilations and padding. The other fields are set for each run.
    #[serde(with = "pool_spec")]
    pool: PoolSpec,
    groups: usize,
    weights: Kernels,
    /// The operands besides the image and the weights. The bias is added to the sums.
    quantization: Quantization,
}

impl Kernel for IntegerConv {
    const NAME: &'static str = "IntegerConv";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let weights: TVec<usize> = match &self.weights {
            Kernels::Input(index) => {
                inputs[*index].shape.iter().map(TDim::to_usize).collect::<Result<_, _>>()?
            }
            Kernels::Packed(packed) => packed.shape.clone(),
        };
        let pool = self.pool(&weights)?;
        let x = &inputs[0].shape;
        ensure!(
            x.len() == weights.len(),
            "expected an image of rank {}, found shape {x:?}",
            weights.len()
        );
        self.quantization.check(inputs, &weights[0].to_dim())?;
        let shape = pool.output_shape(x)?.shape;
        Ok(tvec!(Fact::new(self.output_type(|index| inputs[index].datum_type), shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        match self.output_type(|index| inputs[index].datum_type()) {
            DatumType::I32 => self.run::<i32>(inputs, |group, y| {
                let columns = group.geometry.positions();
                group.run(&mut Integers { y, columns })
            }),
            DatumType::U8 => self.requantized::<u8>(inputs),
            DatumType::I8 => self.requantized::<i8>(inputs),
            found => bail!("expected an output of 8-bit integers, found {found:?}"),
        }
    }

    fn fuse(self: &Arc<Self>, model: &TypedModel, node: &TypedNode) -> Patch {
        let facts = model.node_input_facts(node.id)?;
        let mut folded = IntegerConv::clone(self);
        folded.quantization.fold(&facts, i32::datum_type())?;
        if let Kernels::Input(index) = self.weights
            && let Some(weights) = &facts[index].konst
        {
            folded.weights = Kernels::Packed(Arc::new(Packed::new(weights)?));
        }
        let weights = match &mut folded.weights {
            Kernels::Input(index) => Some(index),
            Kernels::Packed(_) => None,
        };
        let indices = weights.into_iter().chain(folded.quantization.inputs());
        let Some(inputs) = remaining_inputs(node, indices) else { return Ok(None) };
        TypedModelPatch::replace_single_op(model, node, &inputs, kernel_op(folded)).map(Some)
    }
}

impl Packed {
    fn new(weights: &Tensor) -> TractResult<Packed> {
        let (bytes, flip) = bytes(weights)?;
        let flip = flip ^ FLIP;
        let shape: TVec<usize> = weights.shape().into();
        let terms = shape.iter().skip(1).product();
        let rows = Rows::new(bytes, terms, flip);
        Ok(Packed { groups: rows.groups().to_vec().into(), shape, flip })
    }
}

impl IntegerConv {
    /// Returns the type of the output. `input` returns the type of an input.
    fn output_type(&self, input: impl Fn(usize) -> DatumType) -> DatumType {
        self.quantization.quantized_type(input).unwrap_or(i32::datum_type())
    }

    /// Returns the sliding windows for weights of the given shape.
    fn pool(&self, weights: &[usize]) -> TractResult<PoolSpec> {
        let &[outputs, inputs, ref kernel @ ..] = weights else {
            bail!("expected weights of rank 3 or 4, found shape {weights:?}");
        };
        ensure!(
            matches!(kernel.len(), 1 | 2),
            "expected a convolution over one or two axes, found weights of shape {weights:?}"
        );
        let axes = |list: &Option<TVec<usize>>| {
            list.as_ref().is_none_or(|list| list.len() == kernel.len())
        };
        let has_padding = match &self.pool.padding {
            PaddingSpec::Explicit(before, after) => {
                before.len() == kernel.len() && after.len() == kernel.len()
            }
            _ => true,
        };
        ensure!(
            axes(&self.pool.strides) && axes(&self.pool.dilations) && has_padding,
            "expected strides, dilations and pads for weights of shape {weights:?}"
        );
        ensure!(
            outputs % self.groups == 0,
            "expected a multiple of {} output channels, found {outputs}",
            self.groups
        );
        Ok(PoolSpec {
            kernel_shape: kernel.into(),
            input_channels: inputs * self.groups,
            output_channels: outputs,
            ..self.pool.clone()
        })
    }

    fn requantized<T: Narrow + Datum>(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let zero =
            self.quantization.y_zero.as_ref().map_or(Ok(0.0), |zero| zero.value::<f32>(inputs))?;
        let outputs = match &self.weights {
            Kernels::Input(index) => inputs[*index].shape()[0],
            Kernels::Packed(packed) => packed.shape[0],
        };
        let scales = self.quantization.scales.values(inputs, outputs)?;
        self.run::<T>(inputs, |group, y| {
            let scales = OutputScales::Rows(&scales[group.first..]);
            let columns = group.geometry.positions();
            group.run(&mut Requantized { y, columns, scales, zero })
        })
    }

    /// Calls `finish` with each group of each image and its part of the output.
    fn run<T: Datum + Copy>(
        &self,
        inputs: &[TValue],
        finish: impl Fn(Group<'_>, &mut [T]),
    ) -> TractResult<Vec<Tensor>> {
        let made;
        let packed = match &self.weights {
            Kernels::Packed(packed) => packed,
            Kernels::Input(index) => {
                made = Packed::new(&inputs[*index])?;
                &made
            }
        };
        let x = &inputs[0];
        let pool = self.pool(&packed.shape)?;
        let shape = pool.output_shape(x.shape())?.shape;
        let outputs = packed.shape[0] / self.groups;
        let (image, flip) = bytes(x)?;
        let Quantization { zeros, bias, .. } = &self.quantization;
        let value = |operand: &Option<Operand>, default| match operand {
            Some(operand) => operand.values::<i32>(inputs),
            None => Ok(vec![default]),
        };
        let x_zero = value(&zeros[0], 0)?;
        let shift = i32::from(packed.flip);
        let w_zeros: Vec<i32> = value(&zeros[1], 0)?.iter().map(|zero| zero + shift).collect();
        let w_zeros = expanded(w_zeros, packed.shape[0]);
        let bias = expanded(value(bias, 0)?, packed.shape[0]);
        let geometry = geometry(&pool, x.shape(), &shape, self.groups);
        let terms = geometry.terms();
        let length = outputs * terms.div_ceil(GROUP);
        let mut y = Tensor::zero_dt(T::datum_type(), &shape)?;
        let mut view = y.try_as_plain_ram_mut()?;
        let elements = view.as_slice_mut::<T>()?;
        let group_len = geometry.channels * geometry.input[0] * geometry.input[1];
        if group_len > 0 && terms > 0 && !elements.is_empty() {
            let images = image.chunks_exact(group_len);
            let parts = elements.chunks_exact_mut(outputs * geometry.positions());
            for (index, (image, y)) in images.zip(parts).enumerate() {
                let group = index % self.groups;
                let first = group * outputs;
                let group = Group {
                    geometry: &geometry,
                    image: Image { bytes: image, flip, zero: x_zero[0] as u8 },
                    weights: Rows::from_groups(&packed.groups[group * length..][..length], terms),
                    zeros: &w_zeros[first..][..outputs],
                    bias: &bias[first..][..outputs],
                    first,
                };
                finish(group, y);
            }
        }
        Ok(vec![y])
    }
}

/// A group of one image.
struct Group<'a> {
    geometry: &'a Geometry,
    image: Image<'a>,
    weights: Rows<'a>,
    /// Zero point of each output channel's weights.
    zeros: &'a [i32],
    bias: &'a [i32],
    /// Index of the first output channel.
    first: usize,
}

impl Group<'_> {
    fn run(&self, epilogue: &mut impl Epilogue) {
        let Group { geometry, image, weights, zeros, bias, .. } = self;
        if geometry.channels > 1 {
            return convolve(geometry, *image, weights, [zeros, bias], epilogue);
        }
        let length = geometry.terms().div_ceil(GROUP);
        let rows = weights.groups().chunks_exact(length).zip(zeros.iter().zip(*bias));
        for (row, (groups, (zero, bias))) in rows.enumerate() {
            let bytes = &groups.as_flattened()[..geometry.terms()];
            let weights: Vec<i16> =
                bytes.iter().map(|byte| (i32::from(*byte) - zero) as i16).collect();
            convolve_channel(geometry, *image, &weights, *bias, row, epilogue);
        }
    }
}

/// Returns the sizes of a convolution over one or two axes. A single axis becomes the second axis, and the first axis
/// gets length 1.
fn geometry(pool: &PoolSpec, input: &[usize], output: &[usize], groups: usize) -> Geometry {
    let two = |list: &[usize], filler: usize| match list {
        [rows, columns] => [*rows, *columns],
        [columns] => [filler, *columns],
        _ => [filler; 2],
    };
    let padding = pool.computed_padding(&input[2..]);
    let before: TVec<usize> = padding.iter().map(|axis| axis.pad_before).collect();
    Geometry {
        channels: pool.input_channels / groups,
        input: two(&input[2..], 1),
        output: two(&output[2..], 1),
        kernel: two(&pool.kernel_shape, 1),
        strides: two(&pool.strides(), 1),
        dilations: two(&pool.dilations(), 1),
        before: two(&before, 0),
    }
}
