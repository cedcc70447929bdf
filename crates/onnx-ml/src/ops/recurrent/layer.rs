//! [LSTM](https://onnx.ai/onnx/operators/onnx__LSTM.html),
//! [GRU](https://onnx.ai/onnx/operators/onnx__GRU.html) and
//! [RNN](https://onnx.ai/onnx/operators/onnx__RNN.html), in every direction, for batches and
//! sequences of any length.
//!
//! The inputs of several steps, as many as fit the cache, go through one matrix product. Each step
//! then multiplies the hidden state by the recurrent weights and runs a [`Cell`]. A large batch
//! goes through the sequence in blocks of rows. All computation is in `f32`.

use super::activation::Activation;
use super::cell::{Cell, Direction};
use super::gru::Gru;
use super::lstm::Lstm;
use super::rnn::Rnn;
use super::sequence::{BLOCK, Sequence};
use super::weights::Weights;
use crate::operator::kernel::{Built, Fact, Kernel, elements, tensor, variadic};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

pub fn gru(_: &ParsingContext, node: &NodeProto) -> Built {
    let linear_before_reset = node.get_attr_opt::<i64>("linear_before_reset")?.unwrap_or(0) != 0;
    recurrent(node, Gru { linear_before_reset })
}

pub fn lstm(_: &ParsingContext, node: &NodeProto) -> Built {
    let input_forget = node.get_attr_opt::<i64>("input_forget")?.unwrap_or(0) != 0;
    recurrent(node, Lstm { input_forget })
}

pub fn rnn(_: &ParsingContext, node: &NodeProto) -> Built {
    recurrent(node, Rnn)
}

/// Indices of the optional inputs among the inputs that are present.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
struct Positions {
    bias: Option<usize>,
    lengths: Option<usize>,
    hidden: Option<usize>,
    cell: Option<usize>,
    peepholes: Option<usize>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Recurrent<C> {
    cell: C,
    directions: Vec<Direction>,
    batch_first: bool,
    hidden_size: Option<usize>,
    positions: Positions,
    /// Returns `Y`, the hidden states of all steps, too.
    all_steps: bool,
    /// Packed weights, if the weight inputs are constants.
    weights: Option<Arc<Vec<Weights>>>,
}

fn recurrent<C: Cell>(node: &NodeProto, cell: C) -> Built {
    let mut inputs = optional_inputs(node);
    let weights_given = [0, 1, 2].map(|index| inputs.next().flatten() == Some(index));
    node.expect(weights_given == [true; 3], || "inputs X, W and R".to_owned())?;
    let mut next = || inputs.next().flatten();
    let positions = Positions {
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
        positions,
        all_steps: node.output.first().is_some_and(|name| !name.is_empty()),
        weights: None,
    };
    variadic(node, kernel)
}

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
        format!("{expected} activations, found {}", names.len())
    })?;
    let clip: Option<f32> = node.get_attr_opt("clip")?.filter(|clip| *clip != 0.0);
    let positive = clip.is_none_or(|clip| clip > 0.0);
    node.expect_attr("clip", positive, || format!("a positive number, found {clip:?}"))?;
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
        let hidden = match inputs[2].shape.last().map(TDim::to_usize) {
            Some(Ok(hidden)) if hidden > 0 => hidden,
            _ => bail!("expected R with a known size, found shape {:?}", inputs[2].shape),
        };
        let named = self.hidden_size.is_none_or(|size| size == hidden);
        ensure!(named, "expected R for {:?} units, found {hidden}", self.hidden_size);
        self.check(inputs, columns, hidden)?;
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
        let value = |index: usize| inputs[index].value.as_deref();
        let optional = |position: Option<usize>| match position {
            Some(index) => value(index).map(Some),
            None => Some(None),
        };
        let (Some(w), Some(r), Some(b), Some(p)) =
            (value(1), value(2), optional(self.positions.bias), optional(self.positions.peepholes))
        else {
            return Ok(None);
        };
        let weights = Some(Arc::new(self.of_directions(w, r, b, p)?));
        Ok(Some(Recurrent { weights, ..self.clone() }))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let weights = match &self.weights {
            Some(weights) => Arc::clone(weights),
            None => {
                let optional = |position: Option<usize>| position.map(|index| &*inputs[index]);
                let (b, p) = (optional(self.positions.bias), optional(self.positions.peepholes));
                Arc::new(self.of_directions(&inputs[1], &inputs[2], b, p)?)
            }
        };
        self.run(inputs, &weights)
    }
}

