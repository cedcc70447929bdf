//! [QuantizeLinear](https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html) and
//! [DequantizeLinear](https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html): add blocked
//! scales, half-precision and computed scales, and 16-bit integers to tract's operators.

use crate::operator::kernel::{self, Built, Fact, Kernel, elements, tensor};
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use crate::operator::tract_operators;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

pub fn quantize_linear(context: &ParsingContext, node: &NodeProto) -> Built {
    linear(context, node, Direction::Quantize)
}

pub fn dequantize_linear(context: &ParsingContext, node: &NodeProto) -> Built {
    linear(context, node, Direction::Dequantize)
}

fn linear(context: &ParsingContext, node: &NodeProto, direction: Direction) -> Built {
    let found = node.input.iter().filter(|name| !name.is_empty()).count();
    node.expect(matches!(found, 2 | 3), || format!("2 or 3 inputs, found {found}"))?;
    let block = node.get_attr_opt("block_size")?.unwrap_or(0);
    let output = match node.get_attr_opt::<i64>("output_dtype")? {
        Some(0) | None => None,
        Some(_) => Some(node.get_attr("output_dtype")?),
    };
    let mut plain = node.clone();
    plain.input.retain(|name| !name.is_empty());
    let linear = Linear {
        plain: match block {
            0 => Some(tract_operators::expansion(&node.op_type, context, &plain)?),
            _ => None,
        },
        layout: Layout { axis: node.get_attr_opt("axis")?.unwrap_or(1), block },
        direction,
        output,
        zero_point: found == 3,
    };
    lower(linear)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Quantize,
    Dequantize,
}

#[derive(Debug, Clone)]
struct Linear {
    /// tract's operator, for scales that are not blocked.
    plain: Option<Box<dyn Expansion>>,
    layout: Layout,
    direction: Direction,
    output: Option<DatumType>,
    zero_point: bool,
}

impl Linear {
    fn is_plain(&self, model: &TypedModel, inputs: &[OutletId]) -> TractResult<bool> {
        use DatumType::{F32, I8, I32, U8};
        let types: Vec<DatumType> = inputs
            .iter()
            .map(|input| Ok(model.outlet_fact(*input)?.datum_type))
            .collect::<TractResult<_>>()?;
        let parameters =
            inputs[1..].iter().map(|input| Ok(model.outlet_fact(*input)?.konst.is_some()));
        let constant = parameters.collect::<TractResult<Vec<bool>>>()?.into_iter().all(|is| is);
        let known = match self.direction {
            Direction::Quantize => {
                types[0] == F32 && types.get(2).is_none_or(|zero| matches!(zero, U8 | I8))
            }
            Direction::Dequantize => matches!(types[0], U8 | I8 | I32),
        };
        Ok(constant && known && types[1] == F32 && self.output.is_none())
    }
}

impl Lowering for Linear {
    fn name(&self) -> StaticName {
        match self.direction {
            Direction::Quantize => "QuantizeLinear".into(),
            Direction::Dequantize => "DequantizeLinear".into(),
        }
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        check_input_arity(inputs, 2 + usize::from(self.zero_point))?;
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
        match &self.plain {
            Some(plain) if self.is_plain(model, inputs)? => {
                return plain.wire(prefix, model, inputs);
            }
            _ => (),
        }
        let default = match (self.direction, inputs.get(2)) {
            (Direction::Quantize, Some(zero)) => model.outlet_fact(*zero)?.datum_type,
            (Direction::Quantize, None) => u8::datum_type(),
            (Direction::Dequantize, _) => model.outlet_fact(inputs[1])?.datum_type,
        };
        let output = self.output.unwrap_or(default);
        let layout = self.layout;
        match self.direction {
            Direction::Quantize => {
                kernel::wire(prefix, model, Quantize { layout, output }, inputs, 1)
            }
            Direction::Dequantize => {
                kernel::wire(prefix, model, Dequantize { layout, output }, inputs, 1)
            }
        }
    }
}

#[derive(Debug)]
struct Quantize {
    layout: Layout,
    output: DatumType,
}

