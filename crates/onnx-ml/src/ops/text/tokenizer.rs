//! [Tokenizer](https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.Tokenizer)
//! of `com.microsoft`: splits strings into tokens along a new last axis, padded with `pad_value`.
//!
//! A string is split into its characters, into the substrings between matches of `separators`, or
//! into the matches of `tokenexp`. Both attributes are regular expressions in RE2 syntax.

use crate::operator::adapter::{Built, operator};
use crate::operator::kernel::{Fact, Kernel};
use crate::operator::tensors::tensor;
use crate::ops::text::pattern::Pattern;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// Maximum number of elements of the output. This many elements take 400 MB. All rows of the output have the length of
/// the longest row, so a single string with many tokens makes all rows long.
const MAX_ELEMENTS: usize = 1 << 24;

/// Tokens that mark the start and the end of each string, if the attribute `mark` is set.
const MARKS: [&str; 2] = ["\u{2}", "\u{3}"];

/// The operator: converts a tensor of strings to a tensor of tokens.
#[derive(Debug)]
pub struct Tokens {
    pub tokenizer: Arc<Tokenizer>,
    pad_value: String,
    /// Symbol for the length of the new axis, which is the largest number of tokens of a string.
    width: Symbol,
}

/// Rules that split a string into tokens.
#[derive(Debug, Deserialize, Serialize)]
pub struct Tokenizer {
    split: Split,
    /// Minimum length of a token, in characters. Shorter tokens are dropped.
    min_chars: usize,
    /// `true` if [`MARKS`] are added to the tokens of each string.
    adds_marks: bool,
}

/// The rule that splits a string into tokens.
#[derive(Debug, Deserialize, Serialize)]
enum Split {
    /// Each character is a token.
    Characters,
    /// The substrings between matches are tokens. The first pattern splits the string, the second pattern splits the
    /// substrings, and so on.
    Separators(Vec<Pattern>),
    /// The matches are tokens.
    Expression(Pattern),
}

/// Builds the operator.
pub fn tokenizer(context: &ParsingContext, node: &NodeProto) -> Built {
    operator(
        node,
        1,
        Tokens {
            tokenizer: Arc::new(Tokenizer::parse(node)?),
            pad_value: node.get_attr("pad_value")?,
            width: context.template.symbols.new_with_prefix("tokens"),
        },
    )
}

impl Kernel for Tokens {
    const NAME: &'static str = "Tokenizer";

    fn outputs(&self, inputs: &[Fact]) -> TractResult<TVec<Fact>> {
        let found = inputs[0].datum_type;
        ensure!(found == String::datum_type(), "expected strings, found {found:?}");
        let shape = inputs[0].shape.iter().cloned();
        Ok(tvec!(Fact::new(found, shape.chain([self.width.clone().into()]))))
    }

    fn eval(&self, inputs: &[TValue]) -> TractResult<Vec<Tensor>> {
        let strings = inputs[0].try_as_plain_ram()?;
        let mut tokens = vec![];
        // The end of each string's tokens.
        let mut ends = vec![];
        for string in strings.as_slice::<String>()? {
            self.tokenizer.tokenize(string, &mut tokens);
            ends.push(tokens.len());
        }
        // If no string has a token, ONNX Runtime omits the marks too.
        if self.tokenizer.adds_marks && tokens.len() == MARKS.len() * ends.len() {
            tokens.clear();
            ends.fill(0);
        }
        Ok(vec![padded(inputs[0].shape(), &tokens, &ends, &self.pad_value)?])
    }
}

impl Tokenizer {
    /// Reads the attributes of `node`.
    ///
    /// # Errors
    ///
    /// Returns an error if the attributes do not define how to split a string.
    pub fn parse(node: &NodeProto) -> TractResult<Tokenizer> {
        let found: i64 = node.get_attr("mincharnum")?;
        let min_chars = usize::try_from(found).ok().filter(|min_chars| *min_chars > 0);
        let Some(min_chars) = min_chars else {
            return node.bail_attr("mincharnum", &format!("expected 1 or more, found {found}"));
        };
        let separators: Vec<&str> =
            node.get_attr_opt_tvec("separators")?.unwrap_or_default().to_vec();
        let split = match separators.as_slice() {
            [] => {
                let expression: &str = node.get_attr_opt("tokenexp")?.unwrap_or_default();
                node.expect(!expression.is_empty(), "separators or a tokenexp, found neither")?;
                Split::Expression(Pattern::new(expression)?)
            }
            [""] => {
                node.expect_attr("mincharnum", min_chars == 1, || {
                    format!("1 for tokens of one character, found {min_chars}")
                })?;
                Split::Characters
            }
            separators => Split::Separators(
                separators
                    .iter()
                    .map(|pattern| Pattern::new(pattern))
                    .collect::<TractResult<_>>()?,
            ),
        };
        Ok(Tokenizer { split, min_chars, adds_marks: node.get_attr("mark")? })
    }

