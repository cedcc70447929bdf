//! Patterns that match a run of characters of one class, such as `[a-zA-Z]+`. Nearly every
//! tokenizer has such a pattern, and a loop over the characters finds its matches faster than a
//! regular expression.

use regex_automata::util::syntax;
use regex_syntax::hir::{Class, ClassUnicode, Hir, HirKind};
use std::ops::Range;

/// A pattern that matches a run of characters.
#[derive(Debug)]
pub struct Run {
    /// `true` for each ASCII character of the class.
    ascii: [bool; 128],
    /// The characters that may occur in the run.
    class: ClassUnicode,
    /// Minimum number of characters, at least 1.
    min_chars: u32,
    /// Maximum number of characters.
    max_chars: u32,
}

impl Run {
    /// Compiles `pattern`. Returns `None` if it is not a run of characters of one class.
    pub fn new(pattern: &str) -> Option<Run> {
        let pattern = syntax::parse(pattern).ok()?;
        let (class, min_chars, max_chars) = match pattern.kind() {
            HirKind::Repetition(run) if run.min > 0 => (&*run.sub, run.min, run.max),
            _ => (&pattern, 1, Some(1)),
        };
        let class = class_of(class)?;
        let ascii = std::array::from_fn(|byte| contains(&class, char::from(byte as u8)));
        Some(Run { ascii, class, min_chars, max_chars: max_chars.unwrap_or(u32::MAX) })
    }

    /// Returns the byte range of the first run that starts at or after byte `start`. A longer run
    /// is cut off after `max_chars` characters.
    pub fn find(&self, text: &str, start: usize) -> Option<Range<usize>> {
        // The start of the current run, and its number of characters.
        let (mut run_start, mut length) = (start, 0);
        for (offset, c) in text[start..].char_indices() {
            let at = start + offset;
            let is_in = match self.ascii.get(c as usize) {
                Some(is_in) => *is_in,
                None => contains(&self.class, c),
            };
            if is_in {
                run_start = if length == 0 { at } else { run_start };
                length += 1;
                if length == self.max_chars {
                    return Some(run_start..at + c.len_utf8());
                }
            } else {
                if length >= self.min_chars {
                    return Some(run_start..at);
                }
                length = 0;
            }
        }
        (length >= self.min_chars).then_some(run_start..text.len())
    }
}

/// Returns the class of a pattern that matches a single character.
fn class_of(pattern: &Hir) -> Option<ClassUnicode> {
    match pattern.kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class.clone()),
        HirKind::Class(Class::Bytes(class)) => class.to_unicode_class(),
        _ => None,
    }
}

/// Returns `true` if `class` contains `c`. Searches the sorted ranges of the class.
fn contains(class: &ClassUnicode, c: char) -> bool {
    let ranges = class.ranges();
    let after = ranges.partition_point(|range| range.start() <= c);
    after > 0 && c <= ranges[after - 1].end()
}
