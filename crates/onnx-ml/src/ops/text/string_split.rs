//! [StringSplit](https://onnx.ai/onnx/operators/onnx__StringSplit.html): splits each string at a
//! delimiter. The substrings form a new last axis, padded with empty strings. The second output is
//! the number of substrings of each string.
//!
//! As in ONNX Runtime, a string is split at runs of spaces if the node defines no delimiter, and an
//! empty string has no substrings.

use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::tensor;
use crate::ops::text::tokenizer::padded;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug)]
struct StringSplit {
    /// The delimiter. If it is empty, each run of spaces is a delimiter.
    delimiter: String,
    /// Maximum number of substrings of a string.
    max_substrings: usize,
    /// Symbol for the length of the new axis, which is the largest number of substrings of a
    /// string.
    width: Symbol,
}

/// Builds the operator. A negative `maxsplit` means no limit.
pub fn string_split(context: &ParsingContext, node: &NodeProto) -> Built {
    let splits: Option<i64> = node.get_attr_opt("maxsplit")?;
    let splits = splits.and_then(|splits| usize::try_from(splits).ok());
    operator(
        node,
        1,
        StringSplit {
            delimiter: node.get_attr_opt::<String>("delimiter")?.unwrap_or_default(),
            max_substrings: splits.unwrap_or(usize::MAX).saturating_add(1),
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
        let strings = inputs[0].try_as_plain_ram()?;
        let mut substrings = vec![];
        let mut ends = vec![];
        let mut counts = vec![];
        for string in strings.as_slice::<String>()? {
            let start = substrings.len();
            self.split(string, &mut substrings);
            counts.push(i64::try_from(substrings.len() - start)?);
            ends.push(substrings.len());
        }
        let shape = inputs[0].shape();
        Ok(vec![padded(shape, &substrings, &ends, "")?, tensor(shape, counts)?])
    }
}

impl StringSplit {
    /// Appends the substrings of `text`.
    fn split<'t>(&self, text: &'t str, substrings: &mut Vec<&'t str>) {
        if !self.delimiter.is_empty() {
            if !text.is_empty() {
                substrings.extend(text.splitn(self.max_substrings, &self.delimiter));
            }
            return;
        }
        let mut rest = text.trim_matches(' ');
        for _ in 1..self.max_substrings {
            let Some((substring, after)) = rest.split_once(' ') else { break };
            substrings.push(substring);
            rest = after.trim_start_matches(' ');
        }
        if !rest.is_empty() {
            substrings.push(rest);
        }
    }
}
