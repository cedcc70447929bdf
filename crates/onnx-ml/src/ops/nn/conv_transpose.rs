//! [ConvTranspose](https://onnx.ai/onnx/operators/onnx__ConvTranspose.html): tract's operator, with
//! the padding computed here if the node has `output_shape` or `auto_pad`.

use crate::operator::adapter::Built;
use crate::operator::lowering::{Io, Lowering, Wiring, lower};
use crate::operator::tract_operators;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto};
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Clone)]
struct ConvTranspose {
    node: NodeProto,
    groups: usize,
    /// Requested spatial dimensions of the output. With `None`, a dimension is the input's dimension times the stride,
    /// minus the elements that no window reaches (see `lacking`).
    output: Option<Vec<i64>>,
    /// If the padding is odd, the extra element is at the end (`true`, `SAME_UPPER`) or at the
    /// start (`false`).
    upper: bool,
}

pub fn conv_transpose(context: &ParsingContext, node: &NodeProto) -> Built {
    let auto_pad = node.get_attr_opt("auto_pad")?.unwrap_or("NOTSET");
    let output: Option<Vec<i64>> = node.get_attr_opt_vec("output_shape")?;
    if output.is_none() && !matches!(auto_pad, "SAME_UPPER" | "SAME_LOWER") {
        return tract_operators::operator("ConvTranspose", context, node);
    }
    let groups = node.get_attr_opt("group")?.unwrap_or(1);
    let upper = auto_pad == "SAME_UPPER";
    lower(ConvTranspose { node: node.clone(), groups, output, upper })
}

impl ConvTranspose {
    /// Returns an attribute that has a number for each spatial axis.
    fn numbers(&self, name: &str, axes: usize, default: i64) -> TractResult<Vec<i64>> {
        let numbers = self.node.get_attr_opt_vec(name)?.unwrap_or_else(|| vec![default; axes]);
        let found = numbers.len();
        self.node.expect_attr(name, found == axes, || format!("{axes} elements, found {found}"))?;
        Ok(numbers)
    }

    /// Returns the spatial dimensions of the output. `input` and `kernel` are the spatial
    /// dimensions of input and kernel.
    fn lengths(&self, input: &[TDim], kernel: &[TDim]) -> TractResult<Vec<TDim>> {
        let axes = input.len();
        Ok(match &self.output {
            Some(lengths) => {
                // Some exporters include the batch and channel dimensions.
                let skipped = lengths.len().saturating_sub(axes);
                let found = lengths.len();
                ensure!(
                    found == axes || skipped == 2,
                    "expected an output_shape of {axes} lengths, found {found}"
                );
                lengths[skipped..].iter().map(|length| length.to_dim()).collect()
            }
            None => {
                let strides = self.numbers("strides", axes, 1)?;
                let added = self.numbers("output_padding", axes, 0)?;
                // If the kernel is shorter than the stride, the last window does not reach the last elements of the
                // output. The output ends before these elements, as in ONNX Runtime.
                let lengths = (0..axes).map(|axis| {
                    let last = self.extent(axis, kernel)? + added[axis];
                    let lacking = (strides[axis] - last).max(0);
                    Ok(input[axis].clone() * strides[axis] - lacking)
                });
                lengths.collect::<TractResult<_>>()?
            }
        })
    }

    /// Returns the extent of the dilated kernel along an axis.
    fn extent(&self, axis: usize, kernel: &[TDim]) -> TractResult<i64> {
        let dilation = self.numbers("dilations", kernel.len(), 1)?[axis];
        Ok((kernel[axis].to_i64()? - 1) * dilation + 1)
    }

    /// Returns the node with explicit padding, such that the output has the requested dimensions.
    /// If the output is too short even without padding, `output_padding` is increased.
    fn padded(&self, input: &[TDim], kernel: &[TDim]) -> TractResult<NodeProto> {
        let axes = input.len();
        let strides = self.numbers("strides", axes, 1)?;
        let mut added = self.numbers("output_padding", axes, 0)?;
        let mut pads = vec![0; 2 * axes];
        for (axis, length) in self.lengths(input, kernel)?.into_iter().enumerate() {
            // The length without padding minus the requested length is the padding on both sides.
            let last = (input[axis].clone() - 1) * strides[axis];
            let total = last + self.extent(axis, kernel)? + added[axis] - length;
            let total =
                total.to_i64().context("expected known spatial dimensions, found symbols")?;
            added[axis] -= total.min(0);
            let (less, more) = (total.max(0) / 2, total.max(0) - total.max(0) / 2);
            (pads[axis], pads[axis + axes]) = if self.upper { (less, more) } else { (more, less) };
        }
        let mut node = self.node.clone();
        let replaced = ["auto_pad", "output_shape", "output_padding", "pads"];
        node.attribute.retain(|attribute| !replaced.contains(&attribute.name.as_str()));
        for (name, ints) in [("pads", pads), ("output_padding", added)] {
            let r#type = AttributeType::Ints.into();
            let name = name.to_owned();
            node.attribute.push(AttributeProto { name, r#type, ints, ..AttributeProto::default() });
        }
        Ok(node)
    }
}

impl Lowering for ConvTranspose {
    fn name(&self) -> StaticName {
        "ConvTranspose".into()
    }

    fn rules<'r>(&'r self, solver: &mut Solver<'r>, [inputs, outputs]: Io<'r>) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        solver.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        solver.equals(&inputs[0].rank, &inputs[1].rank)?;
        solver.given_2(&inputs[0].shape, &inputs[1].shape, move |solver, input, weights| {
            ensure!(input.len() > 2, "expected an input of rank 3 or more, found shape {input:?}");
            let mut shape = tvec![input[0].clone(), weights[1].clone() * self.groups];
            shape.extend(self.lengths(&input[2..], &weights[2..])?);
            solver.equals(&outputs[0].shape, shape)
        })
    }

    fn wire(
        &self,
        Wiring { prefix, model }: Wiring,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let shapes = [inputs[0], inputs[1]]
            .map(|input| TractResult::Ok(model.outlet_fact(input)?.shape.to_tvec()));
        let [input, weights] = shapes;
        let node = self.padded(&input?[2..], &weights?[2..])?;
        tract_operators::expansion_alone("ConvTranspose", &node)?.wire(prefix, model, inputs)
    }
}
