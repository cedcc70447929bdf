//! Labels of a classifier's classes: integers or strings, listed in `classlabels_*` attributes.

use crate::operator::tensors::tensor;
use serde::{Deserialize, Serialize};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// Labels of the classes, at least one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub enum Labels {
    Int64(Vec<i64>),
    String(Vec<String>),
}

impl Labels {
    /// Reads the labels of `node` from the attribute named `ints` or the attribute named `strings`.
    ///
    /// # Errors
    ///
    /// Returns an error if both attributes contain labels, or if neither attribute contains labels.
    pub fn parse(node: &NodeProto, ints: &str, strings: &str) -> TractResult<Labels> {
        let integers: Vec<i64> = node.get_attr_opt_vec(ints)?.unwrap_or_default();
        let names: Vec<String> = node.get_attr_opt_vec(strings)?.unwrap_or_default();
        match (integers.is_empty(), names.is_empty()) {
            (false, true) => Ok(Labels::Int64(integers)),
            (true, false) => Ok(Labels::String(names)),
            (neither, _) => {
                let found = if neither { "neither" } else { "both" };
                node.bail(&format!("expected labels in either {ints} or {strings}, found {found}"))
            }
        }
    }

    pub fn datum_type(&self) -> DatumType {
        match self {
            Labels::Int64(_) => i64::datum_type(),
            Labels::String(_) => String::datum_type(),
        }
    }

    /// Returns the number of classes.
    pub fn len(&self) -> usize {
        match self {
            Labels::Int64(labels) => labels.len(),
            Labels::String(labels) => labels.len(),
        }
    }

    /// Returns the label of each class index in `classes` as a tensor of shape `[classes.len()]`.
    ///
    /// # Errors
    ///
    /// Returns an error if a class index is out of range.
    pub fn tensor(&self, classes: &[usize]) -> TractResult<Tensor> {
        match self {
            Labels::Int64(labels) => select(labels, classes),
            Labels::String(labels) => select(labels, classes),
        }
    }
}

/// Returns the label of each class index.
fn select<T: Datum>(labels: &[T], classes: &[usize]) -> TractResult<Tensor> {
    let greatest = classes.iter().copied().max().unwrap_or(0);
    let count = labels.len();
    ensure!(greatest < count, "expected class indices below {count}, found {greatest}");
    let selected = classes.iter().map(|class| labels[*class].clone()).collect();
    tensor(&[classes.len()], selected)
}
