//! Category operators fused with the operator that selects their columns from a table. They look
//! texts up in the table itself, so that no text is copied.

use crate::operator::kernel::{Fact, Kernel, Patch, kernel, replace};
use crate::ops::ml::array_feature_extractor::ArrayFeatureExtractor;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use tract_onnx::tract_core::ops::array::Gather;
use tract_onnx::tract_hir::internal::*;

/// An operator that maps each element of its only input independently.
pub trait PerElement: Kernel {
    /// Returns the output for the elements that `columns` selects, with shape `shape`.
    ///
    /// # Errors
    ///
    /// Returns an error if [`Kernel::eval`] would.
    fn of(&self, input: &TValue, columns: &Columns, shape: &[usize]) -> TractResult<Tensor>;
}

/// Selection of elements of an input.
#[derive(Debug, Deserialize, Serialize)]
pub enum Columns {
    All,
    /// The given columns of each row of `width` elements.
    Some {
        width: usize,
        columns: Vec<usize>,
    },
}

impl Columns {
    pub fn of<'a, T>(&'a self, elements: &'a [T]) -> Box<dyn Iterator<Item = &'a T> + 'a> {
        match self {
            Columns::All => Box::new(elements.iter()),
            Columns::Some { width, columns } => {
                let rows = elements.chunks_exact(*width);
                match columns[..] {
                    [column] => Box::new(rows.map(move |row| &row[column])),
                    _ => Box::new(rows.flat_map(|row| columns.iter().map(|column| &row[*column]))),
                }
            }
        }
    }
}

impl Columns {
    /// Returns the `index`-th selected element as text.
    ///
    /// # Errors
    ///
    /// Returns an error if the input holds neither text nor numbers.
    pub fn text(&self, input: &Tensor, index: usize) -> TractResult<String> {
        let input = match input.datum_type() {
            DatumType::String => Cow::Borrowed(input),
            _ => input.cast_to::<String>()?,
        };
        let input = input.try_as_plain_ram()?;
        let mut texts = self.of(input.as_slice::<String>()?);
        texts.nth(index).cloned().context("expected an element")
    }
}

/// Fuses an operator on text with the operator before it that selects columns; see
/// [`Kernel::fuse`].
///
/// # Errors
///
/// Returns an error if the model is invalid.
pub fn fuse<K: PerElement>(operator: &Arc<K>, model: &TypedModel, node: &TypedNode) -> Patch {
    let source = model.node(node.inputs[0].node);
    let extracts = kernel::<ArrayFeatureExtractor>(source).is_some()
        || source.op_as::<Gather>().is_some_and(|gather| gather.axis == 1);
    let [table, indices] = model.node_input_facts(source.id)?[..] else { return Ok(None) };
    if !extracts || table.datum_type != String::datum_type() || table.rank() != 2 {
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
    let columns = Columns::Some { width, columns };
    replace(model, source, node, OfColumns { operator: Arc::clone(operator), columns, rank })
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(bound(serialize = "K: Serialize", deserialize = "K: Deserialize<'de>"))]
pub struct OfColumns<K> {
    operator: Arc<K>,
    columns: Columns,
    /// Rank of the selected columns.
    rank: usize,
}

impl<K: PerElement> OfColumns<K> {
    fn shape<D: DimLike>(&self, rows: D) -> TVec<D> {
        let count = match &self.columns {
            Columns::All => 1,
            Columns::Some { columns, .. } => columns.len(),
        };
        std::iter::once(rows).chain([D::from(count)]).take(self.rank).collect()
    }
}

impl<K: PerElement> Kernel for OfColumns<K> {
    const NAME: &'static str = K::NAME;

    fn may_refuse(&self) -> bool {
        self.operator.may_refuse()
    }

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let shape = self.shape(inputs[0].shape[0].clone());
        self.operator.outputs(&[Fact::new(inputs[0].datum_type, shape)])
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let shape = self.shape(inputs[0].shape()[0]);
        Ok(vec![self.operator.of(&inputs[0], &self.columns, &shape)?])
    }
}
