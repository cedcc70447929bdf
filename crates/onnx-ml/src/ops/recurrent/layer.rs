//! [LSTM](https://onnx.ai/onnx/operators/onnx__LSTM.html),
//! [GRU](https://onnx.ai/onnx/operators/onnx__GRU.html) and
//! [RNN](https://onnx.ai/onnx/operators/onnx__RNN.html), in every direction, for batches and
//! sequences of any length. [`quantized`](super::quantized) describes DynamicQuantizeLSTM.
//!
//! A step of a recurrent layer computes the gates: the inputs multiplied by the input weights, plus the hidden state
//! multiplied by the recurrent weights, plus biases. A [`Cell`] then computes the new hidden state from the gates. The
//! products with the input weights do not depend on the hidden state. So these products are computed at once for as
//! many steps as fit in the cache. A large batch is split into blocks of rows, and each block goes through the whole
//! sequence before the next block. All computation is in `f32`.

use super::activation::Activation;
use super::cell::{Cell, Direction};
use super::gru::Gru;
use super::lstm::Lstm;
use super::quantized::QuantizedInputs;
use super::rnn::Rnn;
use super::sequence::{BLOCK, Sequence};
use super::weights::Weights;
use crate::operator::adapter::{Built, variadic};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, tensor};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// Builds GRU.
pub fn gru(_: &ParsingContext, node: &NodeProto) -> Built {
    let linear_before_reset = node.get_attr_opt::<i64>("linear_before_reset")?.unwrap_or(0) != 0;
    build(node, Gru { linear_before_reset }, None)
}

/// Builds LSTM.
pub fn lstm(_: &ParsingContext, node: &NodeProto) -> Built {
    let input_forget = node.get_attr_opt::<i64>("input_forget")?.unwrap_or(0) != 0;
    build(node, Lstm { input_forget }, None)
}

/// Builds DynamicQuantizeLSTM.
pub fn dynamic_quantize_lstm(_: &ParsingContext, node: &NodeProto) -> Built {
    let input_forget = node.get_attr_opt::<i64>("input_forget")?.unwrap_or(0) != 0;
    let inputs: Vec<Option<usize>> = optional_inputs(node).take(12).collect();
    let index = |position: usize| inputs.get(position).copied().flatten();
    let quantized = |integers: usize, scales: usize| -> TractResult<QuantizedInputs> {
        let zeros = index(scales + 1);
        let scales = index(scales).context("expected scales of the weights, found none")?;
        Ok(QuantizedInputs { integers, scales, zeros })
    };
    let quantized = [quantized(1, 8)?, quantized(2, 10)?];
    build(node, Lstm { input_forget }, Some(quantized))
}

/// Builds RNN.
pub fn rnn(_: &ParsingContext, node: &NodeProto) -> Built {
    build(node, Rnn, None)
}

/// Indices of the optional inputs. tract does not count inputs that the node omits.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
struct OptionalInputs {
    bias: Option<usize>,
    /// Lengths of the sequences.
    lengths: Option<usize>,
    /// Initial hidden state.
    hidden: Option<usize>,
    /// Initial cell state.
    cell: Option<usize>,
    peepholes: Option<usize>,
}

/// A recurrent layer. The inputs are `X` (the sequences), `W` (input weights), `R` (recurrent weights) and the optional
/// inputs. If `W` and `R` are quantized, their shapes are described at [`QuantizedInputs`].
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Recurrent<C> {
    cell: C,
    directions: Vec<Direction>,
    /// `true` if the batch is the first axis of `X`, `false` if the batch is the second axis.
    batch_first: bool,
    /// Size of the hidden state, if the node declares it.
    hidden_size: Option<usize>,
    optional_inputs: OptionalInputs,
    /// `W` and `R` if they are quantized.
    quantized: Option<[QuantizedInputs; 2]>,
    /// `true` if the node has the output `Y`, the hidden states of all steps.
    all_steps: bool,
    /// Packed weights, if the weight inputs are constants.
    weights: Option<Arc<Vec<Weights>>>,
}

/// Builds the layer with the given cell.
fn build<C: Cell>(node: &NodeProto, cell: C, quantized: Option<[QuantizedInputs; 2]>) -> Built {
    let mut inputs = optional_inputs(node);
    for (index, name) in ["X", "W", "R"].into_iter().enumerate() {
        let is_present = inputs.next().flatten() == Some(index);
        node.expect(is_present, || format!("an input {name}, found none"))?;
    }
    let mut next = || inputs.next().flatten();
    let optional_inputs = OptionalInputs {
        bias: next(),
        lengths: next(),
        hidden: next(),
        cell: next(),
        peepholes: next(),
    };
    let hidden_size = node.get_attr_opt::<i64>("hidden_size")?;
    let kernel = Recurrent {
        directions: directions(node, C::ACTIVATIONS)?,
        cell,
        batch_first: node.get_attr_opt::<i64>("layout")?.unwrap_or(0) != 0,
        hidden_size: hidden_size.map(usize::try_from).transpose()?,
        optional_inputs,
        quantized,
        all_steps: node.output.first().is_some_and(|name| !name.is_empty()),
        weights: None,
    };
    variadic(node, kernel)
}

