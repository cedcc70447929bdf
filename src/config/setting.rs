//! The types with which a setting is declared.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// Declaration of a setting: everything that the command line, the parser and `docs/operations.md` need.
#[derive(Debug)]
pub(crate) struct Setting<V> {
    pub flag: Flag,
    /// Environment variables. The first variable that is set applies. A flag overrides all variables.
    pub variables: &'static [&'static str],
    pub values: V,
    pub default: DefaultValue,
    /// Help text. Blank lines separate its paragraphs, and the first paragraph is the summary.
    pub help: &'static str,
}

/// The command-line flag of a setting.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Flag {
    /// No flag: the setting has environment variables only.
    VariableOnly,
    Long(&'static str),
    LongAndShort(&'static str, char),
}

/// Value of a setting that neither a flag nor a variable sets.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DefaultValue {
    /// No default: the feature that the setting controls is off.
    Unset,
    /// Default value, parsed like a value from the command line.
    Fixed(&'static str),
    /// A default that depends on other settings or on the machine. The string describes the default for users.
    Computed(&'static str),
}

/// The values that a setting accepts.
pub(crate) trait Values: Sync {
    type Value;

    /// Returns `None` if the text is not one of the values.
    fn parse(&self, text: &str) -> Option<Self::Value>;

    /// Returns a description of the values. The description follows the word "expected" in error messages.
    fn expected(&self) -> String;

    /// Returns the placeholder for the value in `--help`, such as `PORT`.
    fn placeholder(&self) -> &'static str;
}

/// A number of bytes, with an optional unit.
#[derive(Debug)]
pub(crate) struct Size(pub RangeInclusive<usize>);

/// An integer.
#[derive(Debug)]
pub(crate) struct Count(pub RangeInclusive<usize>);

/// A whole number of seconds.
#[derive(Debug)]
pub(crate) struct Seconds(pub RangeInclusive<u64>);

/// A value that has its own parser.
#[derive(Debug)]
pub(crate) struct Parsed<T> {
    pub placeholder: &'static str,
    pub expected: &'static str,
    pub parse: fn(&str) -> Option<T>,
}

impl Values for Size {
    type Value = usize;

    fn parse(&self, text: &str) -> Option<usize> {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let unit: usize = match text[digits.len()..].trim() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        let size = digits.parse::<usize>().ok()?.checked_mul(unit)?;
        self.0.contains(&size).then_some(size)
    }

    fn expected(&self) -> String {
        match *self.0.end() {
            usize::MAX => "a size such as 1048576, 512KiB or 32MiB".to_owned(),
            end => format!("a size from {}B to {}KiB", self.0.start(), end >> 10),
        }
    }

    fn placeholder(&self) -> &'static str {
        "SIZE"
    }
}

impl Values for Count {
    type Value = usize;

    fn parse(&self, text: &str) -> Option<usize> {
        in_range(text, &self.0)
    }

    fn expected(&self) -> String {
        format!("a number from {} to {}", self.0.start(), self.0.end())
    }

    fn placeholder(&self) -> &'static str {
        "N"
    }
}

impl Values for Seconds {
    type Value = Duration;

    fn parse(&self, text: &str) -> Option<Duration> {
        in_range(text, &self.0).map(Duration::from_secs)
    }

    fn expected(&self) -> String {
        format!("a number of seconds from {} to {}", self.0.start(), self.0.end())
    }

    fn placeholder(&self) -> &'static str {
        "SECONDS"
    }
}

impl<T> Values for Parsed<T> {
    type Value = T;

    fn parse(&self, text: &str) -> Option<T> {
        (self.parse)(text)
    }

    fn expected(&self) -> String {
        self.expected.to_owned()
    }

    fn placeholder(&self) -> &'static str {
        self.placeholder
    }
}

fn in_range<T: FromStr + PartialOrd + Display>(text: &str, range: &RangeInclusive<T>) -> Option<T> {
    text.parse().ok().filter(|number| range.contains(number))
}

impl Flag {
    pub fn long(self) -> Option<&'static str> {
        match self {
            Flag::VariableOnly => None,
            Flag::Long(long) | Flag::LongAndShort(long, _) => Some(long),
        }
    }

    pub fn short(self) -> Option<char> {
        match self {
            Flag::VariableOnly | Flag::Long(_) => None,
            Flag::LongAndShort(_, short) => Some(short),
        }
    }
}

/// A [`Setting`] without its type parameter, so that one list can contain all settings.
pub(crate) trait Declared: Sync {
    fn flag(&self) -> Flag;
    fn variables(&self) -> &'static [&'static str];
    fn default(&self) -> DefaultValue;
    fn expected(&self) -> String;
    fn placeholder(&self) -> &'static str;
    /// Returns the paragraphs of the help text. The first paragraph is the summary.
    fn help(&self) -> Vec<String>;
}

impl<V: Values> Declared for Setting<V> {
    fn flag(&self) -> Flag {
        self.flag
    }

    fn variables(&self) -> &'static [&'static str] {
        self.variables
    }

    fn default(&self) -> DefaultValue {
        self.default
    }

    fn expected(&self) -> String {
        self.values.expected()
    }

    fn placeholder(&self) -> &'static str {
        self.values.placeholder()
    }

    fn help(&self) -> Vec<String> {
        let joined = |paragraph: &str| {
            paragraph.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned()
        };
        self.help.split("\n\n").map(joined).collect()
    }
}
