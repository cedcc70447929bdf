//! Bags of words: rows that are zero except in the columns of the n-grams that occur in them.
//!
//! Such a row is as long as the vocabulary and almost empty. The operators after a TfIdfVectorizer,
//! up to the weights of a linear model, therefore process only the columns that are not zero.

use crate::encoding::fields::optional_tensor;
use crate::operator::kernel::{Fact, elements};
use crate::ops::ml::normalizer::Normalizer;
use crate::ops::text::ngrams::Ngrams;
use crate::ops::text::tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tract_onnx::tract_hir::internal::*;

/// Steps that turn a row of text or words into a bag of words.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct Bag {
    /// Tokenizer for rows of text; `None` if each row already holds words.
    pub tokenizer: Option<Arc<Tokenizer>>,
    pub ngrams: Arc<Ngrams>,
    /// Factor of each column, such as the inverse document frequency.
    #[serde(with = "optional_tensor")]
    pub factors: Option<Arc<Tensor>>,
    pub normalizer: Option<Normalizer>,
}

impl Bag {
    /// Returns the number of rows that `input` holds, or `None` for a vector, which is a single
    /// row.
    ///
    /// # Errors
    ///
    /// Returns an error if the input's type or shape does not fit.
    pub fn rows(&self, input: &Fact) -> TractResult<Option<TDim>> {
        let found = input.datum_type;
        let is_text = found == String::datum_type();
        let fits =
            is_text == self.ngrams.is_text() && (is_text || found.is_integer() || found.is_tdim());
        ensure!(fits, "expected words as in the pool, found {found:?}");
        match (&self.tokenizer, input.shape.as_slice()) {
            (Some(_), [rows]) | (None, [rows, _]) => Ok(Some(rows.clone())),
            (None, [_]) => Ok(None),
            (_, shape) => bail!("expected a vector or a matrix, found shape {shape:?}"),
        }
    }

    /// Calls `done` for each row with the columns that are not zero, in ascending order, and their
    /// values.
    ///
    /// # Errors
    ///
    /// Returns an error if [`Bag::rows`] rejects the input.
    pub fn for_each(&self, input: &TValue, done: impl FnMut(&[u32], &[f32])) -> TractResult<()> {
        let mut writer = RowWriter::new(self, done)?;
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
            words.extend(numbers.as_slice::<i64>()?.iter().map(|x| self.ngrams.number(*x)));
        }
        let (rows, width) = match input.shape() {
            [rows, width] => (*rows, *width),
            _ => (1, words.len()),
        };
        (0..rows).for_each(|row| writer.write(&words[row * width..][..width]));
        Ok(())
    }

    /// Returns the rows with all their columns.
    ///
    /// # Errors
    ///
    /// Returns an error if [`Bag::for_each`] does.
    pub fn dense(&self, input: &TValue) -> TractResult<Tensor> {
        let columns = self.ngrams.columns();
        let shape: TVec<usize> = match (&self.tokenizer, input.shape()) {
            (None, [_]) => tvec!(columns),
            (_, shape) => tvec!(shape[0], columns),
        };
        // Allocate the result directly as a tensor: with a large vocabulary, copying it would be
        // slow.
        let mut dense = Tensor::zero::<f32>(&shape)?;
        let mut plain = dense.try_as_plain_ram_mut()?;
        let mut rows = plain.as_slice_mut::<f32>()?.chunks_exact_mut(columns);
        self.for_each(input, |columns, values| {
            let Some(row) = rows.next() else { return };
            for (column, value) in columns.iter().zip(values) {
                row[*column as usize] = *value;
            }
        })?;
        Ok(dense)
    }
}

/// Writes rows one after the other and reuses its buffers.
struct RowWriter<'b, F> {
    bag: &'b Bag,
    factors: Option<&'b [f32]>,
    /// Column and weight of each n-gram in the row.
    found: Vec<(u32, f32)>,
    columns: Vec<u32>,
    values: Vec<f32>,
    done: F,
}

impl<'b, F: FnMut(&[u32], &[f32])> RowWriter<'b, F> {
    fn new(bag: &'b Bag, done: F) -> TractResult<RowWriter<'b, F>> {
        let factors = bag.factors.as_ref();
        let factors = factors.map(|factors| factors.try_as_plain_ram()?.as_slice()).transpose()?;
        Ok(RowWriter { bag, factors, found: vec![], columns: vec![], values: vec![], done })
    }

    fn write(&mut self, words: &[u32]) {
        let RowWriter { bag, factors, found, columns, values, done } = self;
        found.clear();
        bag.ngrams.for_each(words, |column, weight| found.push((column, weight)));
        found.sort_by_key(|(column, _)| *column);
        columns.clear();
        values.clear();
        for same in found.chunk_by(|(left, _), (right, _)| left == right) {
            let column = same[0].0;
            let factor = factors.map_or(1.0, |factors| factors[column as usize]);
            columns.push(column);
            values.push(bag.ngrams.value(same) * factor);
        }
        if let Some(normalizer) = bag.normalizer {
            // The maximum of a row includes its zero columns, so one zero stands for all of them.
            let is_full = columns.len() == bag.ngrams.columns();
            values.extend((!is_full).then_some(0.0));
            normalizer.normalize(values);
            values.truncate(columns.len());
        }
        done(columns, values);
    }
}