/// Reads the directions of `node`. `defaults` are the default activation functions of one
/// direction.
fn directions(node: &NodeProto, defaults: &[&str]) -> TractResult<Vec<Direction>> {
    let reversed: &[bool] = match node.get_attr_opt::<&str>("direction")?.unwrap_or("forward") {
        "forward" => &[false],
        "reverse" => &[true],
        "bidirectional" => &[false, true],
        other => node.bail_attr(
            "direction",
            &format!("expected forward, reverse or bidirectional, found {other}"),
        )?,
    };
    let names: Vec<&str> =
        node.get_attr_opt_vec("activations")?.unwrap_or_else(|| defaults.repeat(reversed.len()));
    let expected = reversed.len() * defaults.len();
    node.expect_attr("activations", names.len() == expected, || {
        format!("{expected} activation functions, found {}", names.len())
    })?;
    let clip: Option<f32> = node.get_attr_opt("clip")?.filter(|clip| *clip != 0.0);
    if let Some(clip) = clip.filter(|clip| *clip <= 0.0 || clip.is_nan()) {
        return node.bail_attr("clip", &format!("expected a positive number, found {clip}"));
    }
    let mut alphas = node.get_attr_opt_vec("activation_alpha")?.unwrap_or_default().into_iter();
    let mut betas = node.get_attr_opt_vec("activation_beta")?.unwrap_or_default().into_iter();
    names
        .chunks(defaults.len())
        .zip(reversed)
        .map(|(names, reversed)| {
            let activations = names
                .iter()
                .map(|name| Activation::new(name, &mut alphas, &mut betas))
                .collect::<TractResult<_>>()?;
            Ok(Direction { reversed: *reversed, activations, clip })
        })
        .collect()
}

impl<C: Cell> Kernel for Recurrent<C> {
    const NAME: &'static str = C::NAME;
    const OUTPUTS: usize = 3;

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let datum_type = inputs[0].datum_type;
        ensure!(datum_type.is_float(), "expected floats, found {datum_type:?}");
        let [time, batch, columns] = &*inputs[0].shape else {
            bail!("expected X of rank 3, found shape {:?}", inputs[0].shape);
        };
        let (time, batch) = if self.batch_first { (batch, time) } else { (time, batch) };
        let hidden_axis = if self.quantized.is_some() { 1 } else { 2 };
        let hidden = match inputs[2].shape.get(hidden_axis).map(TDim::to_usize) {
            Some(Ok(hidden)) if hidden > 0 => hidden,
            _ => bail!(
                "expected R with a known hidden size above 0, found shape {:?}",
                inputs[2].shape
            ),
        };
        if let Some(expected) = self.hidden_size.filter(|size| *size != hidden) {
            bail!("expected R for a hidden size of {expected}, found {hidden}");
        }
        self.check_shapes(inputs, columns, hidden)?;
        let directions = self.directions.len().to_dim();
        let (time, batch, hidden) = (time.clone(), batch.clone(), hidden.to_dim());
        let [y, state]: [TVec<TDim>; 2] = if self.batch_first {
            [
                tvec!(batch.clone(), time, directions.clone(), hidden.clone()),
                tvec!(batch, directions, hidden),
            ]
        } else {
            [
                tvec!(time, directions.clone(), batch.clone(), hidden.clone()),
                tvec!(directions, batch, hidden),
            ]
        };
        let shapes = [y, state.clone(), state];
        Ok(shapes.into_iter().map(|shape| Fact::new(datum_type, shape)).collect())
    }

    fn prepared(&self, inputs: &[Fact]) -> TractResult<Option<Self>> {
        if self.weights.is_some() {
            return Ok(None);
        }
        let values: Vec<Option<&Tensor>> =
            inputs.iter().map(|input| input.value.as_deref()).collect();
        if self.weight_inputs().any(|index| values[index].is_none()) {
            return Ok(None);
        }
        let weights = Some(Arc::new(self.pack_weights(&values)?));
        Ok(Some(Recurrent { weights, ..self.clone() }))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let weights = match &self.weights {
            Some(weights) => Arc::clone(weights),
            None => {
                let values: Vec<Option<&Tensor>> =
                    inputs.iter().map(|input| Some(&**input)).collect();
                Arc::new(self.pack_weights(&values)?)
            }
        };
        self.run(inputs, &weights)
    }
}

