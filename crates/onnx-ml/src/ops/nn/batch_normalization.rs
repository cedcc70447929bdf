//! [BatchNormalization](https://onnx.ai/onnx/operators/onnx__BatchNormalization.html): supports the
//! training mode, which tract's operator lacks. In this mode, the operator normalizes with the mean
//! and the variance of the batch, and also returns the running mean and variance, updated with
//! `momentum`.

use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, slices, tensor};
use crate::operator::tract_operators;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug)]
struct BatchNormalization {
    epsilon: f64,
    momentum: f64,
}

pub fn batch_normalization(context: &ParsingContext, node: &NodeProto) -> Built {
    if node.get_attr_opt::<i64>("training_mode")?.unwrap_or(0) == 0 {
        return tract_operators::operator("BatchNormalization", context, node);
    }
    let float = |name: &str| -> TractResult<Option<f64>> {
        Ok(node.get_attr_opt::<f32>(name)?.map(f64::from))
    };
    let epsilon = float("epsilon")?.unwrap_or(1e-5);
    operator(node, 5, BatchNormalization { epsilon, momentum: float("momentum")?.unwrap_or(0.9) })
}

impl Kernel for BatchNormalization {
    const NAME: &'static str = "BatchNormalization";
    const OUTPUTS: usize = 3;

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let channels = inputs[0].shape.get(1).with_context(|| {
            format!("expected an input with an axis of channels, found shape {:?}", inputs[0].shape)
        })?;
        for fact in &inputs[1..] {
            let is_expected = fact.shape[..] == [channels.clone()];
            ensure!(
                is_expected,
                "expected parameters of {channels} elements, found shape {:?}",
                fact.shape
            );
        }
        // Returns the fact of an output with the type of input `like` and the shape `shape`.
        let fact =
            |like: usize, shape: &Fact| Fact::new(inputs[like].datum_type, shape.shape.clone());
        Ok(tvec!(fact(0, &inputs[0]), fact(3, &inputs[3]), fact(4, &inputs[4])))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let shape = inputs[0].shape();
        let channels = shape[1];
        let inner: usize = shape[2..].iter().product();
        let mut output = elements::<f64>(&inputs[0])?.into_owned();
        let mut output_plain = output.try_as_plain_ram_mut()?;
        let values = output_plain.as_slice_mut::<f64>()?;
        let parameters =
            inputs[1..].iter().map(elements::<f64>).collect::<TractResult<Vec<_>>>()?;
        let parameters = slices::<f64>(&parameters)?;
        let [scale, bias, mean, variance] = parameters[..] else {
            bail!("expected four parameters, found {}", parameters.len());
        };
        let count = (shape[0] * inner) as f64;
        let (mut means, mut variances) = (vec![], vec![]);
        for channel in 0..channels {
            let lines = || (0..shape[0]).map(|row| (row * channels + channel) * inner);
            let elements = || lines().flat_map(|start| &values[start..start + inner]);
            let batch_mean = elements().sum::<f64>() / count;
            let batch_variance = elements().map(|x| (x - batch_mean).powi(2)).sum::<f64>() / count;
            let slope = scale[channel] / (batch_variance + self.epsilon).sqrt();
            for start in lines().collect::<Vec<_>>() {
                for value in &mut values[start..start + inner] {
                    *value = (*value - batch_mean) * slope + bias[channel];
                }
            }
            let blend = |old: f64, new: f64| old * self.momentum + new * (1.0 - self.momentum);
            means.push(blend(mean[channel], batch_mean));
            variances.push(blend(variance[channel], batch_variance));
        }
        let cast = |tensor: Tensor, like: usize| -> TractResult<Tensor> {
            Ok(tensor.cast_to_dt(inputs[like].datum_type())?.into_owned())
        };
        Ok(vec![
            cast(output, 0)?,
            cast(tensor(&[channels], means)?, 3)?,
            cast(tensor(&[channels], variances)?, 4)?,
        ])
    }
}
