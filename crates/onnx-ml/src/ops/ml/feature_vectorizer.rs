//! [FeatureVectorizer](https://onnx.ai/onnx/operators/onnx_aionnxml_FeatureVectorizer.html):
//! concatenates the columns of all inputs. The attribute `inputdimensions` gives each input a
//! width; the columns of the input are truncated or padded with zeros to that width.

use crate::operator::adapter::{Built, variadic};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::{elements, tensor};
use serde::{Deserialize, Serialize};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// Maximum number of columns, far more than real models have. Without this limit, a model could use all memory for one
/// row.
const MAX_COLUMNS: usize = 1 << 20;

#[derive(Debug, Deserialize, Serialize)]
pub struct FeatureVectorizer {
    /// Number of output columns for each input.
    widths: Vec<usize>,
    /// Number of output columns: the sum of `widths`.
    columns: usize,
}

/// Builds the operator.
pub fn feature_vectorizer(_: &ParsingContext, node: &NodeProto) -> Built {
    const NAME: &str = "inputdimensions";
    let widths: Vec<usize> = node.get_attr_vec(NAME)?;
    let inputs = node.input.iter().filter(|name| !name.is_empty()).count();
    node.expect(inputs > 0, "at least one input, found none")?;
    node.expect_attr(NAME, widths.len() == inputs, || {
        format!("one width for each of {inputs} inputs, found {}", widths.len())
    })?;
    let columns = widths.iter().try_fold(0, |sum: usize, width| sum.checked_add(*width));
    match columns {
        Some(columns) if columns <= MAX_COLUMNS => {
            variadic(node, FeatureVectorizer { widths, columns })
        }
        _ => {
            let found = columns.map_or("more".to_owned(), |columns| columns.to_string());
            let message = format!("expected at most {MAX_COLUMNS} columns in total, found {found}");
            node.bail_attr(NAME, &message)
        }
    }
}

impl Kernel for FeatureVectorizer {
    const NAME: &'static str = "FeatureVectorizer";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        for input in inputs {
            ensure!(input.is_number(), "expected numbers, found {:?}", input.datum_type);
            ensure!(!input.shape.is_empty(), "expected vectors or matrices, found a scalar");
        }
        let rows = match inputs[0].shape.as_slice() {
            [_] => 1.to_dim(),
            shape => shape[0].clone(),
        };
        Ok(tvec!(Fact::new(f32::datum_type(), [rows, self.columns.to_dim()])))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let (rows, _) = rows_and_columns(&inputs[0]);
        let mut vectors = vec![0.0_f32; rows * self.columns];
        // The first output column of the current input.
        let mut start = 0;
        for (input, width) in inputs.iter().zip(&self.widths) {
            let (found, columns) = rows_and_columns(input);
            ensure!(found == rows, "expected {rows} rows in each input, found {found}");
            let elements = elements::<f32>(input)?;
            let elements = elements.try_as_plain_ram()?;
            let elements = elements.as_slice::<f32>()?.chunks_exact(columns.max(1));
            let copied = columns.min(*width);
            for (row, vector) in elements.zip(vectors.chunks_exact_mut(self.columns.max(1))) {
                vector[start..start + copied].copy_from_slice(&row[..copied]);
            }
            start += width;
        }
        Ok(vec![tensor(&[rows, self.columns], vectors)?])
    }
}

/// Returns the numbers of rows and columns. A vector is a single row. The columns of a tensor of
/// higher rank are the elements of all axes but the first.
fn rows_and_columns(input: &TValue) -> (usize, usize) {
    match input.shape() {
        [columns] => (1, *columns),
        [rows, rest @ ..] => (*rows, rest.iter().product()),
        [] => (1, 1),
    }
}
