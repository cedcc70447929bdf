//! `ml-app inspect`: shows the model.

use super::model_arg::ModelArg;
use super::signature;
use crate::config::{Config, Flags};
use anyhow::anyhow;
use ml_app_model::Report;
use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::process::ExitCode;

/// Prints the signature, the report and the SHA-256 of the model, and the number of threads. If the model cannot
/// be served, prints everything except the signature, and returns an error.
pub fn run(model: &ModelArg) -> anyhow::Result<ExitCode> {
    let config = Config::from_environment(&Flags::default())?;
    let source = model.open()?;
    let report = source
        .report()
        .map_err(|error| anyhow!("{} cannot be inspected: {error}", source.name()))?;
    let loaded = source.load();
    let mut text = String::new();
    if let Ok(loaded) = &loaded {
        signature::write(&mut text, loaded.signature())?;
    }
    write_report(&mut text, &report)?;
    writeln!(text, "{:<12} {}, {} bytes", "file", source.name(), report.bytes)?;
    writeln!(text, "{:<12} {}", "sha256", source.sha256())?;
    writeln!(text, "{:<12} {}", "threads", config.threads)?;
    io::stdout().write_all(text.as_bytes())?;
    loaded.map(|_| ExitCode::SUCCESS)
}

fn write_report(text: &mut String, report: &Report) -> fmt::Result {
    signature::write_section(
        text,
        "opsets",
        report.opsets.iter().map(|(domain, version)| format!("{domain} {version}")),
    )?;
    signature::write_section(
        text,
        "operators",
        report.operators.iter().map(|(operator, nodes)| format!("{operator} × {nodes}")),
    )?;
    let producer = (!report.producer.is_empty()).then(|| report.producer.clone());
    signature::write_section(text, "producer", producer.into_iter())?;
    signature::write_section(text, "IR version", std::iter::once(report.ir_version.to_string()))?;
    let metadata = report.metadata.iter().map(|(key, value)| format!("{key} = {value}"));
    signature::write_section(text, "metadata", metadata)
}
