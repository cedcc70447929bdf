use crate::metrics::histogram::{BOUNDS, Histogram};
use std::fmt::{Display, Write};

/// Of Prometheus, or of OpenMetrics, where a counter's family is named without `_total`, and the end
/// is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    /// By what the client accepts.
    pub fn of(accept: &str) -> Format {
        match accept.contains("application/openmetrics-text") {
            true => Format::OpenMetrics,
            false => Format::Prometheus,
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(&'static str);

pub const COUNTER: Kind = Kind("counter");
pub const GAUGE: Kind = Kind("gauge");
pub const HISTOGRAM: Kind = Kind("histogram");

/// Families, each with its samples.
#[derive(Debug)]
pub struct Exposition {
    format: Format,
    family: &'static str,
    text: String,
}

impl Exposition {
    pub fn new(format: Format) -> Exposition {
        Exposition { format, family: "", text: String::new() }
    }

    /// The samples that follow are of this family.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        self.family = name;
        let name = match self.format {
            Format::OpenMetrics if kind == COUNTER => name.trim_end_matches("_total"),
            _ => name,
        };
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {}", kind.0));
    }

    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.sample_of("", labels, value);
    }

    /// `label` tells it from the family's others.
    pub fn histogram(&mut self, label: (&str, &str), histogram: &Histogram) {
        let mut count = 0;
        let bounds = BOUNDS.iter().map(|ns| (*ns as f64 / 1e9).to_string());
        for (bound, more) in bounds.chain(["+Inf".to_owned()]).zip(histogram.counts()) {
            count += more;
            self.sample_of("_bucket", &[label, ("le", &bound)], count);
        }
        let seconds = histogram.total().ns as f64 / 1e9;
        self.sample_of("_sum", &[label], seconds);
        self.sample_of("_count", &[label], count);
    }

    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn sample_of(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let family = self.family;
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        match labels.is_empty() {
            true => self.line(format_args!("{family}{suffix} {value}")),
            false => self.line(format_args!("{family}{suffix}{{{}}} {value}", labels.join(","))),
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("memory can be written to");
    }
}

/// The value of a label.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