impl<C: Cell> Recurrent<C> {
    /// Returns an error if the shape of an input of weights does not match.
    fn check_shapes(&self, inputs: &[Fact], columns: &TDim, hidden: usize) -> TractResult<()> {
        let directions = self.directions.len();
        let gates = C::GATES * hidden;
        let expect = |name: &str, index: Option<usize>, shape: &[TDim]| {
            let Some(index) = index else { return Ok(()) };
            let fact = &inputs[index];
            let found = fact.datum_type;
            if self.quantized.is_some() && index < 3 {
                let is_byte = [i8::datum_type(), u8::datum_type()].contains(&found);
                ensure!(is_byte, "expected 8-bit integers as {name}, found {found:?}");
            } else {
                ensure!(found.is_float(), "expected floats as {name}, found {found:?}");
            }
            // A symbol may have any value.
            let may_be_equal =
                |(a, b): (&TDim, &TDim)| a == b || a.to_usize().is_err() || b.to_usize().is_err();
            let matches =
                fact.shape.len() == shape.len() && fact.shape.iter().zip(shape).all(may_be_equal);
            ensure!(matches, "expected {name} of shape {shape:?}, found {:?}", fact.shape);
            Ok(())
        };
        let dims = |dims: &[usize]| dims.iter().map(|dim| dim.to_dim()).collect::<TVec<TDim>>();
        let matrix = |columns: TDim| match self.quantized {
            None => [directions.to_dim(), gates.to_dim(), columns],
            Some(_) => [directions.to_dim(), columns, gates.to_dim()],
        };
        expect("W", Some(1), &matrix(columns.clone()))?;
        expect("R", Some(2), &matrix(hidden.to_dim()))?;
        expect("B", self.optional_inputs.bias, &dims(&[directions, 2 * gates]))?;
        expect("P", self.optional_inputs.peepholes, &dims(&[directions, 3 * hidden]))
    }

    /// Returns the indices of the inputs that are weights.
    fn weight_inputs(&self) -> impl Iterator<Item = usize> {
        let OptionalInputs { bias, peepholes, .. } = self.optional_inputs;
        let quantized = self.quantized.iter().flatten();
        let quantized = quantized.flat_map(|matrix| [Some(matrix.scales), matrix.zeros]);
        [Some(1), Some(2), bias, peepholes].into_iter().chain(quantized).flatten()
    }

    /// Packs the weights of each direction. `inputs` has the values of the weights.
    fn pack_weights(&self, inputs: &[Option<&Tensor>]) -> TractResult<Vec<Weights>> {
        let optional = |position: Option<usize>| position.and_then(|index| inputs[index]);
        let (b, p) =
            (optional(self.optional_inputs.bias), optional(self.optional_inputs.peepholes));
        let separates_bias = self.cell.separates_bias();
        let pack = |w: &Tensor, r: &Tensor| {
            Weights::pack(C::PRODUCTS, separates_bias, self.directions.len(), w, r, b, p)
        };
        let Some([w, r]) = &self.quantized else {
            let (w, r) = (inputs[1].context("expected W")?, inputs[2].context("expected R")?);
            return pack(w, r);
        };
        let ((w, w_scales), (r, r_scales)) = (w.unpack(inputs)?, r.unpack(inputs)?);
        pack(&w, &r)?
            .into_iter()
            .enumerate()
            .map(|(direction, weights)| weights.quantized(direction, &w_scales, &r_scales))
            .collect()
    }