    /// Appends the tokens of `text`.
    pub fn tokenize<'t>(&self, text: &'t str, tokens: &mut Vec<&'t str>) {
        let [start, end] = MARKS;
        tokens.extend(self.adds_marks.then_some(start));
        match &self.split {
            Split::Characters => {
                tokens.extend(text.split_inclusive(|_| true));
            }
            Split::Expression(pattern) => self.matches(pattern, text, tokens),
            Split::Separators(patterns) => {
                let mut pieces = vec![text];
                for pattern in patterns {
                    let mut smaller = vec![];
                    pieces.iter().for_each(|piece| self.between(pattern, piece, &mut smaller));
                    pieces = smaller;
                }
                tokens.extend(pieces);
            }
        }
        tokens.extend(self.adds_marks.then_some(end));
    }

    /// Appends the matches of `pattern`.
    fn matches<'t>(&self, pattern: &Pattern, text: &'t str, tokens: &mut Vec<&'t str>) {
        let mut start = 0;
        while start < text.len() {
            let Some(found) = pattern.find(text, start) else { break };
            start = if found.is_empty() { after_character(text, found.end) } else { found.end };
            tokens.extend(self.long_enough(&text[found]));
        }
    }

    /// Appends the substrings between the matches of `pattern`. After an empty match, the next
    /// character is dropped.
    fn between<'t>(&self, pattern: &Pattern, text: &'t str, pieces: &mut Vec<&'t str>) {
        let mut start = 0;
        while start < text.len() {
            let Some(found) = pattern.find(text, start) else { break };
            pieces.extend(self.long_enough(&text[start..found.start]));
            start = if found.is_empty() { after_character(text, found.end) } else { found.end };
        }
        pieces.extend(self.long_enough(&text[start..]));
    }

    /// Returns `token` unless it is shorter than `min_chars` characters.
    fn long_enough<'t>(&self, token: &'t str) -> Option<&'t str> {
        let is_long_enough = match self.min_chars {
            1 => !token.is_empty(),
            min_chars => token.chars().nth(min_chars - 1).is_some(),
        };
        is_long_enough.then_some(token)
    }
}

/// Returns the byte index after the character at byte `index`. Returns `index` if `index` is the end of `text`.
fn after_character(text: &str, index: usize) -> usize {
    index + text[index..].chars().next().map_or(0, char::len_utf8)
}

/// Returns a tensor of strings with the axes `shape` and a new last axis. The rows along the new
/// axis follow each other in `strings`, and `ends` holds the end of each row. Rows that are shorter
/// than the longest row are padded with `padding`.
///
/// # Errors
///
/// Returns an error if the tensor would have more than [`MAX_ELEMENTS`] elements.
pub fn padded(
    shape: &[usize],
    strings: &[&str],
    ends: &[usize],
    padding: &str,
) -> TractResult<Tensor> {
    let starts = || std::iter::once(0).chain(ends.iter().copied());
    let width = ends.iter().zip(starts()).map(|(end, start)| end - start).max().unwrap_or(0);
    let size = width.saturating_mul(ends.len());
    ensure!(
        size <= MAX_ELEMENTS,
        "expected at most {MAX_ELEMENTS} elements of output, found {size}"
    );
    let mut elements = Vec::with_capacity(size);
    for (end, start) in ends.iter().zip(starts()) {
        elements.extend(strings[start..*end].iter().map(|string| (*string).to_owned()));
        elements.resize(elements.len() + width - (end - start), padding.to_owned());
    }
    let shape: TVec<usize> = shape.iter().copied().chain([width]).collect();
    tensor(&shape, elements)
}
