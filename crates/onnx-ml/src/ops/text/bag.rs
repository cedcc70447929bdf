//! A bag of words is a row with one column per n-gram. A column is zero unless its n-gram occurs in
//! the string.
//!
//! A row has as many columns as the vocabulary has n-grams, and almost all of them are zero. The
//! operators after a TfIdfVectorizer, up to the weights of a linear model, therefore process only
//! the columns that are not zero.

use crate::encoding::fields::optional_tensor;
use crate::operator::kernel::Fact;
use crate::operator::tensors::elements;
use crate::ops::ml::normalizer::Normalizer;
use crate::ops::text::ngrams::Ngrams;
use crate::ops::text::tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tract_onnx::tract_hir::internal::*;

/// The steps that turn each row of the input into a bag of words. A row is a string, or a sequence
/// of words.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Bag {
    /// Splits a string into words. `None` if the rows are sequences of words.
    pub tokenizer: Option<Arc<Tokenizer>>,
    pub ngrams: Arc<Ngrams>,
    /// Factor of each column, such as the inverse document frequency; `[1, columns]`.
    #[serde(with = "optional_tensor")]
    pub factors: Option<Arc<Tensor>>,
    pub normalizer: Option<Normalizer>,
}

impl Bag {
    /// Checks the input's type and shape, and returns its number of rows. Returns `None` if the
    /// input is a single sequence of words without an axis of rows.
    ///
    /// # Errors
    ///
    /// Returns an error if the words have a different type than the words of the n-grams, or if the
    /// input is neither a vector nor a matrix.
    pub fn rows(&self, input: &Fact) -> TractResult<Option<TDim>> {
        let found = input.datum_type;
        let is_text = found == String::datum_type();
        let expected = if self.ngrams.is_text() { "strings" } else { "integers" };
        let matches =
            is_text == self.ngrams.is_text() && (is_text || found.is_integer() || found.is_tdim());
        ensure!(matches, "expected {expected}, as in the pool, found {found:?}");
        match (&self.tokenizer, input.shape.as_slice()) {
            (Some(_), [rows]) | (None, [rows, _]) => Ok(Some(rows.clone())),
            (None, [_]) => Ok(None),
            (_, shape) => bail!("expected a vector or a matrix, found shape {shape:?}"),
        }
    }

    /// Calls `each` for each row, with the columns that are not zero, in ascending order, and the
    /// values in these columns.
    ///
    /// # Errors
    ///
    /// Returns an error if [`Bag::rows`] rejects the input.
    pub fn for_each(&self, input: &TValue, each: impl FnMut(&[u32], &[f32])) -> TractResult<()> {
        let mut writer = RowWriter::new(self, each)?;
        let mut words = vec![];
        if let Some(tokenizer) = &self.tokenizer {
            let texts = input.try_as_plain_ram()?;
            let mut tokens = vec![];
            for text in texts.as_slice::<String>()? {
                tokens.clear();
                words.clear();
                tokenizer.tokenize(text, &mut tokens);
                words.extend(tokens.iter().map(|token| self.ngrams.word(token)));
                writer.write(&words);
            }
            return Ok(());
        }
        if self.ngrams.is_text() {
            let texts = input.try_as_plain_ram()?;
            words.extend(texts.as_slice::<String>()?.iter().map(|text| self.ngrams.word(text)));
        } else {
            let numbers = elements::<i64>(input)?;
            let numbers = numbers.try_as_plain_ram()?;
            words.extend(numbers.as_slice::<i64>()?.iter().map(|x| self.ngrams.integer_word(*x)));
        }
        let (rows, width) = match input.shape() {
            [rows, width] => (*rows, *width),
            _ => (1, words.len()),
        };
        (0..rows).for_each(|row| writer.write(&words[row * width..][..width]));
        Ok(())
    }

    /// Returns the rows as a tensor with all columns.
    ///
    /// # Errors
    ///
    /// Returns an error if [`Bag::for_each`] returns an error.
    pub fn dense(&self, input: &TValue) -> TractResult<Tensor> {
        let columns = self.ngrams.columns();
        let shape: TVec<usize> = match (&self.tokenizer, input.shape()) {
            (None, [_]) => tvec!(columns),
            (_, shape) => tvec!(shape[0], columns),
        };
        // Write into the tensor directly. With a large vocabulary, copying the rows into a tensor
        // would be slow.
        let mut dense = Tensor::zero::<f32>(&shape)?;
        let mut elements = dense.try_as_plain_ram_mut()?;
        let mut rows = elements.as_slice_mut::<f32>()?.chunks_exact_mut(columns);
        self.for_each(input, |columns, values| {
            let Some(row) = rows.next() else { return };
            for (column, value) in columns.iter().zip(values) {
                row[*column as usize] = *value;
            }
        })?;
        Ok(dense)
    }
}

/// Converts rows of words to bags of words, one row after another. All rows share the same buffers.
struct RowWriter<'b, F> {
    bag: &'b Bag,
    factors: Option<&'b [f32]>,
    /// Column and weight of each occurrence of an n-gram in the row.
    found: Vec<(u32, f32)>,
    /// Columns that are not zero, in ascending order.
    columns: Vec<u32>,
    /// Values in `columns`.
    values: Vec<f32>,
    /// Called with `columns` and `values` of each row.
    each: F,
}

impl<'b, F: FnMut(&[u32], &[f32])> RowWriter<'b, F> {
    fn new(bag: &'b Bag, each: F) -> TractResult<RowWriter<'b, F>> {
        let factors = bag.factors.as_ref();
        let factors = factors.map(|factors| factors.try_as_plain_ram()?.as_slice()).transpose()?;
        Ok(RowWriter { bag, factors, found: vec![], columns: vec![], values: vec![], each })
    }

    /// Converts one row of word numbers.
    fn write(&mut self, words: &[u32]) {
        let RowWriter { bag, factors, found, columns, values, each } = self;
        found.clear();
        bag.ngrams.for_each(words, |column, weight| found.push((column, weight)));
        found.sort_by_key(|(column, _)| *column);
        columns.clear();
        values.clear();
        for occurrences in found.chunk_by(|(left, _), (right, _)| left == right) {
            let column = occurrences[0].0;
            let factor = factors.map_or(1.0, |factors| factors[column as usize]);
            columns.push(column);
            values.push(bag.ngrams.value(occurrences) * factor);
        }
        if let Some(normalizer) = bag.normalizer {
            // The maximum of a row includes the zero columns. A single zero represents all zero columns.
            let is_full = columns.len() == bag.ngrams.columns();
            values.extend((!is_full).then_some(0.0));
            normalizer.normalize(values);
            values.truncate(columns.len());
        }
        each(columns, values);
    }
}
