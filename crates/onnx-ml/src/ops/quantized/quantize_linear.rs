//! [QuantizeLinear](https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html) and
//! [DequantizeLinear](https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html), with scales per
//! tensor, per index of an axis, or per block of indices.
//!
//! tract has operators of the same names, but with two errors. First, tract's optimizer replaces a DequantizeLinear,
//! the operators after it and a QuantizeLinear by a table with an entry for each of the 256 integers. This is wrong for
//! operators that combine several elements, such as Softmax, and for input and output types that differ. Second,
//! tract's QuantizeLinear multiplies by the inverse of the scale, so that some elements round to a different integer.
//! The kernels of this file have neither error.

use crate::encoding::fields::datum_type;
use crate::kernels::quantize;
use crate::operator::adapter::{self, Built};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use crate::operator::tensors::{self, elements, tensor};
use serde::{Deserialize, Serialize};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// Builds QuantizeLinear.
pub fn quantize_linear(_: &ParsingContext, node: &NodeProto) -> Built {
    build(node, Direction::Quantize)
}

/// Builds DequantizeLinear.
pub fn dequantize_linear(_: &ParsingContext, node: &NodeProto) -> Built {
    build(node, Direction::Dequantize)
}

/// Builds the operator of `node`.
fn build(node: &NodeProto, direction: Direction) -> Built {
    let found = node.input.iter().filter(|name| !name.is_empty()).count();
    node.expect(matches!(found, 2 | 3), || format!("2 or 3 inputs, found {found}"))?;
    let block = node.get_attr_opt("block_size")?.unwrap_or(0);
    let output = match node.get_attr_opt::<i64>("output_dtype")? {
        Some(0) | None => None,
        Some(_) => Some(node.get_attr("output_dtype")?),
    };
    let parameters = Parameters { axis: node.get_attr_opt("axis")?.unwrap_or(1), block };
    lower(LinearQuantization { parameters, direction, output, has_zero_point: found == 3 })
}

/// The direction of the conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Quantize,
    Dequantize,
}

/// QuantizeLinear or DequantizeLinear before the types of the inputs are known. The inputs are the elements, the scales
/// and optional zero points.
#[derive(Debug, Clone)]
struct LinearQuantization {
    parameters: Parameters,
    direction: Direction,
    /// Type of the output, if the node declares it.
    output: Option<DatumType>,
    /// `true` if the node has the third input, the zero points.
    has_zero_point: bool,
}

impl Lowering for LinearQuantization {
    fn name(&self) -> StaticName {
        match self.direction {
            Direction::Quantize => "QuantizeLinear".into(),
            Direction::Dequantize => "DequantizeLinear".into(),
        }
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        check_input_arity(inputs, 2 + usize::from(self.has_zero_point))?;
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)?;
        let output = &outputs[0].datum_type;
        match (self.output, self.direction, inputs.get(2)) {
            (Some(found), _, _) => solver.equals(output, found),
            (None, Direction::Dequantize, _) => solver.equals(output, &inputs[1].datum_type),
            (None, Direction::Quantize, Some(zero)) => solver.equals(output, &zero.datum_type),
            (None, Direction::Quantize, None) => solver.equals(output, u8::datum_type()),
        }
    }

    fn wire(
        &self,
        Wiring { prefix, model }: Wiring,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let default = match (self.direction, inputs.get(2)) {
            (Direction::Quantize, Some(zero)) => model.outlet_fact(*zero)?.datum_type,
            (Direction::Quantize, None) => u8::datum_type(),
            (Direction::Dequantize, _) => model.outlet_fact(inputs[1])?.datum_type,
        };
        let output = self.output.unwrap_or(default);
        let parameters = self.parameters;
        match self.direction {
            Direction::Quantize => {
                adapter::wire(prefix, model, Quantize { parameters, output }, inputs, 1)
            }
            Direction::Dequantize => {
                adapter::wire(prefix, model, Dequantize { parameters, output }, inputs, 1)
            }
        }
    }
}

/// Computes `round(x / scale) + zero_point`, clamped to the range of the output type.
#[derive(Debug, Deserialize, Serialize)]
pub struct Quantize {
    parameters: Parameters,
    /// Type of the output.
    #[serde(with = "datum_type")]
    output: DatumType,
}

