//! [CausalConvWithState](https://onnx.ai/onnx/operators/onnx__CausalConvWithState.html): convolves
//! each channel of `[N, C, L]` with its own kernel of `k` weights over the current and earlier
//! elements. The last `k - 1` elements are returned as the state of the next call.

use crate::operator::adapter::{Built, variadic};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, slices, tensor};
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug)]
struct CausalConvWithState {
    /// `true` if the function `x * sigmoid(x)` is applied to the output.
    silu: bool,
    /// Index of the input with the bias.
    bias_input: Option<usize>,
    /// Index of the input with the state of the previous call.
    past_input: Option<usize>,
}

pub fn causal_conv_with_state(_: &ParsingContext, node: &NodeProto) -> Built {
    let silu = match node.get_attr_opt("activation")?.unwrap_or("none") {
        "silu" | "swish" => true,
        "none" => false,
        found => bail!("expected activation silu, swish or none, found {found}"),
    };
    let positions: Vec<Option<usize>> = optional_inputs(node).take(4).collect();
    node.expect(positions[..2].iter().all(Option::is_some), || {
        format!("an input and weights, found inputs {:?}", node.input)
    })?;
    variadic(node, CausalConvWithState { silu, bias_input: positions[2], past_input: positions[3] })
}

impl Kernel for CausalConvWithState {
    const NAME: &'static str = "CausalConvWithState";
    const OUTPUTS: usize = 2;

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let [batch, channels, _] = inputs[0].shape.as_slice() else {
            bail!("expected an input of rank 3, found shape {:?}", inputs[0].shape);
        };
        let size = inputs[1].shape.last().context("expected weights, found a scalar")?;
        ensure!(size.to_usize()? > 0, "expected kernels of at least one weight, found none");
        let state = [batch.clone(), channels.clone(), size.clone() - 1];
        let mut expected = vec![(1, vec![channels.clone(), 1.to_dim(), size.clone()])];
        expected.extend(self.bias_input.map(|bias| (bias, vec![channels.clone()])));
        expected.extend(self.past_input.map(|past| (past, state.to_vec())));
        for (index, shape) in expected {
            let found = &inputs[index].shape;
            ensure!(found[..] == shape, "input {index}: expected shape {shape:?}, found {found:?}");
        }
        let datum_type = inputs[0].datum_type;
        Ok(tvec!(
            Fact::new(datum_type, inputs[0].shape.iter().cloned()),
            Fact::new(datum_type, state)
        ))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let floats = inputs.iter().map(elements::<f32>).collect::<TractResult<Vec<_>>>()?;
        let floats = slices::<f32>(&floats)?;
        let (batch, channels, length) = match inputs[0].shape() {
            [batch, channels, length] => (*batch, *channels, *length),
            shape => bail!("expected an input of rank 3, found shape {shape:?}"),
        };
        let size = inputs[1].shape()[2];
        let before = size - 1;
        let mut output = Vec::with_capacity(batch * channels * length);
        let mut state = Vec::with_capacity(batch * channels * before);
        // The state of the previous call, followed by the elements of a channel.
        let mut extended = vec![0.0; before + length];
        for row in 0..batch * channels {
            let channel = row % channels;
            match self.past_input {
                Some(past) => {
                    extended[..before].copy_from_slice(&floats[past][row * before..][..before])
                }
                None => extended[..before].fill(0.0),
            }
            extended[before..].copy_from_slice(&floats[0][row * length..][..length]);
            let weights = &floats[1][channel * size..][..size];
            let bias = self.bias_input.map_or(0.0, |bias| floats[bias][channel]);
            output.extend(extended.windows(size).map(|window| {
                let products = window.iter().zip(weights).map(|(x, weight)| x * weight);
                let sum = products.sum::<f32>() + bias;
                if self.silu { sum / (1.0 + (-sum).exp()) } else { sum }
            }));
            state.extend_from_slice(&extended[length..]);
        }
        let datum_type = inputs[0].datum_type();
        let output = tensor(inputs[0].shape(), output)?;
        let state = tensor(&[batch, channels, before], state)?;
        Ok(vec![
            output.cast_to_dt(datum_type)?.into_owned(),
            state.cast_to_dt(datum_type)?.into_owned(),
        ])
    }
}
