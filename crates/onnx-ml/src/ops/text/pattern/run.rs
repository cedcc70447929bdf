//! The pattern of nearly every tokenizer: a run of characters of one class, such as `[a-zA-Z]+`.

use regex_automata::util::syntax;
use regex_syntax::hir::{Class, ClassUnicode, Hir, HirKind};
use std::ops::Range;

#[derive(Debug)]
pub struct Run {
    ascii: [bool; 128],
    class: ClassUnicode,
    shortest: u32,
    longest: u32,
}

impl Run {
    /// Returns `None` if the pattern is not a single run.
    pub fn new(pattern: &str) -> Option<Run> {
        let pattern = syntax::parse(pattern).ok()?;
        let (class, shortest, longest) = match pattern.kind() {
            HirKind::Repetition(run) if run.min > 0 => (&*run.sub, run.min, run.max),
            _ => (&pattern, 1, Some(1)),
        };
        let class = class_of(class)?;
        let ascii = std::array::from_fn(|byte| contains(&class, char::from(byte as u8)));
        Some(Run { ascii, class, shortest, longest: longest.unwrap_or(u32::MAX) })
    }

    /// Returns the first run at or after byte `start`, of at most `longest` characters.
    pub fn find(&self, text: &str, start: usize) -> Option<Range<usize>> {
        let (mut first, mut length) = (start, 0);
        for (offset, c) in text[start..].char_indices() {
            let at = start + offset;
            let is_in = match self.ascii.get(c as usize) {
                Some(is_in) => *is_in,
                None => contains(&self.class, c),
            };
            if is_in {
                first = if length == 0 { at } else { first };
                length += 1;
                if length == self.longest {
                    return Some(first..at + c.len_utf8());
                }
            } else {
                if length >= self.shortest {
                    return Some(first..at);
                }
                length = 0;
            }
        }
        (length >= self.shortest).then_some(first..text.len())
    }
}

fn class_of(pattern: &Hir) -> Option<ClassUnicode> {
    match pattern.kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class.clone()),
        HirKind::Class(Class::Bytes(class)) => class.to_unicode_class(),
        _ => None,
    }
}

fn contains(class: &ClassUnicode, c: char) -> bool {
    let ranges = class.ranges();
    let after = ranges.partition_point(|range| range.start() <= c);
    after > 0 && c <= ranges[after - 1].end()
}
