//! The signature of a model, as text for `ml-app inspect` and `ml-app check`.

use ml_app_model::{Signature, TensorSpec};
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
            let parameter = if feature.parameter { ", one value for the request" } else { "" };
            let summary = feature.summary().map_or(String::new(), |summary| format!(": {summary}"));
            format!("{feature}{parameter}{summary}")
        }),
    )?;
    let tensor = |spec: &TensorSpec| format!("{spec}{}", rows(signature, spec));
    write_section(text, "inputs", signature.inputs.iter().map(tensor))?;
    write_section(text, "outputs", signature.outputs.iter().map(tensor))?;
    if let Some(rows @ 2..) = signature.fixed_rows {
        writeln!(
            text,
            "{:<12} {rows} rows per run; the last row is repeated to fill a run",
            "batch"
        )?;
    }
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

/// Describes how a tensor relates to the rows, unless its first axis has an entry for each row.
fn rows(signature: &Signature, spec: &TensorSpec) -> String {
    match spec.batch_axis {
        Some(0) => String::new(),
        Some(axis) => format!(", rows on axis {axis}"),
        None if signature.is_given_once(spec) => ", one value for the request".to_owned(),
        None => ", one value for each row".to_owned(),
    }
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
