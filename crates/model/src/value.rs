//! A value as a client wrote it, and the texts of errors about values.

use crate::datatype::Kind;
use std::borrow::Cow;
use std::fmt;

/// A value as a client wrote it, before it is converted to its feature's type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// `null` or an empty cell. It becomes NaN if the element type is a float.
    Missing,
    Bool(bool),
    Integer(i128),
    Number(f64),
    String(&'a str),
    /// Text without a type, as in CSV and in a query string.
    Text(&'a str),
}

/// An error about a value: what was expected and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    pub expected: String,
    pub found: String,
}

impl Mismatch {
    pub fn new(expected: impl Into<String>, found: impl Into<String>) -> Mismatch {
        Mismatch { expected: expected.into(), found: found.into() }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found {}", self.expected, self.found)
    }
}

/// Returns a list of names, such as "`x`, `y`", with `…` after the tenth.
pub fn listed(names: impl ExactSizeIterator<Item = impl fmt::Display>) -> String {
    const MAX_NAMES: usize = 10;
    let more = (names.len() > MAX_NAMES).then(|| "…".to_owned());
    let named = names.take(MAX_NAMES).map(|name| format!("`{name}`"));
    named.chain(more).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Missing => f.write_str("nothing"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Integer(value) => write!(f, "{value}"),
            Value::Number(value) if !(1e-4..1e16).contains(&value.abs()) && *value != 0.0 => {
                write!(f, "{value:e}")
            }
            Value::Number(value) => write!(f, "{value}"),
            Value::String(text) => write!(f, "\"{}\"", excerpt(text)),
            Value::Text("") => f.write_str("nothing"),
            Value::Text(text) => write!(f, "`{}`", excerpt(text)),
        }
    }
}

/// Returns the start of a text for an error message, with control characters and quotes escaped.
pub fn excerpt(text: &str) -> String {
    cut(text).escape_debug().to_string()
}

/// Returns the first 60 characters of a text, with `…` if there are more.
pub fn cut(text: &str) -> Cow<'_, str> {
    const MAX_CHARS: usize = 60;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Returns a kind with its article: "a number", "an integer".
pub fn article(kind: Kind) -> String {
    match kind {
        Kind::Integer => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}
