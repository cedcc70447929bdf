//! Fusion of a category operator (`OneHotEncoder` or `LabelEncoder`) with the preceding operator,
//! which selects columns of a table. The fused operator reads the strings in the table directly, so
//! that no string is copied.

use crate::operator::adapter::{kernel, replace};
use crate::operator::kernel::{Fact, Kernel, Patch};
use crate::ops::ml::array_feature_extractor::ArrayFeatureExtractor;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use tract_onnx::tract_core::ops::array::Gather;
use tract_onnx::tract_hir::internal::*;

/// An operator with one input that maps each element independently of the others.
pub trait PerElement: Kernel {
    /// Returns the output for the elements of `input` that `selection` selects. `shape` is the
    /// shape of the selected elements.
    ///
    /// # Errors
    ///
    /// Returns an error if [`Kernel::eval`] would.
    fn eval_selected(
        &self,
        input: &TValue,
        selection: &Selection,
        shape: &[usize],
    ) -> TractResult<Tensor>;
}

/// The elements of an input that an operator reads.
#[derive(Debug, Deserialize, Serialize)]
pub enum Selection {
    All,
    /// The columns with these indices, in each row of `width` elements.
    Columns {
        width: usize,
        columns: Vec<usize>,
    },
}

impl Selection {
    /// Returns the selected elements of a row-major table.
    pub fn select<'a, T>(&'a self, elements: &'a [T]) -> Box<dyn Iterator<Item = &'a T> + 'a> {
        match self {
            Selection::All => Box::new(elements.iter()),
            Selection::Columns { width, columns } => {
                let rows = elements.chunks_exact(*width);
                match columns[..] {
                    [column] => Box::new(rows.map(move |row| &row[column])),
                    _ => Box::new(rows.flat_map(|row| columns.iter().map(|column| &row[*column]))),
                }
            }
        }
    }
}

impl Selection {
    /// Returns the selected element at `index` as a string.
    ///
    /// # Errors
    ///
    /// Returns an error if the input holds neither strings nor numbers, or if `index` is out of
    /// range.
    pub fn element_as_string(&self, input: &Tensor, index: usize) -> TractResult<String> {
        let input = match input.datum_type() {
            DatumType::String => Cow::Borrowed(input),
            _ => input.cast_to::<String>()?,
        };
        let input = input.try_as_plain_ram()?;
        let mut strings = self.select(input.as_slice::<String>()?);
        let element = strings.nth(index).cloned();
        element.with_context(|| format!("expected an element {index}, found none"))
    }
}

/// Fuses `operator`, the operator of `node`, with the preceding `ArrayFeatureExtractor` or
/// `Gather`, if the preceding operator selects constant columns of a table of strings; see
/// [`Kernel::fuse`].
///
/// # Errors
///
/// Returns an error if the model is invalid.
pub fn fuse<K: PerElement>(operator: &Arc<K>, model: &TypedModel, node: &TypedNode) -> Patch {
    let source = model.node(node.inputs[0].node);
    let selects_columns = kernel::<ArrayFeatureExtractor>(source).is_some()
        || source.op_as::<Gather>().is_some_and(|gather| gather.axis == 1);
    let [table, indices] = model.node_input_facts(source.id)?[..] else { return Ok(None) };
    if !selects_columns || table.datum_type != String::datum_type() || table.rank() != 2 {
        return Ok(None);
    }
    let (Ok(width), Some(indices)) = (table.shape[1].to_usize(), &indices.konst) else {
        return Ok(None);
    };
    let indices = indices.cast_to::<i64>()?;
    let columns = indices.try_as_plain_ram()?.as_slice::<i64>()?.iter();
    let columns: Option<Vec<usize>> = columns
        .map(|column| usize::try_from(*column).ok().filter(|column| *column < width))
        .collect();
    let Some(columns) = columns else { return Ok(None) };
    // A Gather with a scalar index gives a tensor with one axis less.
    let rank = source.outputs[0].fact.rank();
    let selection = Selection::Columns { width, columns };
    let operator = Arc::clone(operator);
    replace(model, source, node, OnSelectedColumns { operator, selection, rank })
}

/// An operator that reads selected columns of its input, a table `[rows, columns]`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(bound(serialize = "K: Serialize", deserialize = "K: Deserialize<'de>"))]
pub struct OnSelectedColumns<K> {
    operator: Arc<K>,
    selection: Selection,
    /// Rank of the selected elements: 2, or 1 if a single column was gathered by a scalar index.
    rank: usize,
}

impl<K: PerElement> OnSelectedColumns<K> {
    /// Returns the shape of the selected elements of a table with `rows` rows.
    fn shape<D: DimLike>(&self, rows: D) -> TVec<D> {
        let count = match &self.selection {
            Selection::All => 1,
            Selection::Columns { columns, .. } => columns.len(),
        };
        std::iter::once(rows).chain([D::from(count)]).take(self.rank).collect()
    }
}

impl<K: PerElement> Kernel for OnSelectedColumns<K> {
    const NAME: &'static str = K::NAME;

    fn may_reject(&self) -> bool {
        self.operator.may_reject()
    }

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let shape = self.shape(inputs[0].shape[0].clone());
        self.operator.outputs(&[Fact::new(inputs[0].datum_type, shape)])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let shape = self.shape(inputs[0].shape()[0]);
        Ok(vec![self.operator.eval_selected(&inputs[0], &self.selection, &shape)?])
    }
}