impl<C: Cell> Recurrent<C> {
    fn check(&self, inputs: &[Fact], columns: &TDim, hidden: usize) -> TractResult<()> {
        let directions = self.directions.len();
        let gates = C::GATES * hidden;
        let expect = |name: &str, index: Option<usize>, shape: &[TDim]| {
            let Some(index) = index else { return Ok(()) };
            let fact = &inputs[index];
            let number = fact.datum_type.is_float();
            ensure!(number, "expected {name} of floats, found {:?}", fact.datum_type);
            let same =
                |(a, b): (&TDim, &TDim)| a == b || a.to_usize().is_err() || b.to_usize().is_err();
            let fits = fact.shape.len() == shape.len() && fact.shape.iter().zip(shape).all(same);
            ensure!(fits, "expected {name} of shape {shape:?}, found {:?}", fact.shape);
            Ok(())
        };
        let dims = |dims: &[usize]| dims.iter().map(|dim| dim.to_dim()).collect::<TVec<TDim>>();
        let mut shape = dims(&[directions, gates]);
        shape.push(columns.clone());
        expect("W", Some(1), &shape)?;
        expect("R", Some(2), &dims(&[directions, gates, hidden]))?;
        expect("B", self.positions.bias, &dims(&[directions, 2 * gates]))?;
        expect("P", self.positions.peepholes, &dims(&[directions, 3 * hidden]))
    }

    fn of_directions(
        &self,
        w: &Tensor,
        r: &Tensor,
        b: Option<&Tensor>,
        p: Option<&Tensor>,
    ) -> TractResult<Vec<Weights>> {
        let separates_bias = self.cell.separates_bias();
        Weights::of_directions(C::PRODUCTS, separates_bias, self.directions.len(), w, r, b, p)
    }

    fn run(&self, inputs: &[TValue], weights: &[Weights]) -> TractResult<Vec<Tensor>> {
        let x = by_step(&inputs[0], self.batch_first)?;
        let [time, batch, columns] = *x.shape() else { bail!("expected X of rank 3") };
        let expected = weights.first().map_or(0, |weights| weights.input.columns());
        ensure!(columns == expected, "expected X of {expected} columns, found {columns}");
        let x = x.try_as_plain_ram()?;
        let x = x.as_slice::<f32>()?;
        let hidden_size = inputs[2].shape()[2];
        let directions = self.directions.len();
        let lengths = self.lengths(inputs, time, batch)?;
        let mut states = [
            self.state(inputs, self.positions.hidden, batch, hidden_size)?,
            self.state(inputs, self.positions.cell, batch, hidden_size)?,
        ];
        let y_rows = if self.all_steps { time * directions * batch } else { 0 };
        let mut y = vec![0.0; y_rows * hidden_size];
        for (index, (direction, weights)) in self.directions.iter().zip(weights).enumerate() {
            let sequence = Sequence {
                cell: &self.cell,
                direction,
                weights,
                x,
                time,
                batch,
                hidden_size,
                lengths: lengths.as_deref(),
            };
            for start in (0..batch).step_by(BLOCK) {
                let rows = start..batch.min(start + BLOCK);
                let range = (index * batch + rows.start) * hidden_size
                    ..(index * batch + rows.end) * hidden_size;
                let [hidden, cell] = &mut states;
                let (hidden, cell) = (&mut hidden[range.clone()], &mut cell[range]);
                sequence.run(rows.clone(), hidden, cell, |step, rows_of_step| {
                    if self.all_steps {
                        let row = (step * directions + index) * batch + rows.start;
                        y[row * hidden_size..][..rows_of_step.len()].copy_from_slice(rows_of_step);
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

    fn lengths(
        &self,
        inputs: &[TValue],
        time: usize,
        batch: usize,
    ) -> TractResult<Option<Vec<usize>>> {
        let Some(index) = self.positions.lengths else { return Ok(None) };
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

    /// Returns an initial state `[directions, batch, hidden_size]`; zeros if the input is absent.
    fn state(
        &self,
        inputs: &[TValue],
        position: Option<usize>,
        batch: usize,
        hidden_size: usize,
    ) -> TractResult<Vec<f32>> {
        let expected = [self.directions.len(), batch, hidden_size];
        let Some(index) = position else { return Ok(vec![0.0; expected.iter().product()]) };
        let rank = inputs[index].rank();
        ensure!(rank == 3, "expected an initial state of rank 3, found {rank}");
        let state = by_step(&inputs[index], self.batch_first)?;
        let found = state.shape();
        ensure!(
            found == expected,
            "expected an initial state for [directions, batch, units] {expected:?}, found \
             {found:?}"
        );
        Ok(state.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
    }
}

/// Returns the input as `f32` with time as the first axis.
fn by_step(value: &TValue, batch_first: bool) -> TractResult<Cow<'_, Tensor>> {
    let value = value.cast_to::<f32>()?;
    if batch_first {
        return Ok(Cow::Owned(value.into_owned().permute_axes(&[1, 0, 2])?));
    }
    Ok(value)
}
