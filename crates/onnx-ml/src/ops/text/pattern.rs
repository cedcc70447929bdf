//! Regular expressions with the semantics of RE2, which ONNX specifies for its string operators. A
//! search returns the longest of the matches that start first. `\w`, `\d`, `\s` and `\b` refer to
//! ASCII only. Matching takes linear time.

mod run;

use crate::ops::text::pattern::run::Run;
use regex_automata::meta::{Config, Regex};
use regex_automata::{Anchored, Input, MatchKind};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::iter::Peekable;
use std::ops::Range;
use std::str::Chars;
use tract_onnx::tract_hir::internal::*;

/// Maximum length of a pattern, in bytes. A longer pattern could make a small model slow to load.
const MAX_LENGTH: usize = 10_000;

/// A compiled regular expression to search for.
#[derive(Debug)]
pub struct Pattern {
    /// The regular expression in RE2 syntax.
    source: String,
    matcher: Matcher,
}

/// The compiled form of a pattern.
#[derive(Debug)]
enum Matcher {
    /// Fast path for the most frequent patterns.
    Run(Run),
    Regex {
        /// Finds the start of the first match.
        leftmost: Regex,
        /// Finds the longest match from a given start.
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
        check_length(pattern)?;
        let translated = translate(pattern);
        let leftmost = build(Regex::config(), pattern, &translated)?;
        let matcher = match Run::new(&translated) {
            Some(run) => Matcher::Run(run),
            None => {
                let longest = Regex::config().match_kind(MatchKind::All);
                Matcher::Regex { leftmost, longest: build(longest, pattern, &translated)? }
            }
        };
        Ok(Pattern { source: pattern.to_owned(), matcher })
    }

