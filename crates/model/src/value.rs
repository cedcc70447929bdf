//! A value as a client wrote it, and helpers for error messages about values.

use crate::datatype::Kind;
use std::borrow::Cow;
use std::fmt;

/// A value as a client wrote it, before it is converted to its feature's type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// `null` or an empty cell. The value becomes NaN if the element type is a float type; otherwise it is an error.
    Missing,
    Bool(bool),
    Integer(i128),
    Number(f64),
    String(&'a str),
    /// A string that may stand for a value of any type, as in CSV and in a query string.
    Untyped(&'a str),
}

/// An error about a value, a shape or an axis: what was expected and what was found.
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

/// Returns the candidate that is most similar to `name`, without regard to case. Returns `None` if no candidate is
/// similar enough, or if `name` is longer than 64 characters.
pub fn nearest_name<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Maximum number of characters in `name`. The time to compare two names is proportional to the product of their
    /// lengths.
    const MAX_LENGTH: usize = 64;
    let name = name.to_lowercase();
    let len = name.chars().count();
    if len > MAX_LENGTH {
        return None;
    }
    let distance = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        let candidate_len = candidate.chars().count();
        let max_distance = candidate_len.div_ceil(3);
        if len.abs_diff(candidate_len) > max_distance {
            return None;
        }
        let distance = strsim::osa_distance(&name, &candidate);
        (distance <= max_distance).then_some(distance)
    };
    candidates
        .filter_map(|candidate| Some((distance(candidate)?, candidate)))
        .min()
        .map(|(_, name)| name)
}

/// Returns the first ten names in backticks, such as "`x`, `y`". If there are more than ten names, the text ends with
/// `…`.
pub fn quoted_list(names: impl ExactSizeIterator<Item = impl fmt::Display>) -> String {
    const MAX_NAMES: usize = 10;
    let more = (names.len() > MAX_NAMES).then(|| "…".to_owned());
    let quoted = names.take(MAX_NAMES).map(|name| format!("`{name}`"));
    quoted.chain(more).collect::<Vec<_>>().join(", ")
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
            Value::Untyped("") => f.write_str("nothing"),
            Value::Untyped(text) => write!(f, "`{}`", excerpt(text)),
        }
    }
}

/// Returns the first 60 characters of a string for an error message, followed by `…` if there are more. Control
/// characters and quotes are escaped.
pub fn excerpt(text: &str) -> String {
    truncated(text).escape_debug().to_string()
}

/// Returns the first 60 characters of a string, followed by `…` if there are more.
pub fn truncated(text: &str) -> Cow<'_, str> {
    const MAX_CHARS: usize = 60;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Returns the name of a kind with its article, such as "a number" or "an integer".
pub fn with_article(kind: Kind) -> String {
    match kind {
        Kind::Integer => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}