impl Kernel for Quantize {
    const NAME: &'static str = "QuantizeLinear";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let integer = self.output.is_integer() && self.output.size_of() <= 4;
        ensure!(integer, "expected integers of at most 32 bits, found {:?}", self.output);
        self.layout.check(inputs)?;
        Ok(tvec!(Fact::new(self.output, inputs[0].shape.iter().cloned())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let lowest = self.output.min_value().cast_to_scalar::<f64>()?;
        let highest = self.output.max_value().cast_to_scalar::<f64>()?;
        let quantized = self.layout.map(inputs, |value, scale, zero| {
            let rounded = f64::from((value as f32 / scale as f32).round_ties_even());
            (rounded + zero).clamp(lowest, highest)
        })?;
        Ok(vec![quantized.cast_to_dt(self.output)?.into_owned()])
    }
}

#[derive(Debug)]
struct Dequantize {
    layout: Layout,
    output: DatumType,
}

impl Kernel for Dequantize {
    const NAME: &'static str = "DequantizeLinear";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        ensure!(self.output.is_float(), "expected floats, found {:?}", self.output);
        self.layout.check(inputs)?;
        Ok(tvec!(Fact::new(self.output, inputs[0].shape.iter().cloned())))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let floats = self.layout.map(inputs, |value, scale, zero| (value - zero) * scale)?;
        Ok(vec![floats.cast_to_dt(self.output)?.into_owned()])
    }
}

/// Assignment of scales to elements: one for the tensor, one per index of an axis, or one per block
/// of indices.
#[derive(Debug, Clone, Copy)]
struct Layout {
    axis: i64,
    block: usize,
}

impl Layout {
    fn check(&self, inputs: &[Fact]) -> TractResult<()> {
        let (shape, scales) = (&inputs[0].shape, &inputs[1].shape);
        let fits = if self.block > 0 {
            let mut blocks = shape.clone();
            let axis = kernel::axis(self.axis, shape.len())?;
            blocks[axis] = blocks[axis].clone().divceil(self.block);
            *scales == blocks
        } else if scales.iter().product::<TDim>() == 1.to_dim() {
            true
        } else {
            scales[..] == [shape[kernel::axis(self.axis, shape.len())?].clone()]
        };
        ensure!(fits, "expected scales for shape {shape:?}, found {scales:?}");
        if let Some(zero) = inputs.get(2) {
            let same = zero.shape.iter().product::<TDim>() == scales.iter().product::<TDim>();
            ensure!(same, "expected as many zero points as scales, found {:?}", zero.shape);
        }
        Ok(())
    }

    /// Applies `map` to each element with its scale and zero point.
    fn map(&self, inputs: &[TValue], map: impl Fn(f64, f64, f64) -> f64) -> TractResult<Tensor> {
        let shape = inputs[0].shape();
        let values = elements::<f64>(&inputs[0])?;
        let scales = elements::<f64>(&inputs[1])?;
        let (values, scales) = (values.try_as_plain_ram()?, scales.try_as_plain_ram()?);
        let (values, scales) = (values.as_slice::<f64>()?, scales.as_slice::<f64>()?);
        let zeros = match inputs.get(2) {
            Some(zeros) => elements::<f64>(zeros)?.try_as_plain_ram()?.as_slice()?.to_vec(),
            None => vec![0.0; scales.len()],
        };
        let at = |scale: usize, value: &f64| map(*value, scales[scale], zeros[scale]);
        if scales.len() == 1 && self.block == 0 {
            return tensor(shape, values.iter().map(|value| at(0, value)).collect());
        }
        let axis = kernel::axis(self.axis, shape.len())?;
        let inner: usize = shape[axis + 1..].iter().product();
        let length = shape[axis];
        let mapped = values.iter().enumerate().map(|(index, value)| {
            let (line, step) = (index / inner / length, index / inner % length);
            match self.block {
                0 => at(step, value),
                block => {
                    let blocks = length.div_ceil(block);
                    at((line * blocks + step / block) * inner + index % inner, value)
                }
            }
        });
        tensor(shape, mapped.collect())
    }
}