    /// Returns the byte range of the first match that starts at or after byte `start`.
    pub fn find(&self, text: &str, start: usize) -> Option<Range<usize>> {
        let (leftmost, longest) = match &self.matcher {
            Matcher::Run(run) => return run.find(text, start),
            Matcher::Regex { leftmost, longest } => (leftmost, longest),
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

/// A compiled regular expression that must match a whole string.
#[derive(Debug)]
pub struct FullMatch(Regex);

impl FullMatch {
    /// Compiles `pattern`.
    ///
    /// # Errors
    ///
    /// Returns an error if [`Pattern::new`] would return an error for `pattern`.
    pub fn new(pattern: &str) -> TractResult<FullMatch> {
        check_length(pattern)?;
        let translated = translate(pattern);
        // Reject a pattern that is only valid inside the group below, such as `)(`.
        build(Regex::config(), pattern, &translated)?;
        build(Regex::config(), pattern, &format!(r"\A(?:{translated})\z")).map(FullMatch)
    }

    /// Returns `true` if the pattern matches `text` from start to end.
    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// Returns an error if `pattern` is too long.
fn check_length(pattern: &str) -> TractResult<()> {
    let found = pattern.len();
    ensure!(found <= MAX_LENGTH, "expected a pattern of {MAX_LENGTH} bytes or less, found {found}");
    Ok(())
}

/// Compiles `translated`, the translation of `pattern`.
fn build(config: Config, pattern: &str, translated: &str) -> TractResult<Regex> {
    let built = Regex::builder().configure(config).build(translated);
    built.map_err(|error| match error.syntax_error() {
        Some(syntax_error) => {
            format_err!("expected a regular expression, found `{pattern}`: {syntax_error}")
        }
        None => format_err!("expected a regular expression, found `{pattern}`: {error}"),
    })
}

/// The characters of `\w`, as the inside of a bracket expression.
const WORD: &str = "0-9A-Za-z_";

/// The characters of `\d`.
const DIGIT: &str = "0-9";

/// The characters of `\s`.
const SPACE: &str = r"\t\n\f\r ";

/// Translates a pattern from RE2 syntax to the syntax of the crate `regex_syntax`. There, `\w`,
/// `\d`, `\s` and `\b` refer to Unicode, and a bracket expression may contain nested brackets and
/// set operators such as `&&`.
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

/// Translates an escape sequence. `rest` begins after the backslash.
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

/// Translates a bracket expression. `rest` begins after the opening bracket.
fn brackets(rest: &mut Peekable<Chars>, translated: &mut String) {
    translated.push('[');
    translated.extend(rest.next_if_eq(&'^'));
    // A closing bracket or a hyphen at the beginning is an ordinary character.
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
            // `--` is a set operator in `regex_syntax`. In RE2, `+--` is a range up to the hyphen.
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

    /// Returns all matches of `pattern` in `text`.
    fn matches(pattern: &str, text: &str) -> Vec<String> {
        let pattern = Pattern::new(pattern).expect("the pattern is a regular expression");
        let mut matches = vec![];
        let mut start = 0;
        while let Some(range) = pattern.find(text, start) {
            start = range.end.max(start + 1);
            matches.push(text[range].to_owned());
        }
        matches
    }

    #[test]
    fn finds_the_longest_match_at_the_first_start() {
        assert_eq!(matches("a|ab|abc", "abc aabd"), ["abc", "a", "ab"]);
        assert_eq!(matches("a.*?b", "abc aabd"), ["abc aab"]);
    }

    #[test]
    fn finds_the_longest_runs_of_characters() {
        assert_eq!(matches("[a-zé]+", "éa, b"), ["éa", "b"]);
        assert_eq!(matches("[a-z]{2,3}", "a bcdef ghi"), ["bcd", "ef", "ghi"]);
        assert_eq!(matches("[a-z]{2}", "abcde"), ["ab", "cd"]);
        assert_eq!(matches("[a-z]*", "-ab"), ["", "ab", ""]);
        assert_eq!(matches("[a-z]+?", "ab"), ["ab"]);
        assert_eq!(matches(".", "a\nß"), ["a", "ß"]);
        assert_eq!(matches("[^ ]+", "a\n ß"), ["a\n", "ß"]);
        assert_eq!(matches("a+", "aab"), ["aa"]);
    }

    #[test]
    fn word_and_digit_classes_are_ascii() {
        assert_eq!(matches(r"\w+", "abc éaab"), ["abc", "aab"]);
        assert_eq!(matches(r"\b\w\w+\b", "abc éaab a"), ["abc", "aab"]);
        assert_eq!(matches(r"[\w-]+", "é-a"), ["-a"]);
        assert_eq!(matches(r"[^\W]+", "éa"), ["a"]);
        assert_eq!(matches(r"\d", "٣3"), ["3"]);
        assert_eq!(matches(r"a\B.", "ab aé"), ["ab"]);
        assert_eq!(matches(r"\S+", "a\u{a0}b c"), ["a\u{a0}b", "c"]);
    }

    #[test]
    fn brackets_do_not_nest() {
        assert_eq!(matches("[[a]+", "[a]"), ["[a"]);
        assert_eq!(matches("[]a]+", "[a]"), ["a]"]);
        assert_eq!(matches("[^]a]+", "[a]"), ["["]);
        assert_eq!(matches("[a&&b]+", "a&b"), ["a&b"]);
        assert_eq!(matches("[+--]+", "+,-."), ["+,-"]);
        assert_eq!(matches("[--/]+", "+-./"), ["-./"]);
        assert_eq!(matches("[[:alpha:]_]+", "a1_"), ["a", "_"]);
        assert_eq!(matches(r"\[\w", "[a"), ["[a"]);
    }

    #[test]
    fn rejects_invalid_patterns() {
        for pattern in ["[", "(a", "a{1000}{1000}{1000}", r"(?=a)", &"a".repeat(MAX_LENGTH + 1)] {
            assert!(Pattern::new(pattern).is_err(), "{pattern:.20}");
        }
    }
}
