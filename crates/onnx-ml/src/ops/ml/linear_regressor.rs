//! [LinearRegressor](https://onnx.ai/onnx/operators/onnx_aionnxml_LinearRegressor.html): for each
//! target, a linear function of the input's columns.

use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, matrix, tensor};
use crate::ops::ml::linear::Linear;
use crate::ops::ml::post_transform::PostTransform;
use serde::{Deserialize, Serialize};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Deserialize, Serialize)]
pub struct LinearRegressor {
    linear: Linear,
    post_transform: PostTransform,
}

/// Builds the operator. The number of columns is the number of coefficients divided by the number
/// of targets.
pub fn linear_regressor(_: &ParsingContext, node: &NodeProto) -> Built {
    let targets: i64 = node.get_attr_opt("targets")?.unwrap_or(1);
    let coefficients: Vec<f32> = node.get_attr_vec("coefficients")?;
    let max_targets = coefficients.len();
    let targets =
        usize::try_from(targets).ok().filter(|targets| (1..=max_targets).contains(targets));
    let Some(targets) = targets else {
        let found = node.get_attr_opt::<i64>("targets")?.unwrap_or(1);
        return node.bail_attr(
            "targets",
            &format!(
                "expected 1 to {max_targets} targets (the number of coefficients), found {found}"
            ),
        );
    };
    let mut intercepts: Vec<f32> = node.get_attr_opt_vec("intercepts")?.unwrap_or_default();
    if intercepts.is_empty() {
        intercepts = vec![0.0; targets];
    }
    let found = intercepts.len();
    node.expect_attr("intercepts", found == targets, || {
        format!("{targets} elements, one for each target, found {found}")
    })?;
    let linear = Linear::new(&coefficients, intercepts)?;
    operator(node, 1, LinearRegressor { linear, post_transform: PostTransform::parse(node)? })
}

impl Kernel for LinearRegressor {
    const NAME: &'static str = "LinearRegressor";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let rows = self.linear.rows(&inputs[0])?;
        Ok(tvec!(Fact::new(f32::datum_type(), [rows, self.linear.targets().to_dim()])))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let (rows, _) = matrix(&inputs[0]);
        let input = elements::<f32>(&inputs[0])?;
        let mut values = self.linear.apply(input.try_as_plain_ram()?.as_slice::<f32>()?);
        let targets = self.linear.targets();
        self.post_transform.apply(&mut values, targets);
        Ok(vec![tensor(&[rows, targets], values)?])
    }
}
