//! The signature of a model, as text for `ml-app inspect` and `ml-app check`.

use ml_app_model::Signature;
use std::fmt::{self, Write};

/// Appends the signature to `text`, one section after another.
pub fn write(text: &mut String, signature: &Signature) -> fmt::Result {
    writeln!(text, "{:<12} {} version {}", "model", signature.name, signature.version)?;
    for line in signature.description.iter().flat_map(|description| description.lines()) {
        writeln!(text, "{:<12} {line}", "")?;
    }
    write_section(
        text,
        "features",
        signature.features.iter().map(|feature| {
            let summary = feature.summary().map_or(String::new(), |summary| format!(": {summary}"));
            format!("{feature}{summary}")
        }),
    )?;
    write_section(text, "inputs", signature.inputs.iter().map(ToString::to_string))?;
    write_section(text, "outputs", signature.outputs.iter().map(ToString::to_string))?;
    write_section(
        text,
        "classes",
        signature.classes().iter().map(|class| {
            let meaning = signature.class_meanings.iter().find(|(label, _)| label == class);
            meaning.map_or(class.clone(), |(_, meaning)| format!("{class}: {meaning}"))
        }),
    )?;
    write_section(
        text,
        "metrics",
        signature.metrics.iter().map(|(name, value)| format!("{name} {value}")),
    )
}

/// Writes one line per entry. Only the first line shows the label.
pub fn write_section(
    text: &mut String,
    label: &str,
    entries: impl Iterator<Item = String>,
) -> fmt::Result {
    for (index, entry) in entries.enumerate() {
        writeln!(text, "{:<12} {entry}", if index == 0 { label } else { "" })?;
    }
    Ok(())
}
