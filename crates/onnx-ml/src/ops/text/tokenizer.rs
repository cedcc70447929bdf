//! [Tokenizer](https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.Tokenizer)
//! of `com.microsoft`: texts to tokens, along a new last axis that is filled up with `pad_value`.
//!
//! A text is split into its characters, at matches of `separators`, or into the matches of
//! `tokenexp`, both of them regular expressions in RE2's syntax.

use crate::operator::kernel::{Built, Fact, Kernel, operator, tensor};
use crate::ops::text::pattern::Pattern;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// One long text makes the rows of all others long: so many elements take 400 MB.
const MAX_ELEMENTS: usize = 1 << 24;

/// What stands before and after a text's tokens, where they are marked.
const MARKS: [&str; 2] = ["\u{2}", "\u{3}"];

/// Texts to tensors of tokens.
#[derive(Debug)]
pub struct Tokens {
    pub tokenizer: Arc<Tokenizer>,
    pad_value: String,
    /// Tokens of the text that has most.
    width: Symbol,
}

/// How a text becomes tokens.
#[derive(Debug, Deserialize, Serialize)]
pub struct Tokenizer {
    split: Split,
    /// Shorter tokens, in characters, are left out.
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
        // ONNX Runtime has no marks either where no text has a token.
        if self.tokenizer.marks && tokens.len() == MARKS.len() * ends.len() {
            tokens.clear();
            ends.fill(0);
        }
        Ok(vec![table(inputs[0].shape(), &tokens, &ends, &self.pad_value)?])
    }
}

impl Tokenizer {
    /// # Errors
    ///
    /// Where the attributes of `node` say no way to split a text.
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

    /// What is between the matches; where one is empty, the character that follows is none of it.
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

/// Where the character at `index` ends; the text's end at its end.
fn after_character(text: &str, index: usize) -> usize {
    index + text[index..].chars().next().map_or(0, char::len_utf8)
}

/// A tensor of strings with an axis more than `shape`: `strings` row by row, up to each of `ends`,
/// and what is missing filled with `padding`.
///
/// # Errors
///
/// Where it would be too large.
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
