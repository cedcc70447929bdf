//! [Pad](https://onnx.ai/onnx/operators/onnx__Pad.html): supports what tract's operator
//! lacks: negative pads (which crop), the mode `wrap`, a constant given as a vector, and booleans.

use crate::operator::adapter::Built;
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use crate::operator::tensors;
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::array::{Pad as Filled, PadMode, Slice, TypedConcat};
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Clone)]
struct Pad {
    mode: Mode,
    /// Pads before all axes, then after all axes, from the attribute of opsets before 11.
    pads: Option<Vec<i64>>,
    /// Index of the input with the value for constant padding.
    constant: Option<usize>,
    /// Index of the input with the axes; `None` means all axes.
    axes: Option<usize>,
}

/// The values of the added elements.
#[derive(Debug, Clone)]
enum Mode {
    /// A mode of tract.
    Filled(PadMode),
    /// Repeats the tensor periodically.
    Wrap,
}

pub fn pad(context: &ParsingContext, node: &NodeProto) -> Built {
    let value: f32 = node.get_attr_opt("value")?.unwrap_or(0.0);
    let mode = match node.get_attr_opt("mode")?.unwrap_or("constant") {
        "constant" => Mode::Filled(PadMode::Constant(rctensor0(value))),
        "reflect" => Mode::Filled(PadMode::Reflect),
        "edge" => Mode::Filled(PadMode::Edge),
        "wrap" => Mode::Wrap,
        found => bail!("expected mode constant, reflect, edge or wrap, found {found}"),
    };
    if context.onnx_operator_set_version < 11 {
        let pads = Some(node.get_attr_vec("pads")?);
        return lower(Pad { mode, pads, constant: None, axes: None });
    }
    let inputs: Vec<Option<usize>> = optional_inputs(node).take(4).collect();
    node.expect(inputs[..2].iter().all(Option::is_some), || {
        format!("data and pads, found inputs {:?}", node.input)
    })?;
    lower(Pad { mode, pads: None, constant: inputs[2], axes: inputs[3] })
}

impl Pad {
    /// Returns the number of elements to add before and after each axis. A negative number removes
    /// elements. `constant` returns the value of the input with the given index, if it is a
    /// constant.
    fn sides<'a>(
        &self,
        rank: usize,
        constant: impl Fn(usize) -> Option<&'a Tensor>,
    ) -> TractResult<Vec<(i64, i64)>> {
        let integers = |input: usize| -> TractResult<Vec<i64>> {
            let tensor = constant(input)
                .context("expected constant pads and axes, found computed values")?;
            Ok(tensor.cast_to::<i64>()?.try_as_plain_ram()?.as_slice::<i64>()?.to_vec())
        };
        let pads = match &self.pads {
            Some(pads) => pads.clone(),
            None => integers(1)?,
        };
        let axes = match self.axes {
            Some(axes) => {
                integers(axes)?.into_iter().map(|axis| tensors::axis(axis, rank)).collect()
            }
            None => Ok((0..rank).collect()),
        };
        let axes: Vec<usize> = axes?;
        let most = i64::from(i32::MAX);
        ensure!(
            pads.iter().all(|pad| (-most..=most).contains(pad)),
            "expected pads from -{most} to {most}, found {pads:?}"
        );
        let (expected, found) = (2 * axes.len(), pads.len());
        ensure!(expected == found, "expected {expected} pads, found {found}");
        let mut sides = vec![(0, 0); rank];
        let (before, after) = pads.split_at(axes.len());
        for (axis, pads) in axes.into_iter().zip(before.iter().zip(after)) {
            sides[axis] = (*pads.0, *pads.1);
        }
        Ok(sides)
    }
}

