//! A value as a client wrote it, and how it takes its feature's kind and element type.

use crate::datatype::Kind;
use std::borrow::Cow;
use std::fmt;

/// A value as a client wrote it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// `null`, or an empty cell: NaN where the input is a float.
    Missing,
    Bool(bool),
    Integer(i128),
    Number(f64),
    String(&'a str),
    /// Text without a type, as in CSV and queries.
    Text(&'a str),
}

/// A value that does not fit its feature.
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

/// "`x`, `y`", and that there are more where they are many.
pub fn listed(names: impl ExactSizeIterator<Item = impl fmt::Display>) -> String {
    const NAMED: usize = 10;
    let more = (names.len() > NAMED).then(|| "…".to_owned());
    let named = names.take(NAMED).map(|name| format!("`{name}`"));
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

/// The start of a text, on one line, for an error message.
pub fn excerpt(text: &str) -> String {
    cut(text).escape_debug().to_string()
}

/// The start of a text that is escaped already.
pub fn cut(text: &str) -> Cow<'_, str> {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// "a number", "an integer".
pub fn article(kind: Kind) -> String {
    match kind {
        Kind::Integer => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}