impl Kernel for Quantize {
    const NAME: &'static str = "QuantizeLinear";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let integer = self.output.is_integer() && self.output.size_of() <= 4;
        ensure!(
            integer,
            "expected an output of integers of at most 32 bits, found {:?}",
            self.output
        );
        self.parameters.check_shapes(inputs)?;
        Ok(tvec!(Fact::new(self.output, inputs[0].shape.iter().cloned())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        if let Some(layout) = self.parameters.layout(inputs)
            && inputs[0].datum_type() == f32::datum_type()
        {
            match self.output {
                DatumType::U8 => return quantized::<u8>(inputs, layout),
                DatumType::I8 => return quantized::<i8>(inputs, layout),
                _ => {}
            }
        }
        let lowest = self.output.min_value().cast_to_scalar::<f64>()?;
        let highest = self.output.max_value().cast_to_scalar::<f64>()?;
        let quantized = self.parameters.map(inputs, |value, scale, zero| {
            // The quotient is in single precision, as in ONNX Runtime and in [`quantize`]. A quotient in double
            // precision could round to a different integer. The sum is in double precision, which holds every 32-bit
            // integer exactly.
            let rounded = f64::from((value as f32 / scale as f32).round_ties_even());
            (rounded + zero).clamp(lowest, highest)
        })?;
        Ok(vec![quantized.cast_to_dt(self.output)?.into_owned()])
    }
}

/// Computes `(x - zero_point) * scale`.
#[derive(Debug, Deserialize, Serialize)]
pub struct Dequantize {
    parameters: Parameters,
    /// Type of the output.
    #[serde(with = "datum_type")]
    output: DatumType,
}

impl Kernel for Dequantize {
    const NAME: &'static str = "DequantizeLinear";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        ensure!(self.output.is_float(), "expected an output of floats, found {:?}", self.output);
        self.parameters.check_shapes(inputs)?;
        Ok(tvec!(Fact::new(self.output, inputs[0].shape.iter().cloned())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        if let Some(layout) = self.parameters.layout(inputs)
            && self.output == f32::datum_type()
        {
            match inputs[0].datum_type() {
                DatumType::U8 => return dequantized::<u8>(inputs, layout),
                DatumType::I8 => return dequantized::<i8>(inputs, layout),
                _ => {}
            }
        }
        let floats = self.parameters.map(inputs, |value, scale, zero| (value - zero) * scale)?;
        Ok(vec![floats.cast_to_dt(self.output)?.into_owned()])
    }
}

/// Quantizes floats to `T` with scales in single precision.
fn quantized<T: quantize::Narrow + Datum>(
    inputs: &[TValue],
    layout: quantize::Layout,
) -> TractResult<Vec<Tensor>> {
    let (scales, zeros) = scales::<T>(inputs)?;
    let mut output = Tensor::zero_dt(T::datum_type(), inputs[0].shape())?;
    let x = inputs[0].try_as_plain_ram()?;
    let scales = quantize::Scales { scales: &scales, zeros: &zeros, layout };
    quantize::quantize(x.as_slice()?, output.try_as_plain_ram_mut()?.as_slice_mut::<T>()?, scales);
    Ok(vec![output])
}

/// Converts integers of type `T` to floats.
fn dequantized<T: quantize::Narrow + Datum>(
    inputs: &[TValue],
    layout: quantize::Layout,
) -> TractResult<Vec<Tensor>> {
    let (scales, zeros) = scales::<T>(inputs)?;
    let mut output = Tensor::zero::<f32>(inputs[0].shape())?;
    let x = inputs[0].try_as_plain_ram()?;
    let scales = quantize::Scales { scales: &scales, zeros: &zeros, layout };
    let y = &mut output.try_as_plain_ram_mut()?;
    quantize::dequantize(x.as_slice::<T>()?, y.as_slice_mut()?, scales);
    Ok(vec![output])
}

/// Returns the scales, and a zero point for each scale.
fn scales<T: quantize::Narrow + Datum>(inputs: &[TValue]) -> TractResult<(Vec<f32>, Vec<f32>)> {
    let scales = elements::<f32>(&inputs[1])?;
    let scales = scales.try_as_plain_ram()?.as_slice::<f32>()?.to_vec();
    let zeros = match inputs.get(2) {
        Some(zeros) => {
            ensure!(
                zeros.datum_type() == T::datum_type(),
                "expected zero points of type {:?}, found {:?}",
                T::datum_type(),
                zeros.datum_type()
            );
            elements::<f32>(zeros)?.try_as_plain_ram()?.as_slice::<f32>()?.to_vec()
        }
        None => vec![0.0; scales.len()],
    };
    Ok((scales, zeros))
}

/// The relation of elements and scales. There is one scale per tensor, per index of an axis, or per
/// block of indices of an axis. The zero points have the same layout as the scales.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
struct Parameters {
    /// The axis; negative values count from the last axis.
    axis: i64,
    /// Number of indices in a block, or 0 if the scales are not blocked.
    block: usize,
}

impl Parameters {
    /// Returns an error if the shapes of the inputs do not match.
    fn check_shapes(&self, inputs: &[Fact]) -> TractResult<()> {
        let (shape, scales) = (&inputs[0].shape, &inputs[1].shape);
        let expected = if self.block > 0 {
            let mut blocks = shape.clone();
            let axis = tensors::axis(self.axis, shape.len())?;
            blocks[axis] = blocks[axis].clone().divceil(self.block);
            blocks
        } else if scales.iter().product::<TDim>() == 1.to_dim() {
            // A single scale may have any number of axes.
            scales.clone()
        } else {
            tvec!(shape[tensors::axis(self.axis, shape.len())?].clone())
        };
        ensure!(
            *scales == expected,
            "scales for an input of shape {shape:?}, axis {} and block size {}: expected shape {expected:?}, \
             found {scales:?}",
            self.axis,
            self.block
        );
        if let Some(zero) = inputs.get(2) {
            let (expected, found) =
                (scales.iter().product::<TDim>(), zero.shape.iter().product::<TDim>());
            ensure!(expected == found, "expected {expected} zero points, found {found}");
        }
        Ok(())
    }

