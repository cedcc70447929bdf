//! [OneHotEncoder](https://onnx.ai/onnx/operators/onnx_aionnxml_OneHotEncoder.html): replaces each
//! element by one column per category. The column of the element's category is 1, the others are 0.

use crate::operator::adapter::{Built, operator};
use crate::operator::invalid_value::{Expected, InvalidValue};
use crate::operator::kernel::{Fact, Kernel, Patch};
use crate::operator::tensors::tensor;
use crate::ops::ml::columns::{self, PerElement, Selection};
use crate::ops::ml::lookup::{Lookup, positions};
use serde::{Deserialize, Serialize};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Deserialize, Serialize)]
pub struct OneHotEncoder {
    /// Maps a category to its column.
    categories: Lookup,
    /// Number of columns, at least 1. A category that is listed twice has two columns. Only the second of these columns
    /// is set.
    column_count: usize,
    /// `true` if an unknown category is encoded as zeros, `false` if it is an error.
    zeros: bool,
}

/// Builds the operator.
pub fn one_hot_encoder(_: &ParsingContext, node: &NodeProto) -> Built {
    let ints: Vec<i64> = node.get_attr_opt_vec("cats_int64s")?.unwrap_or_default();
    let strings: Vec<String> = node.get_attr_opt_vec("cats_strings")?.unwrap_or_default();
    let zeros: i64 = node.get_attr_opt("zeros")?.unwrap_or(1);
    let column_count = ints.len() + strings.len();
    let categories = match (ints.is_empty(), strings.is_empty()) {
        (false, true) => Lookup::ints(positions(ints).collect()),
        (true, false) => Lookup::Strings(positions(strings).collect()),
        (neither, _) => {
            let found = if neither { "neither" } else { "both" };
            let message = format!("expected either cats_int64s or cats_strings, found {found}");
            return node.bail(&message);
        }
    };
    operator(node, 1, OneHotEncoder { categories, column_count, zeros: zeros != 0 })
}

impl Kernel for OneHotEncoder {
    const NAME: &'static str = "OneHotEncoder";

    fn may_reject(&self) -> bool {
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
        let columns = [self.column_count.to_dim()];
        Ok(tvec!(Fact::new(f32::datum_type(), inputs[0].shape.iter().cloned().chain(columns))))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        Ok(vec![self.eval_selected(&inputs[0], &Selection::All, inputs[0].shape())?])
    }

    fn fuse(self: &Arc<Self>, model: &TypedModel, node: &TypedNode) -> Patch {
        columns::fuse(self, model, node)
    }
}

impl PerElement for OneHotEncoder {
    fn eval_selected(
        &self,
        input: &TValue,
        selection: &Selection,
        shape: &[usize],
    ) -> TractResult<Tensor> {
        let positions = self.categories.positions(input, selection)?;
        let len = positions.len().checked_mul(self.column_count);
        let len = len.with_context(|| {
            format!(
                "expected at most {} output elements, found {} inputs of {} columns each",
                usize::MAX,
                positions.len(),
                self.column_count
            )
        })?;
        let mut encoded = vec![0.0_f32; len];
        let columns = encoded.chunks_exact_mut(self.column_count);
        for (element, (columns, position)) in columns.zip(&positions).enumerate() {
            match position.and_then(|position| columns.get_mut(position)) {
                Some(column) => *column = 1.0,
                None if self.zeros => (),
                None => {
                    let expected = Expected::OneOf(self.categories.keys());
                    let found = selection.element_as_string(input, element)?;
                    return Err(InvalidValue { expected, found }.into());
                }
            }
        }
        let mut shape: TVec<usize> = shape.into();
        shape.push(self.column_count);
        tensor(&shape, encoded)
    }
}
