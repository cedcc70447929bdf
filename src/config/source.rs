//! Settings as they are given, read with every mistake told.

use crate::access;
use std::fmt::Display;
use std::fs;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// Flag, its value, and the variables that stand in for it.
pub type Setting<'a> = (&'a str, &'a Option<String>, &'a [&'a str]);

pub struct Source<'a> {
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    pub mistakes: Vec<String>,
}

impl Source<'_> {
    pub fn read_as<T>(
        &mut self,
        (flag, value, variables): Setting<'_>,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let given = value.clone().map(|value| (flag, value));
        let (name, value) = given
            .or_else(|| variables.iter().find_map(|name| Some((*name, (self.variable)(name)?))))?;
        let parsed = parse(value.trim());
        if parsed.is_none() {
            self.mistakes.push(format!("{name}: expected {expected}, but found `{value}`"));
        }
        parsed
    }

    /// The variable of `--some-thing` is `ML_APP_SOME_THING`.
    pub fn read<T>(
        &mut self,
        flag: &str,
        value: &Option<String>,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let variable = flag.replace("--", "ml-app-").replace('-', "_").to_ascii_uppercase();
        self.read_as((flag, value, &[&variable]), expected, parse)
    }

    /// `what` it is: "a number", "a number of seconds".
    fn in_range<T: FromStr + PartialOrd + Display>(
        &mut self,
        flag: &str,
        value: &Option<String>,
        what: &str,
        range: RangeInclusive<T>,
    ) -> Option<T> {
        let expected = format!("{what} from {} to {}", range.start(), range.end());
        let parse = |text: &str| text.parse().ok().filter(|number| range.contains(number));
        self.read(flag, value, &expected, parse)
    }

    pub fn count(
        &mut self,
        flag: &str,
        value: &Option<String>,
        range: RangeInclusive<usize>,
    ) -> Option<usize> {
        self.in_range(flag, value, "a number", range)
    }

    pub fn seconds(
        &mut self,
        flag: &str,
        value: &Option<String>,
        range: RangeInclusive<u64>,
    ) -> Option<Duration> {
        self.in_range(flag, value, "a number of seconds", range).map(Duration::from_secs)
    }

    pub fn size(
        &mut self,
        flag: &str,
        value: &Option<String>,
        range: RangeInclusive<usize>,
    ) -> Option<usize> {
        let expected = match range.end() {
            &usize::MAX => "a size such as 1048576, 512KiB or 32MiB".to_owned(),
            end => format!("a size from {}B to {}KiB", range.start(), end >> 10),
        };
        self.read(flag, value, &expected, |text| size(text).filter(|size| range.contains(size)))
    }

    /// Of the variable, or of the file.
    pub fn keys(&mut self, file: &Option<String>) -> Vec<access::Key> {
        let told =
            (self.variable)("ML_APP_API_KEYS").map(|text| ("ML_APP_API_KEYS".to_owned(), text));
        let file = self.read("--api-key-file", file, "a path", |path| Some(path.to_owned()));
        let (place, text) = match (told, file) {
            (Some(_), Some(file)) => {
                let found = format!("but found {file} too");
                self.mistakes
                    .push(format!("ML_APP_API_KEYS: expected no file of API keys, {found}"));
                return vec![];
            }
            (Some(told), None) => told,
            (None, Some(file)) => match fs::read_to_string(&file) {
                Ok(text) => (file, text),
                Err(error) => {
                    self.mistakes.push(format!("--api-key-file: {file} cannot be read: {error}"));
                    return vec![];
                }
            },
            (None, None) => return vec![],
        };
        let keys = access::keys(&text);
        if keys.is_empty() {
            self.mistakes.push(format!("{place}: expected one API key at least, but found none"));
        }
        keys
    }
}

fn size(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit: usize = match text[digits.len()..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    digits.parse::<usize>().ok()?.checked_mul(unit)
}
