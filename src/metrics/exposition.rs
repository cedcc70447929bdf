//! The text formats of metrics.

use crate::metrics::histogram::{BOUNDS, Histogram};
use std::fmt::{Display, Write};

/// Format of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpositionFormat {
    Prometheus,
    /// Differs from the Prometheus format in two ways: the family name of a counter lacks `_total`, and the text ends
    /// with an end marker.
    OpenMetrics,
}

impl ExpositionFormat {
    /// Returns `OpenMetrics` if the client's `Accept` header lists its media type, and `Prometheus` otherwise.
    pub fn from_accept(accept: &str) -> ExpositionFormat {
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

/// Type of a metric family, as written in its `# TYPE` line.
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

    /// Begins a family. The samples that follow belong to this family.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        self.family = name;
        let name = match self.format {
            ExpositionFormat::OpenMetrics if kind == COUNTER => name.trim_end_matches("_total"),
            _ => name,
        };
        self.write_line(format_args!("# HELP {name} {help}\n# TYPE {name} {}", kind.0));
    }

    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.sample_with_suffix("", labels, value);
    }

    /// Writes a histogram of the family. `label` distinguishes the histogram from other histograms of the family.
    pub fn histogram(&mut self, label: (&str, &str), histogram: &Histogram) {
        let mut count = 0;
        let bounds = BOUNDS.iter().map(|ns| (*ns as f64 / 1e9).to_string());
        for (bound, bucket_count) in bounds.chain(["+Inf".to_owned()]).zip(histogram.counts()) {
            count += bucket_count;
            self.sample_with_suffix("_bucket", &[label, ("le", &bound)], count);
        }
        let seconds = histogram.total().ns as f64 / 1e9;
        self.sample_with_suffix("_sum", &[label], seconds);
        self.sample_with_suffix("_count", &[label], count);
    }

    pub fn finish(mut self) -> String {
        if self.format == ExpositionFormat::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn sample_with_suffix(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let family = self.family;
        let labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escape_label(value)))
            .collect();
        if labels.is_empty() {
            self.write_line(format_args!("{family}{suffix} {value}"));
        } else {
            self.write_line(format_args!("{family}{suffix}{{{}}} {value}", labels.join(",")));
        }
    }

    fn write_line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("writing to a string does not fail");
    }
}

/// Escapes the value of a label.
fn escape_label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