    /// Returns the layout of the scales for the kernels of [`quantize`]. Returns `None` if the kernels do not support
    /// the scales, because the scales are blocked or not in single precision.
    fn layout(&self, inputs: &[TValue]) -> Option<quantize::Layout> {
        let shape = inputs[0].shape();
        if self.block > 0 || inputs[1].datum_type() != f32::datum_type() {
            return None;
        }
        let inner = match inputs[1].len() {
            1 => shape.iter().product(),
            _ => shape[tensors::axis(self.axis, shape.len()).ok()? + 1..].iter().product(),
        };
        Some(quantize::Layout { inner })
    }

    /// Returns `formula(element, scale, zero point)` for each element.
    fn map(
        &self,
        inputs: &[TValue],
        formula: impl Fn(f64, f64, f64) -> f64,
    ) -> TractResult<Tensor> {
        let shape = inputs[0].shape();
        let values = elements::<f64>(&inputs[0])?;
        let scales = elements::<f64>(&inputs[1])?;
        let (values, scales) = (values.try_as_plain_ram()?, scales.try_as_plain_ram()?);
        let (values, scales) = (values.as_slice::<f64>()?, scales.as_slice::<f64>()?);
        let zeros = match inputs.get(2) {
            Some(zeros) => elements::<f64>(zeros)?.try_as_plain_ram()?.as_slice()?.to_vec(),
            None => vec![0.0; scales.len()],
        };
        let apply = |scale: usize, value: &f64| formula(*value, scales[scale], zeros[scale]);
        if scales.len() == 1 && self.block == 0 {
            return tensor(shape, values.iter().map(|value| apply(0, value)).collect());
        }
        let axis = tensors::axis(self.axis, shape.len())?;
        // The tensor as [outer, axis_len, inner].
        let inner: usize = shape[axis + 1..].iter().product();
        let axis_len = shape[axis];
        let mapped = values.iter().enumerate().map(|(index, value)| {
            let (outer_index, axis_index) = (index / inner / axis_len, index / inner % axis_len);
            match self.block {
                0 => apply(axis_index, value),
                // The scales are [outer, blocks, inner].
                block => {
                    let blocks = axis_len.div_ceil(block);
                    let block_index = outer_index * blocks + axis_index / block;
                    apply(block_index * inner + index % inner, value)
                }
            }
        });
        tensor(shape, mapped.collect())
    }
}
