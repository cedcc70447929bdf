//! Regular expressions with the semantics of RE2 that ONNX's text operators specify: the
//! leftmost-longest match, and ASCII `\w`, `\d`, `\s` and `\b`. Matching takes linear time.

mod run;

use crate::ops::text::pattern::run::Run;
use regex_automata::meta::{Config, Regex};
use regex_automata::{Anchored, Input, MatchKind};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::iter::Peekable;
use std::ops::Range;
use std::str::Chars;
use tract_onnx::tract_hir::internal::*;

/// Maximum length of a pattern; longer ones would make a small model slow to load.
const MAX_LENGTH: usize = 10_000;

#[derive(Debug)]
pub struct Pattern {
    source: String,
    matcher: Matcher,
}

#[derive(Debug)]
enum Matcher {
    Run(Run),
    Other {
        leftmost: Regex,
        /// Anchored search for the longest match from a given start.
        longest: Regex,
    },
}

impl Pattern {
    /// Compiles `pattern`.
    ///
    /// # Errors
    ///
    /// Returns an error if `pattern` is not a regular expression or is too large.
    pub fn new(pattern: &str) -> TractResult<Pattern> {
        let translated = translate(checked(pattern)?);
        let leftmost = build(Regex::config(), pattern, &translated)?;
        let matcher = match Run::new(&translated) {
            Some(run) => Matcher::Run(run),
            None => {
                let longest = Regex::config().match_kind(MatchKind::All);
                Matcher::Other { leftmost, longest: build(longest, pattern, &translated)? }
            }
        };
        Ok(Pattern { source: pattern.to_owned(), matcher })
    }

