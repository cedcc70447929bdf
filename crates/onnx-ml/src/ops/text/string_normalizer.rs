//! [StringNormalizer](https://onnx.ai/onnx/operators/onnx__StringNormalizer.html): changes the case
//! of strings and removes stopwords.
//!
//! Case conversion uses Unicode's simple case mapping, as in ONNX Runtime: each character maps to
//! one character and does not depend on its neighbors. The attribute `locale` has no effect. If all
//! strings are stopwords, the result is a single empty string.

use crate::encoding::fields::none;
use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::tensor;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// The operator.
#[derive(Debug, Deserialize, Serialize)]
pub struct StringNormalizer {
    /// Case of the output.
    case: Case,
    /// Strings to remove. With stopwords the operator is not serializable.
    #[serde(with = "none")]
    stopwords: Option<Stopwords>,
}

/// Case to which strings are converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
enum Case {
    Lower,
    Upper,
    /// The case stays unchanged.
    Same,
}

/// Strings that the operator removes.
#[derive(Debug)]
struct Stopwords {
    /// The stopwords, converted to `case`.
    words: HashSet<String>,
    /// Case to which strings are converted before they are compared with the stopwords.
    case: Case,
    /// Symbol for the number of strings that are not stopwords.
    remaining: Symbol,
}

/// Builds the operator.
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
        let remaining = context.template.symbols.new_with_prefix("texts");
        Ok(Stopwords { words, case, remaining })
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
                "expected shape [C] or [1, C] because there are stopwords, found {shape:?}"
            );
            if let Some(last) = shape.last_mut() {
                *last = stopwords.remaining.clone().into();
            }
        }
        Ok(tvec!(Fact::new(found, shape)))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let strings = inputs[0].try_as_plain_ram()?;
        let strings = strings.as_slice::<String>()?;
        let Some(stopwords) = &self.stopwords else {
            let converted = strings.iter().map(|string| self.case.apply(string)).collect();
            return Ok(vec![tensor(inputs[0].shape(), converted)?]);
        };
        let shape = inputs[0].shape();
        ensure!(
            shape.len() == 1 || shape[0] == 1,
            "expected shape [1, C] because there are stopwords, found {shape:?}"
        );
        let remaining = strings.iter().filter(|string| !stopwords.contains(string));
        let mut remaining: Vec<String> = remaining.map(|string| self.case.apply(string)).collect();
        if remaining.is_empty() {
            remaining.push(String::new());
        }
        let mut shape: TVec<usize> = shape.into();
        if let Some(last) = shape.last_mut() {
            *last = remaining.len();
        }
        Ok(vec![tensor(&shape, remaining)?])
    }
}

impl Stopwords {
    /// Returns `true` if `text` is a stopword.
    fn contains(&self, text: &str) -> bool {
        match self.case {
            Case::Same => self.words.contains(text),
            case => self.words.contains(&case.apply(text)),
        }
    }
}

impl Case {
    /// Converts `text` to the case.
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

/// Returns the simple lower case of `c`. The standard library returns the full lower case, which
/// has two characters only for the dotted capital I. The first of these two characters is the
/// simple lower case.
fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// Returns the simple upper case of `c`. The standard library returns the full upper case. A
/// character whose full upper case has several characters has no simple upper case and stays the
/// same. The exceptions are the Greek vowels with iota subscript, whose simple upper case is
/// computed from the code point.
fn upper(c: char) -> char {
    let mut characters = c.to_uppercase();
    match (characters.next(), characters.len(), c) {
        (Some(only), 0, _) => only,
        (_, _, '\u{1f80}'..='\u{1faf}') => char::from_u32(u32::from(c) | 8).unwrap_or(c),
        (_, _, '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}') => {
            char::from_u32(u32::from(c) + 9).unwrap_or(c)
        }
        _ => c,
    }
}
