//! [OneHotEncoder](https://onnx.ai/onnx/operators/onnx_aionnxml_OneHotEncoder.html): replaces each
//! element by one column per category, 1 for its own category and 0 elsewhere.

use crate::operator::invalid_value::{Expected, InvalidValue};
use crate::operator::kernel::{Built, Fact, Kernel, Patch, operator, tensor};
use crate::ops::ml::columns::{self, Columns, PerElement};
use crate::ops::ml::lookup::{Lookup, positions};
use serde::{Deserialize, Serialize};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Deserialize, Serialize)]
pub struct OneHotEncoder {
    categories: Lookup,
    /// Number of columns, at least 1. A category that is listed twice has two columns.
    count: usize,
    /// Encodes an unknown category as zeros; otherwise it is an error.
    zeros: bool,
}

pub fn one_hot_encoder(_: &ParsingContext, node: &NodeProto) -> Built {
    let ints: Vec<i64> = node.get_attr_opt_vec("cats_int64s")?.unwrap_or_default();
    let strings: Vec<String> = node.get_attr_opt_vec("cats_strings")?.unwrap_or_default();
    let zeros: i64 = node.get_attr_opt("zeros")?.unwrap_or(1);
    let count = ints.len() + strings.len();
    let categories = match (ints.is_empty(), strings.is_empty()) {
        (false, true) => Lookup::ints(positions(ints).collect()),
        (true, false) => Lookup::Strings(positions(strings).collect()),
        (none, _) => {
            let found = if none { "none" } else { "both" };
            return node.bail(&format!("expected cats_int64s or cats_strings, found {found}"));
        }
    };
    operator(node, 1, OneHotEncoder { categories, count, zeros: zeros != 0 })
}

impl Kernel for OneHotEncoder {
    const NAME: &'static str = "OneHotEncoder";

    fn may_refuse(&self) -> bool {
        true
    }

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let found = inputs[0].datum_type;
        match self.categories {
            Lookup::Strings(_) => {
                ensure!(found == DatumType::String, "expected strings, found {found:?}");
            }
            _ => ensure!(inputs[0].is_number(), "expected numbers, found {found:?}"),
        }
        let count = [self.count.to_dim()];
        Ok(tvec!(Fact::new(f32::datum_type(), inputs[0].shape.iter().cloned().chain(count))))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        Ok(vec![self.of(&inputs[0], &Columns::All, inputs[0].shape())?])
    }

    fn fuse(self: &Arc<Self>, model: &TypedModel, node: &TypedNode) -> Patch {
        columns::fuse(self, model, node)
    }
}

impl PerElement for OneHotEncoder {
    fn of(&self, input: &TValue, columns_of: &Columns, shape: &[usize]) -> TractResult<Tensor> {
        let positions = self.categories.positions(input, columns_of)?;
        let len = positions.len().checked_mul(self.count).context("expected a smaller input")?;
        let mut encoded = vec![0.0_f32; len];
        let columns = encoded.chunks_exact_mut(self.count);
        for (element, (columns, position)) in columns.zip(&positions).enumerate() {
            match position.and_then(|position| columns.get_mut(position)) {
                Some(column) => *column = 1.0,
                None if self.zeros => (),
                None => {
                    let expected = Expected::OneOf(self.categories.names());
                    let found = columns_of.text(input, element)?;
                    return Err(InvalidValue { expected, found }.into());
                }
            }
        }
        let mut shape: TVec<usize> = shape.into();
        shape.push(self.count);
        tensor(&shape, encoded)
    }
}