    /// Returns the first match at or after byte `start`.
    pub fn find(&self, text: &str, start: usize) -> Option<Range<usize>> {
        let (leftmost, longest) = match &self.matcher {
            Matcher::Run(run) => return run.find(text, start),
            Matcher::Other { leftmost, longest } => (leftmost, longest),
        };
        let start = leftmost.search(&Input::new(text).range(start..))?.start();
        let input = Input::new(text).range(start..).anchored(Anchored::Yes);
        longest.search(&input).map(|found| found.range())
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.source.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pattern, D::Error> {
        let source: &str = Deserialize::deserialize(deserializer)?;
        Pattern::new(source).map_err(de::Error::custom)
    }
}

/// A pattern that must match a whole text.
#[derive(Debug)]
pub struct Whole(Regex);

impl Whole {
    /// Compiles `pattern`.
    ///
    /// # Errors
    ///
    /// Returns an error if [`Pattern::new`] would.
    pub fn new(pattern: &str) -> TractResult<Whole> {
        let translated = translate(checked(pattern)?);
        // Compile the pattern on its own first: it could otherwise close the group it is put into.
        build(Regex::config(), pattern, &translated)?;
        build(Regex::config(), pattern, &format!(r"\A(?:{translated})\z")).map(Whole)
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

fn checked(pattern: &str) -> TractResult<&str> {
    let found = pattern.len();
    ensure!(found <= MAX_LENGTH, "expected a pattern of {MAX_LENGTH} bytes or less, found {found}");
    Ok(pattern)
}

fn build(config: Config, pattern: &str, translated: &str) -> TractResult<Regex> {
    let built = Regex::builder().configure(config).build(translated);
    built.map_err(|error| match error.syntax_error() {
        Some(fault) => format_err!("expected a regular expression, found `{pattern}`: {fault}"),
        None => format_err!("expected a regular expression, found `{pattern}`: {error}"),
    })
}

const WORD: &str = "0-9A-Za-z_";
const DIGIT: &str = "0-9";
const SPACE: &str = r"\t\n\f\r ";

/// Translates RE2 syntax to the syntax of the `regex` crates, whose `\w` etc. are Unicode and whose
/// brackets may contain brackets and operators.
fn translate(pattern: &str) -> String {
    let mut translated = String::with_capacity(pattern.len());
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => escape(&mut rest, false, &mut translated),
            '[' => brackets(&mut rest, &mut translated),
            c => translated.push(c),
        }
    }
    translated
}

/// Translates what follows a backslash.
fn escape(rest: &mut Peekable<Chars>, in_brackets: bool, translated: &mut String) {
    let c = rest.next();
    let class = match c.map(|c| c.to_ascii_lowercase()) {
        Some('w') => WORD,
        Some('d') => DIGIT,
        Some('s') => SPACE,
        _ => "",
    };
    match c {
        Some('w' | 'd' | 's') if in_brackets => translated.push_str(class),
        Some('w' | 'd' | 's') => translated.extend(["[", class, "]"]),
        Some('W' | 'D' | 'S') => translated.extend(["[^", class, "]"]),
        Some('b') if !in_brackets => translated.push_str(r"(?-u:\b)"),
        Some('B') if !in_brackets => translated.push_str(r"(?-u:\B)"),
        c => {
            translated.push('\\');
            translated.extend(c);
        }
    }
}

/// Translates a bracket expression after its opening bracket.
fn brackets(rest: &mut Peekable<Chars>, translated: &mut String) {
    translated.push('[');
    translated.extend(rest.next_if_eq(&'^'));
    let mut first = true;
    while let Some(c) = rest.next() {
        match c {
            ']' if !first => {
                translated.push(']');
                return;
            }
            '\\' => escape(rest, true, translated),
            // A class such as `[:alpha:]`.
            '[' if rest.peek() == Some(&':') => {
                translated.push('[');
                for c in rest.by_ref() {
                    translated.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            '-' if rest.peek() == Some(&'-') && !first => {
                rest.next();
                translated.push_str(r"-\-");
            }
            '[' | ']' | '&' | '~' => translated.extend(['\\', c]),
            '-' if first => translated.push_str(r"\-"),
            c => translated.push(c),
        }
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(pattern: &str, text: &str) -> Vec<String> {
        let pattern = Pattern::new(pattern).expect("the pattern is one");
        let mut found = vec![];
        let mut start = 0;
        while let Some(range) = pattern.find(text, start) {
            start = range.end.max(start + 1);
            found.push(text[range].to_owned());
        }
        found
    }

    #[test]
    fn the_longest_match_wins() {
        assert_eq!(finds("a|ab|abc", "abc aabd"), ["abc", "a", "ab"]);
        assert_eq!(finds("a.*?b", "abc aabd"), ["abc aab"]);
    }

    #[test]
    fn runs_of_characters_are_greedy() {
        assert_eq!(finds("[a-zé]+", "éa, b"), ["éa", "b"]);
        assert_eq!(finds("[a-z]{2,3}", "a bcdef ghi"), ["bcd", "ef", "ghi"]);
        assert_eq!(finds("[a-z]{2}", "abcde"), ["ab", "cd"]);
        assert_eq!(finds("[a-z]*", "-ab"), ["", "ab", ""]);
        assert_eq!(finds("[a-z]+?", "ab"), ["ab"]);
        assert_eq!(finds(".", "a\nß"), ["a", "ß"]);
        assert_eq!(finds("[^ ]+", "a\n ß"), ["a\n", "ß"]);
        assert_eq!(finds("a+", "aab"), ["aa"]);
    }

    #[test]
    fn word_and_digit_classes_are_ascii() {
        assert_eq!(finds(r"\w+", "abc éaab"), ["abc", "aab"]);
        assert_eq!(finds(r"\b\w\w+\b", "abc éaab a"), ["abc", "aab"]);
        assert_eq!(finds(r"[\w-]+", "é-a"), ["-a"]);
        assert_eq!(finds(r"[^\W]+", "éa"), ["a"]);
        assert_eq!(finds(r"\d", "٣3"), ["3"]);
        assert_eq!(finds(r"a\B.", "ab aé"), ["ab"]);
        assert_eq!(finds(r"\S+", "a\u{a0}b c"), ["a\u{a0}b", "c"]);
    }

    #[test]
    fn brackets_do_not_nest() {
        assert_eq!(finds("[[a]+", "[a]"), ["[a"]);
        assert_eq!(finds("[]a]+", "[a]"), ["a]"]);
        assert_eq!(finds("[^]a]+", "[a]"), ["["]);
        assert_eq!(finds("[a&&b]+", "a&b"), ["a&b"]);
        assert_eq!(finds("[+--]+", "+,-."), ["+,-"]);
        assert_eq!(finds("[--/]+", "+-./"), ["-./"]);
        assert_eq!(finds("[[:alpha:]_]+", "a1_"), ["a", "_"]);
        assert_eq!(finds(r"\[\w", "[a"), ["[a"]);
    }

    #[test]
    fn rejects_invalid_patterns() {
        for pattern in ["[", "(a", "a{1000}{1000}{1000}", r"(?=a)", &"a".repeat(MAX_LENGTH + 1)] {
            assert!(Pattern::new(pattern).is_err(), "{pattern:.20}");
        }
    }
}
