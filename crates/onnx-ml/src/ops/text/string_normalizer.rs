//! [StringNormalizer](https://onnx.ai/onnx/operators/onnx__StringNormalizer.html): changes the case
//! of texts and removes stopwords.
//!
//! Case conversion uses Unicode's simple mapping, as in ONNX Runtime: each character maps to one
//! character, whatever its neighbors. The attribute `locale` has no effect. If stopwords remove
//! everything, the result is one empty text.

use crate::encoding::fields::none;
use crate::operator::kernel::{Built, Fact, Kernel, operator, tensor};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

#[derive(Debug, Deserialize, Serialize)]
pub struct StringNormalizer {
    case: Case,
    #[serde(with = "none")]
    stopwords: Option<Stopwords>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
enum Case {
    Lower,
    Upper,
    Same,
}

#[derive(Debug)]
struct Stopwords {
    words: HashSet<String>,
    /// Case in which texts are compared with stopwords.
    case: Case,
    /// Symbol for the number of texts that remain.
    left: Symbol,
}

pub fn string_normalizer(context: &ParsingContext, node: &NodeProto) -> Built {
    const ACTION: &str = "case_change_action";
    let case = match node.get_attr_opt(ACTION)?.unwrap_or("NONE") {
        "NONE" => Case::Same,
        "LOWER" => Case::Lower,
        "UPPER" => Case::Upper,
        found => {
            node.bail_attr(ACTION, &format!("expected NONE, LOWER or UPPER, found {found}"))?
        }
    };
    let words: Vec<String> = node.get_attr_opt_vec("stopwords")?.unwrap_or_default();
    let stopwords = (!words.is_empty()).then(|| -> TractResult<Stopwords> {
        let case_sensitive: bool = node.get_attr_opt("is_case_sensitive")?.unwrap_or(false);
        let case = if case_sensitive { Case::Same } else { Case::Lower };
        let words = words.iter().map(|word| case.apply(word)).collect();
        Ok(Stopwords { words, case, left: context.template.symbols.new_with_prefix("texts") })
    });
    operator(node, 1, StringNormalizer { case, stopwords: stopwords.transpose()? })
}

impl Kernel for StringNormalizer {
    const NAME: &'static str = "StringNormalizer";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let found = inputs[0].datum_type;
        ensure!(found == String::datum_type(), "expected strings, found {found:?}");
        let mut shape = inputs[0].shape.clone();
        if let Some(stopwords) = &self.stopwords {
            ensure!(
                matches!(shape.len(), 1 | 2),
                "expected shape [C] or [1, C] where there are stopwords, found {shape:?}"
            );
            if let Some(last) = shape.last_mut() {
                *last = stopwords.left.clone().into();
            }
        }
        Ok(tvec!(Fact::new(found, shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let texts = inputs[0].try_as_plain_ram()?;
        let texts = texts.as_slice::<String>()?;
        let Some(stopwords) = &self.stopwords else {
            let texts = texts.iter().map(|text| self.case.apply(text)).collect();
            return Ok(vec![tensor(inputs[0].shape(), texts)?]);
        };
        let shape = inputs[0].shape();
        ensure!(
            shape.len() == 1 || shape[0] == 1,
            "expected shape [1, C] where there are stopwords, found {shape:?}"
        );
        let left = texts.iter().filter(|text| !stopwords.contain(text));
        let mut left: Vec<String> = left.map(|text| self.case.apply(text)).collect();
        if left.is_empty() {
            left.push(String::new());
        }
        let mut shape: TVec<usize> = shape.into();
        if let Some(last) = shape.last_mut() {
            *last = left.len();
        }
        Ok(vec![tensor(&shape, left)?])
    }
}

impl Stopwords {
    fn contain(&self, text: &str) -> bool {
        match self.case {
            Case::Same => self.words.contains(text),
            case => self.words.contains(&case.apply(text)),
        }
    }
}

impl Case {
    fn apply(self, text: &str) -> String {
        match self {
            Case::Same => text.to_owned(),
            Case::Lower if text.is_ascii() => text.to_ascii_lowercase(),
            Case::Upper if text.is_ascii() => text.to_ascii_uppercase(),
            Case::Lower => text.chars().map(lower).collect(),
            Case::Upper => text.chars().map(upper).collect(),
        }
    }
}

/// The dotted capital I is the only letter with two lower-case characters; the first is its simple
/// mapping.
fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// Characters that map to several have no simple upper case, or a single title-case character:
/// Greek vowels with iota.
fn upper(c: char) -> char {
    let mut characters = c.to_uppercase();
    match (characters.next(), characters.len(), c) {
        (Some(one), 0, _) => one,
        (_, _, '\u{1f80}'..='\u{1faf}') => char::from_u32(u32::from(c) | 8).unwrap_or(c),
        (_, _, '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}') => {
            char::from_u32(u32::from(c) + 9).unwrap_or(c)
        }
        _ => c,
    }
}
