//! [Tokenizer](https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.Tokenizer)
//! of `com.microsoft`: splits texts into tokens along a new last axis, padded with `pad_value`.
//!
//! A text is split into characters, at matches of `separators`, or into the matches of `tokenexp`.
//! Both are regular expressions in RE2 syntax.

use crate::operator::kernel::{Built, Fact, Kernel, operator, tensor};
use crate::ops::text::pattern::Pattern;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// Maximum number of elements, which take 400 MB. One long text makes the rows of all texts long.
const MAX_ELEMENTS: usize = 1 << 24;

/// Start and end mark of a text's tokens, if `mark` is set.
const MARKS: [&str; 2] = ["\u{2}", "\u{3}"];

/// Converts texts to tensors of tokens.
#[derive(Debug)]
pub struct Tokens {
    pub tokenizer: Arc<Tokenizer>,
    pad_value: String,
    /// Symbol for the largest number of tokens of a text.
    width: Symbol,
}

/// Rules by which a text is split into tokens.
#[derive(Debug, Deserialize, Serialize)]
pub struct Tokenizer {
    split: Split,
    /// Minimum length of a token in characters; shorter ones are dropped.
    shortest: usize,
    marks: bool,
}

#[derive(Debug, Deserialize, Serialize)]
enum Split {
    Characters,
    Separators(Vec<Pattern>),
    Expression(Pattern),
}

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
        let texts = inputs[0].try_as_plain_ram()?;
        let mut tokens = vec![];
        let mut ends = vec![];
        for text in texts.as_slice::<String>()? {
            self.tokenizer.tokenize(text, &mut tokens);
            ends.push(tokens.len());
        }
        // If no text has a token, ONNX Runtime omits the marks too.
        if self.tokenizer.marks && tokens.len() == MARKS.len() * ends.len() {
            tokens.clear();
            ends.fill(0);
        }
        Ok(vec![table(inputs[0].shape(), &tokens, &ends, &self.pad_value)?])
    }
}

impl Tokenizer {
    /// Reads the attributes of `node`.
    ///
    /// # Errors
    ///
    /// Returns an error if the attributes do not define a way to split a text.
    pub fn parse(node: &NodeProto) -> TractResult<Tokenizer> {
        let shortest: i64 = node.get_attr("mincharnum")?;
        let least = usize::try_from(shortest).ok().filter(|shortest| *shortest > 0);
        let Some(shortest) = least else {
            return node.bail_attr("mincharnum", &format!("expected 1 or more, found {shortest}"));
        };
        let separators: Vec<&str> =
            node.get_attr_opt_tvec("separators")?.unwrap_or_default().to_vec();
        let split = match separators.as_slice() {
            [] => {
                let expression: &str = node.get_attr_opt("tokenexp")?.unwrap_or_default();
                let told = !expression.is_empty();
                node.expect(told, || "separators or a tokenexp, found none".to_owned())?;
                Split::Expression(Pattern::new(expression)?)
            }
            [""] => {
                node.expect_attr("mincharnum", shortest == 1, || {
                    format!("1 for tokens of one character, found {shortest}")
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
        Ok(Tokenizer { split, shortest, marks: node.get_attr("mark")? })
    }

    /// Appends the tokens of `text`.
    pub fn tokenize<'t>(&self, text: &'t str, tokens: &mut Vec<&'t str>) {
        let [start, end] = MARKS;
        tokens.extend(self.marks.then_some(start));
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
        tokens.extend(self.marks.then_some(end));
    }

    fn matches<'t>(&self, pattern: &Pattern, text: &'t str, tokens: &mut Vec<&'t str>) {
        let mut start = 0;
        while start < text.len() {
            let Some(found) = pattern.find(text, start) else { break };
            start = if found.is_empty() { after_character(text, found.end) } else { found.end };
            tokens.extend(self.long_enough(&text[found]));
        }
    }

    /// Appends the parts between the matches. An empty match consumes the next character.
    fn between<'t>(&self, pattern: &Pattern, text: &'t str, pieces: &mut Vec<&'t str>) {
        let mut start = 0;
        while start < text.len() {
            let Some(found) = pattern.find(text, start) else { break };
            pieces.extend(self.long_enough(&text[start..found.start]));
            start = if found.is_empty() { after_character(text, found.end) } else { found.end };
        }
        pieces.extend(self.long_enough(&text[start..]));
    }

    fn long_enough<'t>(&self, token: &'t str) -> Option<&'t str> {
        let long = match self.shortest {
            1 => !token.is_empty(),
            shortest => token.chars().nth(shortest - 1).is_some(),
        };
        long.then_some(token)
    }
}

/// Returns the end of the character at `index`, or `index` at the end of the text.
fn after_character(text: &str, index: usize) -> usize {
    index + text[index..].chars().next().map_or(0, char::len_utf8)
}

/// Returns a tensor of strings with one more axis than `shape`. Each of `ends` is the end of a row
/// in `strings`; shorter rows are padded with `padding`.
///
/// # Errors
///
/// Returns an error if the tensor would be too large.
pub fn table(
    shape: &[usize],
    strings: &[&str],
    ends: &[usize],
    padding: &str,
) -> TractResult<Tensor> {
    let starts = || std::iter::once(0).chain(ends.iter().copied());
    let width = ends.iter().zip(starts()).map(|(end, start)| end - start).max().unwrap_or(0);
    let size = width.saturating_mul(ends.len());
    ensure!(size <= MAX_ELEMENTS, "expected {MAX_ELEMENTS} elements or less, found {size}");
    let mut elements = Vec::with_capacity(size);
    for (end, start) in ends.iter().zip(starts()) {
        elements.extend(strings[start..*end].iter().map(|string| (*string).to_owned()));
        elements.resize(elements.len() + width - (end - start), padding.to_owned());
    }
    let shape: TVec<usize> = shape.iter().copied().chain([width]).collect();
    tensor(&shape, elements)
}