impl Lowering for Pad {
    fn name(&self) -> StaticName {
        "Pad".into()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].rank, &outputs[0].rank)?;
        // Indices of the inputs whose values determine the output's shape.
        let values = if self.pads.is_some() { vec![] } else { vec![Some(1), self.axes] };
        let values: Vec<usize> = values.into_iter().flatten().collect();
        let proxies: Vec<_> = values.iter().map(|input| &inputs[*input].value).collect();
        solver.given(&inputs[0].rank, move |solver, rank| {
            let values = values.clone();
            solver.given_all(proxies.clone(), move |solver, tensors| {
                let constant = |input: usize| {
                    let position = values.iter().position(|value| *value == input)?;
                    Some(&*tensors[position])
                };
                for (axis, (before, after)) in
                    self.sides(rank as usize, constant)?.iter().enumerate()
                {
                    let length = inputs[0].shape[axis].bex() + before.to_dim() + after.to_dim();
                    solver.equals(&outputs[0].shape[axis], length)?;
                }
                Ok(())
            })
        })
    }

    fn wire(
        &self,
        Wiring { prefix, model }: Wiring,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let constants = inputs.iter().map(|input| Ok(model.outlet_fact(*input)?.konst.clone()));
        let constants = constants.collect::<TractResult<Vec<_>>>()?;
        let rank = model.outlet_fact(inputs[0])?.rank();
        let sides = self.sides(rank, |input| constants.get(input)?.as_deref())?;
        let mut wire = inputs[0];
        for (axis, (before, after)) in sides.iter().enumerate() {
            let (before, after) = ((-before).max(0), (-after).max(0));
            if before > 0 || after > 0 {
                let end = model.outlet_fact(wire)?.shape[axis].clone() - after;
                let name = format!("{prefix}.cut.{axis}");
                wire = model.wire_node(name, Slice::new(axis, before, end), &[wire])?[0];
            }
        }
        let fill = sides.iter().map(|(before, after)| {
            TractResult::Ok((usize::try_from(*before.max(&0))?, usize::try_from(*after.max(&0))?))
        });
        let fill = fill.collect::<TractResult<Vec<(usize, usize)>>>()?;
        let mode = match (&self.mode, self.constant) {
            (Mode::Wrap, _) => return wrap(prefix, model, wire, &fill),
            (Mode::Filled(PadMode::Constant(_)), Some(constant)) => {
                let value = constants[constant]
                    .as_ref()
                    .context("expected a constant value, found a computed value")?;
                ensure!(
                    value.len() == 1,
                    "expected a value of one element, found shape {:?}",
                    value.shape()
                );
                PadMode::Constant(value.nth(0)?.into_arc_tensor())
            }
            (Mode::Filled(mode), _) => mode.clone(),
        };
        if mode == PadMode::Reflect {
            for ((before, after), length) in fill.iter().zip(&*model.outlet_fact(wire)?.shape) {
                let longest = *before.max(after) as i64;
                let is_long_enough =
                    longest == 0 || length.as_i64().is_none_or(|length| longest < length);
                ensure!(
                    is_long_enough,
                    "expected more than {longest} elements to reflect, found {length}"
                );
            }
        }
        let lengths = model.outlet_fact(wire)?.shape.iter().zip(&fill);
        let shape: Vec<TDim> =
            lengths.map(|(length, fill)| length.clone() + fill.0 + fill.1).collect();
        tensors::check_size(&shape)?;
        if model.outlet_fact(wire)?.datum_type != bool::datum_type() {
            return model.wire_node(prefix, Filled { mode, pads: fill }, &[wire]);
        }
        let mode = match mode {
            PadMode::Constant(value) => {
                PadMode::Constant(value.cast_to::<u8>()?.into_owned().into_arc_tensor())
            }
            mode => mode,
        };
        let bytes = model.wire_node(format!("{prefix}.bytes"), cast(u8::datum_type()), &[wire])?;
        let filled = Filled { mode, pads: fill };
        let filled = model.wire_node(format!("{prefix}.filled"), filled, &bytes)?;
        model.wire_node(prefix, cast(bool::datum_type()), &filled)
    }
}

/// Repeats the elements of each axis periodically on both sides.
fn wrap(
    prefix: &str,
    model: &mut TypedModel,
    outlet: OutletId,
    fill: &[(usize, usize)],
) -> TractResult<TVec<OutletId>> {
    let mut wire = outlet;
    for (axis, (before, after)) in fill.iter().enumerate().filter(|(_, fill)| **fill != (0, 0)) {
        let shape = &model.outlet_fact(wire)?.shape;
        let length = shape[axis].to_usize().with_context(|| {
            format!("expected a known length of axis {axis} to repeat, found {}", shape[axis])
        })?;
        tensors::check_size(&[(length + before + after).to_dim()])?;
        ensure!(length > 0, "expected elements to repeat, found none");
        let mut part = |name: &str, from: usize, to: usize| {
            let name = format!("{prefix}.{name}.{axis}");
            TractResult::Ok(model.wire_node(name, Slice::new(axis, from, to), &[wire])?[0])
        };
        let mut parts: TVec<OutletId> = tvec![];
        if before % length > 0 {
            parts.push(part("before", length - before % length, length)?);
        }
        parts.extend(std::iter::repeat_n(wire, before / length + 1 + after / length));
        if after % length > 0 {
            parts.push(part("after", 0, after % length)?);
        }
        wire = model.wire_node(format!("{prefix}.wrap.{axis}"), TypedConcat { axis }, &parts)?[0];
    }
    Ok(tvec![wire])
}
