//! [NegativeLogLikelihoodLoss](https://onnx.ai/onnx/operators/onnx__NegativeLogLikelihoodLoss.html)
//! and
//! [SoftmaxCrossEntropyLoss](https://onnx.ai/onnx/operators/onnx__SoftmaxCrossEntropyLoss.html).
//! `NegativeLogLikelihoodLoss` takes logarithms of probabilities. `SoftmaxCrossEntropyLoss` takes
//! scores, and first applies a log softmax to the scores.
//!
//! The shape of the scores is `[N, C, D…]` for `C` classes, the shape of the labels `[N, D…]`. An
//! optional input has a weight for each class.

use crate::operator::adapter::{Built, variadic};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, tensor};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

pub fn negative_log_likelihood_loss(_: &ParsingContext, node: &NodeProto) -> Built {
    variadic(node, NegativeLogLikelihoodLoss(Loss::new(node)?))
}

pub fn softmax_cross_entropy_loss(_: &ParsingContext, node: &NodeProto) -> Built {
    variadic(node, SoftmaxCrossEntropyLoss(Loss::new(node)?))
}

#[derive(Debug)]
struct NegativeLogLikelihoodLoss(Loss);

impl Kernel for NegativeLogLikelihoodLoss {
    const NAME: &'static str = "NegativeLogLikelihoodLoss";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        Ok(tvec!(self.0.fact(inputs)?))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let log_probabilities = elements::<f64>(&inputs[0])?;
        let log_probabilities = log_probabilities.try_as_plain_ram()?;
        Ok(vec![self.0.loss(log_probabilities.as_slice()?, inputs)?])
    }
}

#[derive(Debug)]
struct SoftmaxCrossEntropyLoss(Loss);

impl Kernel for SoftmaxCrossEntropyLoss {
    const NAME: &'static str = "SoftmaxCrossEntropyLoss";
    const OUTPUTS: usize = 2;

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let log_probabilities = Fact::new(inputs[0].datum_type, inputs[0].shape.iter().cloned());
        Ok(tvec!(self.0.fact(inputs)?, log_probabilities))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let shape = inputs[0].shape();
        let mut log_probabilities = elements::<f64>(&inputs[0])?.into_owned();
        let inner: usize = shape[2..].iter().product();
        log_softmax(log_probabilities.try_as_plain_ram_mut()?.as_slice_mut()?, shape[1], inner);
        let loss = self.0.loss(log_probabilities.try_as_plain_ram()?.as_slice()?, inputs)?;
        let log_probabilities = log_probabilities.cast_to_dt(inputs[0].datum_type())?.into_owned();
        Ok(vec![loss, log_probabilities])
    }
}

/// The attributes of both operators.
#[derive(Debug)]
struct Loss {
    /// Label of elements that do not contribute to the loss.
    ignored: Option<i64>,
    reduction: Reduction,
    /// `true` if the node has an input with weights.
    weighted: bool,
}

/// How the losses of all labels are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reduction {
    /// One loss for each label.
    None,
    Sum,
    /// The sum divided by the sum of the weights.
    Mean,
}

impl Loss {
    fn new(node: &NodeProto) -> TractResult<Loss> {
        let reduction = match node.get_attr_opt("reduction")?.unwrap_or("mean") {
            "none" => Reduction::None,
            "sum" => Reduction::Sum,
            "mean" => Reduction::Mean,
            found => bail!("expected reduction none, sum or mean, found {found}"),
        };
        let found = node.input.iter().filter(|name| !name.is_empty()).count();
        node.expect(matches!(found, 2 | 3), || format!("2 or 3 inputs, found {found}"))?;
        let ignored = node.get_attr_opt("ignore_index")?;
        Ok(Loss { ignored, reduction, weighted: found == 3 })
    }

    /// Returns type and shape of the loss.
    fn fact(&self, inputs: &[Fact]) -> TractResult<Fact> {
        let (scores, labels) = (&inputs[0], &inputs[1]);
        let [batch, classes, inner @ ..] = scores.shape.as_slice() else {
            bail!("expected scores of rank 2 or more, found shape {:?}", scores.shape);
        };
        let shape: TVec<TDim> = [batch].into_iter().chain(inner).cloned().collect();
        let is_expected = labels.shape == shape;
        ensure!(is_expected, "expected labels of shape {shape:?}, found {:?}", labels.shape);
        if self.weighted {
            let found = &inputs[2].shape;
            let is_expected = found.as_slice() == [classes.clone()];
            ensure!(is_expected, "expected {classes} weights, found weights of shape {found:?}");
        }
        let shape = if self.reduction == Reduction::None { shape } else { tvec!() };
        Ok(Fact::new(scores.datum_type, shape))
    }

    /// Computes the loss from logarithms of probabilities, in the layout of the scores.
    fn loss(&self, log_probabilities: &[f64], inputs: &[TValue]) -> TractResult<Tensor> {
        let classes = inputs[0].shape()[1];
        let inner: usize = inputs[0].shape()[2..].iter().product();
        let labels = elements::<i64>(&inputs[1])?;
        let labels = labels.try_as_plain_ram()?;
        let weights = match inputs.get(2) {
            Some(weights) => elements::<f64>(weights)?.try_as_plain_ram()?.as_slice()?.to_vec(),
            None => vec![1.0; classes],
        };
        let mut total = 0.0;
        let mut losses = Vec::with_capacity(labels.len());
        for (position, label) in labels.as_slice::<i64>()?.iter().enumerate() {
            if Some(*label) == self.ignored {
                losses.push(0.0);
                continue;
            }
            let class = usize::try_from(*label).ok().filter(|class| *class < classes);
            let class = class.with_context(|| {
                format!("expected labels from 0 to {}, found {label}", classes as i64 - 1)
            })?;
            let (row, column) = (position / inner, position % inner);
            total += weights[class];
            losses.push(
                -weights[class] * log_probabilities[(row * classes + class) * inner + column],
            );
        }
        let loss = match self.reduction {
            Reduction::None => tensor(inputs[1].shape(), losses)?,
            Reduction::Sum => tensor0(losses.iter().sum::<f64>()),
            Reduction::Mean => tensor0(losses.iter().sum::<f64>() / total),
        };
        Ok(loss.cast_to_dt(inputs[0].datum_type())?.into_owned())
    }
}

/// Computes the log softmax in place over the middle axis of `[rows, classes, inner]`.
fn log_softmax(scores: &mut [f64], classes: usize, inner: usize) {
    for row in scores.chunks_exact_mut((classes * inner).max(1)) {
        for column in 0..inner {
            let scores = row[column..].iter().step_by(inner);
            let largest = scores.clone().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.map(|score| (score - largest).exp()).sum();
            let shift = largest + sum.ln();
            row[column..].iter_mut().step_by(inner).for_each(|score| *score -= shift);
        }
    }
}
