//! `ml-app predict`: scores a file in constant memory. The calling thread reads the file block by block.
//! Several threads score the blocks. The results are written in the order of the input.

mod blocks;
mod input;
mod output;
mod pipeline;
mod scorer;
mod shard;

use crate::cli::model_arg::ModelArg;
use crate::error::Error;
use crate::machine;
use anyhow::{anyhow, bail};
use input::FileFormat;
use scorer::{Failure, Scored, Scorer};
use shard::Shard;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// CSV file with a header row, or NDJSON file; `-` reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write to this file instead of standard output. The file appears under its name only when it
    /// is complete
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Score only part INDEX of COUNT equal parts of FILE; INDEX starts at 0. The outputs of all parts,
    /// concatenated in order, equal the output for the whole file
    #[arg(long, value_name = "INDEX/COUNT")]
    shard: Option<Shard>,
    /// Format of the input and the output [default: NDJSON for `.ndjson` and `.jsonl`, else CSV]
    #[arg(long, value_enum)]
    format: Option<FileFormat>,
    /// Number of threads that score [default: the number of CPUs, or the CPU quota rounded down if that is
    /// less]
    #[arg(long, value_name = "N", value_parser = parse_threads)]
    threads: Option<usize>,
    #[command(flatten)]
    model: ModelArg,
}

impl Args {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let model = self.model.open()?.load()?;
        let (input, progress) = input::open(&self.file)?;
        let range = self.range()?;
        let format = self.format.unwrap_or_else(|| FileFormat::from_extension(&self.file));
        let threads = self.threads.unwrap_or_else(machine::threads);
        let scorer = Scorer { model: &model, range, threads };
        let scored = match &self.output {
            Some(path) if path != Path::new("-") => {
                output::write_atomically(path, |file| scorer.score(format, input, file))
            }
            _ => scorer.score(format, input, io::stdout().lock()),
        };
        progress.finish_and_clear();
        print_result(&self.file, scored)
    }

    /// Returns the byte range of the input whose rows are scored.
    fn range(&self) -> anyhow::Result<Range<u64>> {
        let Some(shard) = self.shard else { return Ok(0..u64::MAX) };
        match fs::metadata(&self.file) {
            Ok(metadata) if metadata.is_file() => Ok(shard.range(metadata.len())),
            _ => bail!("--shard: expected a regular file, found {}", self.file.display()),
        }
    }
}

/// Parses `--threads`.
fn parse_threads(text: &str) -> Result<usize, String> {
    let threads = text.parse().ok().filter(|threads| (1..=1024).contains(threads));
    threads.ok_or_else(|| "expected a number from 1 to 1024".to_owned())
}

/// Logs a summary if the file was scored. If rows are invalid, prints the listed errors and the number of omitted
/// errors.
fn print_result(file: &Path, scored: Result<Scored, Failure>) -> anyhow::Result<ExitCode> {
    let name = file.display();
    match scored {
        Ok(Scored { rows, ignored_columns }) => {
            if !ignored_columns.is_empty() {
                log::info!(
                    "ignored columns, which are not features: {}",
                    ignored_columns.join(", ")
                );
            }
            log::info!("{rows} rows scored");
            Ok(ExitCode::SUCCESS)
        }
        Err(Failure::Rows(Error::Malformed(errors) | Error::Invalid(errors))) => {
            for error in &errors.listed {
                eprintln!("error: {name}: {error}");
            }
            if errors.omitted > 0 {
                eprintln!("error: {name}: {} more errors", errors.omitted);
            }
            Ok(ExitCode::FAILURE)
        }
        Err(Failure::Rows(error)) => Err(anyhow!("{name}: {error}")),
        // The caller treats a closed pipe as success, so this error is not converted to text.
        Err(Failure::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Err(error.into()),
        Err(Failure::Io(error)) => Err(anyhow!("{name}: {error}")),
        Err(Failure::Output(error)) => Err(error),
    }
}
