//! [StringSplit](https://onnx.ai/onnx/operators/onnx__StringSplit.html): splits each text at a
//! delimiter. The pieces form a new last axis, padded with empty texts. The second output is the
//! number of pieces.
//!
//! As in ONNX Runtime, runs of spaces delimit if no delimiter is given, and an empty text has no
//! pieces.

use crate::operator::kernel::{Built, Fact, Kernel, operator, tensor};
use crate::ops::text::tokenizer::table;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug)]
struct StringSplit {
    /// Delimiter; empty means runs of spaces.
    delimiter: String,
    /// Maximum number of pieces.
    pieces: usize,
    /// Symbol for the largest number of pieces of a text.
    width: Symbol,
}

pub fn string_split(context: &ParsingContext, node: &NodeProto) -> Built {
    let splits: Option<i64> = node.get_attr_opt("maxsplit")?;
    let splits = splits.and_then(|splits| usize::try_from(splits).ok());
    operator(
        node,
        1,
        StringSplit {
            delimiter: node.get_attr_opt::<String>("delimiter")?.unwrap_or_default(),
            pieces: splits.unwrap_or(usize::MAX).saturating_add(1),
            width: context.template.symbols.new_with_prefix("pieces"),
        },
    )
}

impl Kernel for StringSplit {
    const NAME: &'static str = "StringSplit";

    const OUTPUTS: usize = 2;

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let found = inputs[0].datum_type;
        ensure!(found == String::datum_type(), "expected strings, found {found:?}");
        let shape = inputs[0].shape.iter().cloned();
        Ok(tvec!(
            Fact::new(found, shape.clone().chain([self.width.clone().into()])),
            Fact::new(i64::datum_type(), shape),
        ))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let texts = inputs[0].try_as_plain_ram()?;
        let mut pieces = vec![];
        let mut ends = vec![];
        let mut counts = vec![];
        for text in texts.as_slice::<String>()? {
            let start = pieces.len();
            self.split(text, &mut pieces);
            counts.push(i64::try_from(pieces.len() - start)?);
            ends.push(pieces.len());
        }
        let shape = inputs[0].shape();
        Ok(vec![table(shape, &pieces, &ends, "")?, tensor(shape, counts)?])
    }
}

impl StringSplit {
    fn split<'t>(&self, text: &'t str, pieces: &mut Vec<&'t str>) {
        if !self.delimiter.is_empty() {
            if !text.is_empty() {
                pieces.extend(text.splitn(self.pieces, &self.delimiter));
            }
            return;
        }
        let mut rest = text.trim_matches(' ');
        for _ in 1..self.pieces {
            let Some((piece, after)) = rest.split_once(' ') else { break };
            pieces.push(piece);
            rest = after.trim_start_matches(' ');
        }
        if !rest.is_empty() {
            pieces.push(rest);
        }
    }
}
