//! The input file, its format, and the progress bar.

use anyhow::{Context, bail};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

/// Format of the input and the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    Csv,
    Ndjson,
}

impl FileFormat {
    /// Returns the format that the file's extension stands for: NDJSON for `.ndjson` and `.jsonl`, else CSV.
    pub fn from_extension(path: &Path) -> FileFormat {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("ndjson" | "jsonl") => FileFormat::Ndjson,
            _ => FileFormat::Csv,
        }
    }
}

/// Opens the file, or standard input for `-`. If standard error is a terminal, a progress bar shows how much has
/// been read.
pub fn open(path: &Path) -> anyhow::Result<(Box<dyn Read>, ProgressBar)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin().lock()), ProgressBar::hidden()));
    }
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
    let (metadata, file) = opened.with_context(|| format!("cannot read {}", path.display()))?;
    if metadata.is_dir() {
        bail!("cannot read {}: it is a directory", path.display());
    }
    let progress = if io::stderr().is_terminal() && metadata.is_file() {
        ProgressBar::new(metadata.len())
    } else {
        ProgressBar::hidden()
    };
    progress.set_style(ProgressStyle::with_template(
        "{wide_bar} {percent}% {bytes}/{total_bytes} {bytes_per_sec} {eta} left",
    )?);
    Ok((Box::new(progress.wrap_read(file)), progress))
}
