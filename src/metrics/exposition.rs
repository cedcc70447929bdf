//! The text formats of metrics.

use crate::metrics::histogram::{BOUNDS, Histogram};
use std::fmt::{Display, Write};

/// Format of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpositionFormat {
    Prometheus,
    /// Differs from Prometheus' format in the names of counters' families, which lack `_total`, and in an end
    /// marker.
    OpenMetrics,
}

impl ExpositionFormat {
    /// Returns OpenMetrics if the client's `Accept` header names it.
    pub fn of(accept: &str) -> ExpositionFormat {
        if accept.contains("application/openmetrics-text") {
            ExpositionFormat::OpenMetrics
        } else {
            ExpositionFormat::Prometheus
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            ExpositionFormat::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            ExpositionFormat::OpenMetrics => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
        }
    }
}

/// Type of a family, as `# TYPE` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind(&'static str);

pub const COUNTER: Kind = Kind("counter");
pub const GAUGE: Kind = Kind("gauge");
pub const HISTOGRAM: Kind = Kind("histogram");

/// The text under construction: families, each followed by its samples.
#[derive(Debug)]
pub struct Exposition {
    format: ExpositionFormat,
    family: &'static str,
    text: String,
}

impl Exposition {
    pub fn new(format: ExpositionFormat) -> Exposition {
        Exposition { format, family: "", text: String::new() }
    }

    /// Begins a family. The samples that follow belong to it.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        self.family = name;
        let name = match self.format {
            ExpositionFormat::OpenMetrics if kind == COUNTER => name.trim_end_matches("_total"),
            _ => name,
        };
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {}", kind.0));
    }

    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.sample_of("", labels, value);
    }

    /// Writes a histogram of the family; `label` distinguishes it from the others.
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
        if self.format == ExpositionFormat::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn sample_of(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let family = self.family;
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        if labels.is_empty() {
            self.line(format_args!("{family}{suffix} {value}"));
        } else {
            self.line(format_args!("{family}{suffix}{{{}}} {value}", labels.join(",")));
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("a string can be written to");
    }
}

/// Escapes the value of a label.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
