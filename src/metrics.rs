//! What the process tells of itself, in Prometheus' [text format][text]; the names and values are
//! OpenMetrics' too.
//!
//! [text]: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format

use crate::inferences::Snapshot;
use ml_app_model::{Phases, Signature};
use std::fmt::{self, Write};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every family, with what it is made of.
#[derive(Debug, Default)]
pub struct Metrics {
    /// `ml_app_build_info`: of the ONNX file, in hexadecimal.
    model_sha256: String,
    /// `process_start_time_seconds` and `ml_app_start_seconds`, once the process has started.
    start: OnceLock<Start>,
}

#[derive(Debug)]
struct Start {
    /// When `main` began.
    began: SystemTime,
    phases: Phases,
}

impl Metrics {
    pub fn new(model_sha256: String) -> Metrics {
        Metrics { model_sha256, start: OnceLock::new() }
    }

    /// The start is over; only the first call tells.
    pub fn started(&self, phases: Phases) {
        self.start.get_or_init(|| Start { began: SystemTime::now() - phases.total(), phases });
    }

    /// All families. `signature` is the model's.
    pub fn text(&self, signature: &Signature, inferences: &Snapshot) -> String {
        let mut text = String::new();
        let written =
            self.write(&mut text, signature).and_then(|()| write_inferences(&mut text, inferences));
        written.expect("memory can be written to");
        text
    }

    fn write(&self, text: &mut String, signature: &Signature) -> fmt::Result {
        gauge(text, "ml_app_build_info", "The program and the model it serves.")?;
        let labels = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("model", &signature.name),
            ("model_version", &signature.version),
            ("model_sha256", &self.model_sha256),
        ]
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
        writeln!(text, "ml_app_build_info{{{}}} 1", labels.join(","))?;
        let Some(start) = self.start.get() else { return Ok(()) };
        let began = start.began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        gauge(text, "process_start_time_seconds", "When main began, since the Unix epoch.")?;
        writeln!(text, "process_start_time_seconds {:.6}", began.as_secs_f64())?;
        gauge(text, "ml_app_start_seconds", "What each phase took from main to ready.")?;
        for (phase, time) in start.phases.parts() {
            let phase = escaped(phase);
            writeln!(text, "ml_app_start_seconds{{phase=\"{phase}\"}} {:.6}", time.as_secs_f64())?;
        }
        Ok(())
    }
}

fn write_inferences(text: &mut String, done: &Snapshot) -> fmt::Result {
    gauge(text, "ml_app_inferences_in_flight", "Inferences that wait for a thread or run on one.")?;
    writeln!(text, "ml_app_inferences_in_flight {}", done.in_flight)?;
    counter(text, "ml_app_inferences_total", "Inferences that have ended, by what came of them.")?;
    for (result, total) in [("success", done.success), ("failure", done.fail)] {
        writeln!(text, "ml_app_inferences_total{{result=\"{result}\"}} {}", total.count)?;
    }
    counter(text, "ml_app_inference_seconds_total", "What each part of the successful took.")?;
    let parts = [
        ("queue", done.queue),
        ("decode", done.decode),
        ("infer", done.infer),
        ("encode", done.encode),
    ];
    for (part, total) in parts {
        let seconds = Duration::from_nanos(total.ns).as_secs_f64();
        writeln!(text, "ml_app_inference_seconds_total{{part=\"{part}\"}} {seconds:.9}")?;
    }
    counter(text, "ml_app_inference_rows_total", "Rows of the successful.")?;
    writeln!(text, "ml_app_inference_rows_total {}", done.rows)
}

fn gauge(text: &mut String, name: &str, help: &str) -> fmt::Result {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge")
}

fn counter(text: &mut String, name: &str, help: &str) -> fmt::Result {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter")
}

/// The value of a label.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// "ready in 2.31 ms: process 0.41, model 1.60, bind 0.30".
pub fn summary(phases: &Phases) -> String {
    let ms = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e3);
    let parts = phases.parts().iter().map(|(name, time)| format!("{name} {}", ms(*time)));
    format!("ready in {} ms: {}", ms(phases.total()), parts.collect::<Vec<_>>().join(", "))
}
