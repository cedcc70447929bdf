//! [TfIdfVectorizer](https://onnx.ai/onnx/operators/onnx__TfIdfVectorizer.html): how often the
//! n-grams of a pool occur in a sequence of words or numbers, or in each row of a matrix of them.

use crate::kernel::{Built, Fact, Kernel, elements, operator, tensor};
use crate::ngrams::Ngrams;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug)]
struct TfIdfVectorizer(Ngrams);

pub fn tf_idf_vectorizer(_: &ParsingContext, node: &NodeProto) -> Built {
    operator(node, 1, TfIdfVectorizer(Ngrams::parse(node)?))
}

impl Kernel for TfIdfVectorizer {
    const NAME: &'static str = "TfIdfVectorizer";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let found = inputs[0].datum_type;
        let is_text = found == String::datum_type();
        let fits = is_text == self.0.is_text() && (is_text || found.is_integer() || found.is_tdim());
        ensure!(fits, "expected words as in the pool, but found {found:?}");
        let rows = match inputs[0].shape.as_slice() {
            [_] => None,
            [rows, _] => Some(rows.clone()),
            shape => bail!("expected a vector or a matrix, but found shape {shape:?}"),
        };
        let shape = rows.into_iter().chain([self.0.columns().to_dim()]);
        Ok(tvec!(Fact::new(f32::datum_type(), shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let words = self.words(&inputs[0])?;
        let columns = self.0.columns();
        let shape: TVec<usize> = match inputs[0].shape() {
            [rows, _] => tvec!(*rows, columns),
            _ => tvec!(columns),
        };
        let width = inputs[0].shape().last().copied().unwrap_or_default();
        let mut frequencies = vec![0.0; shape.iter().product()];
        if width > 0 {
            for (words, row) in words.chunks_exact(width).zip(frequencies.chunks_exact_mut(columns)) {
                self.0.for_each(words, |column, weight| self.0.add(&mut row[column], weight));
            }
        }
        Ok(tvec!(tensor(&shape, frequencies)?))
    }
}

impl TfIdfVectorizer {
    fn words(&self, input: &TValue) -> TractResult<Vec<u32>> {
        if self.0.is_text() {
            let texts = input.try_as_plain_ram()?;
            return Ok(texts.as_slice::<String>()?.iter().map(|text| self.0.word(text)).collect());
        }
        let numbers = elements::<i64>(input)?;
        let numbers = numbers.try_as_plain_ram()?;
        Ok(numbers.as_slice::<i64>()?.iter().map(|number| self.0.number(*number)).collect())
    }
}
