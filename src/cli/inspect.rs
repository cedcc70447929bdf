use crate::cli::{ModelArg, settings};
use crate::config::Flags;
use anyhow::anyhow;
use ml_app_model::{Report, Signature};
use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::process::ExitCode;

pub fn run(model: &ModelArg) -> anyhow::Result<ExitCode> {
    let config = match settings(&Flags::default()) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let source = model.open()?;
    let report = source
        .report()
        .map_err(|error| anyhow!("{} cannot be inspected: {error}", source.place()))?;
    let loaded = source.load();
    let mut text = String::new();
    if let Ok(loaded) = &loaded {
        write_signature(&mut text, loaded.signature())?;
    }
    write_report(&mut text, &report)?;
    writeln!(text, "{:<12} {}, {} bytes", "file", source.place(), report.bytes)?;
    writeln!(text, "{:<12} {}", "sha256", source.sha256())?;
    writeln!(text, "{:<12} {}", "threads", config.threads)?;
    io::stdout().write_all(text.as_bytes())?;
    loaded.map(|_| ExitCode::SUCCESS)
}

pub fn write_signature(text: &mut String, signature: &Signature) -> fmt::Result {
    writeln!(text, "{:<12} {} version {}", "model", signature.name, signature.version)?;
    for line in signature.description.iter().flat_map(|description| description.lines()) {
        writeln!(text, "{:<12} {line}", "")?;
    }
    section(
        text,
        "features",
        signature.features.iter().map(|feature| {
            let summary = feature.summary().map_or(String::new(), |summary| format!(": {summary}"));
            format!("{feature}{summary}")
        }),
    )?;
    section(text, "inputs", signature.inputs.iter().map(ToString::to_string))?;
    section(text, "outputs", signature.outputs.iter().map(ToString::to_string))?;
    section(
        text,
        "classes",
        signature.classes().iter().map(|class| {
            let meaning = signature.class_meanings.iter().find(|(label, _)| label == class);
            meaning.map_or(class.clone(), |(_, meaning)| format!("{class}: {meaning}"))
        }),
    )?;
    section(
        text,
        "metrics",
        signature.metrics.iter().map(|(name, value)| format!("{name} {value}")),
    )
}

fn write_report(text: &mut String, report: &Report) -> fmt::Result {
    section(
        text,
        "opsets",
        report.opsets.iter().map(|(domain, version)| format!("{domain} {version}")),
    )?;
    section(
        text,
        "operators",
        report.operators.iter().map(|(operator, nodes)| format!("{operator} × {nodes}")),
    )?;
    section(text, "producer", Some(report.producer.clone()).into_iter().filter(|p| !p.is_empty()))?;
    section(text, "IR version", std::iter::once(report.ir_version.to_string()))?;
    section(text, "metadata", report.metadata.iter().map(|(key, value)| format!("{key} = {value}")))
}

/// A label, then a line for each entry.
fn section(text: &mut String, label: &str, entries: impl Iterator<Item = String>) -> fmt::Result {
    for (index, entry) in entries.enumerate() {
        writeln!(text, "{:<12} {entry}", if index == 0 { label } else { "" })?;
    }
    Ok(())
}
