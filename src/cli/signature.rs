//! The signature of a model, as text for `ml-app inspect` and `ml-app check`.

use ml_app_model::Signature;
use std::fmt::{self, Write};

pub fn write(text: &mut String, signature: &Signature) -> fmt::Result {
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

/// Writes a line per entry, the first one with the label.
pub fn section(
    text: &mut String,
    label: &str,
    entries: impl Iterator<Item = String>,
) -> fmt::Result {
    for (index, entry) in entries.enumerate() {
        writeln!(text, "{:<12} {entry}", if index == 0 { label } else { "" })?;
    }
    Ok(())
}