    /// Computes the outputs `Y` (hidden states of all steps), `Y_h` (last hidden state) and `Y_c` (last cell state). In
    /// the buffers, the time axis is before the batch axis. If `batch_first` is `true`, the outputs are transposed.
    fn run(&self, inputs: &[TValue], weights: &[Weights]) -> TractResult<Vec<Tensor>> {
        let x = time_first(&inputs[0], self.batch_first)?;
        let [time, batch, columns] = *x.shape() else {
            bail!("expected X of rank 3, found shape {:?}", x.shape());
        };
        let is_quantized = self.quantized.is_some();
        let expected = weights.first().map_or(0, |weights| weights.input.columns());
        ensure!(columns == expected, "expected X of {expected} columns, found {columns}");
        let x = x.try_as_plain_ram()?;
        let x = x.as_slice::<f32>()?;
        let hidden_size = weights.first().map_or(0, |weights| weights.bias.len() / C::GATES);
        let directions = self.directions.len();
        let lengths = self.lengths(inputs, time, batch)?;
        // The steps after the longest sequence have no effect, except on the scale of quantized inputs.
        let longest = lengths.as_ref().and_then(|lengths| lengths.iter().copied().max());
        // Hidden state and cell state, `[directions, batch, hidden_size]`.
        let mut states = [
            self.state(inputs, self.optional_inputs.hidden, batch, hidden_size)?,
            self.state(inputs, self.optional_inputs.cell, batch, hidden_size)?,
        ];
        // `Y`, `[time, directions, batch, hidden_size]`.
        let y_rows = if self.all_steps { time * directions * batch } else { 0 };
        let mut y = vec![0.0; y_rows * hidden_size];
        for (index, (direction, weights)) in self.directions.iter().zip(weights).enumerate() {
            let sequence = Sequence {
                cell: &self.cell,
                direction,
                weights,
                x,
                time: longest.unwrap_or(time),
                batch,
                hidden_size,
                lengths: lengths.as_deref(),
            };
            let block = if is_quantized { batch.max(1) } else { BLOCK };
            for start in (0..batch).step_by(block) {
                let rows = start..batch.min(start + block);
                let range = (index * batch + rows.start) * hidden_size
                    ..(index * batch + rows.end) * hidden_size;
                let [hidden, cell] = &mut states;
                let (hidden, cell) = (&mut hidden[range.clone()], &mut cell[range]);
                sequence.run(rows.clone(), hidden, cell, |step, step_hidden| {
                    if self.all_steps {
                        let row = (step * directions + index) * batch + rows.start;
                        y[row * hidden_size..][..step_hidden.len()].copy_from_slice(step_hidden);
                    }
                });
            }
        }
        let [hidden, cell] = states;
        let y =
            tensor(&[if self.all_steps { time } else { 0 }, directions, batch, hidden_size], y)?;
        let state = [directions, batch, hidden_size];
        let outputs = [y, tensor(&state, hidden)?, tensor(&state, cell)?];
        outputs
            .into_iter()
            .map(|output| {
                let output = match (self.batch_first, output.rank()) {
                    (false, _) => output,
                    (true, 4) => output.permute_axes(&[2, 0, 1, 3])?,
                    (true, _) => output.permute_axes(&[1, 0, 2])?,
                };
                Ok(output.cast_to_dt(inputs[0].datum_type())?.into_owned())
            })
            .collect()
    }

    /// Returns the length of each sequence, or `None` if all sequences have `time` steps.
    fn lengths(
        &self,
        inputs: &[TValue],
        time: usize,
        batch: usize,
    ) -> TractResult<Option<Vec<usize>>> {
        let Some(index) = self.optional_inputs.lengths else { return Ok(None) };
        let lengths = elements::<i64>(&inputs[index])?;
        let lengths = lengths.try_as_plain_ram()?;
        let lengths = lengths.as_slice::<i64>()?;
        let found = lengths.len();
        ensure!(found == batch, "expected {batch} lengths of sequences, found {found}");
        let lengths = lengths
            .iter()
            .map(|length| {
                usize::try_from(*length).ok().filter(|length| *length <= time).with_context(|| {
                    format!("expected lengths of sequences from 0 to {time}, found {length}")
                })
            })
            .collect::<TractResult<Vec<usize>>>()?;
        Ok(Some(lengths).filter(|lengths| lengths.iter().any(|length| *length < time)))
    }

    /// Returns the initial state in the input at `index`, as `[directions, batch, hidden_size]`.
    /// Returns zeros if `index` is `None`.
    fn state(
        &self,
        inputs: &[TValue],
        index: Option<usize>,
        batch: usize,
        hidden_size: usize,
    ) -> TractResult<Vec<f32>> {
        let expected = [self.directions.len(), batch, hidden_size];
        let Some(index) = index else { return Ok(vec![0.0; expected.iter().product()]) };
        let rank = inputs[index].rank();
        ensure!(rank == 3, "expected an initial state of rank 3, found {rank}");
        let state = time_first(&inputs[index], self.batch_first)?;
        let found = state.shape();
        ensure!(
            found == expected,
            "expected an initial state of shape [directions, batch, hidden size] {expected:?}, \
             found {found:?}"
        );
        Ok(state.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
    }
}

/// Returns an input as `f32`, with the time axis first. The first two axes are swapped if `batch_first` is `true`.
fn time_first(value: &TValue, batch_first: bool) -> TractResult<Cow<'_, Tensor>> {
    let value = value.cast_to::<f32>()?;
    if batch_first {
        return Ok(Cow::Owned(value.into_owned().permute_axes(&[1, 0, 2])?));
    }
    Ok(value)
}
