//! Scores a file in constant memory: read a batch of rows, run, write, and again.

use crate::cli::ModelArg;
use crate::error::Error;
use crate::protocol::answer::Answer;
use crate::protocol::csv::{Table, Writer};
use crate::protocol::features;
use crate::protocol::reader::Reader;
use anyhow::{Context, anyhow, bail};
use clap::ValueEnum;
use csv::ByteRecord;
use indicatif::{ProgressBar, ProgressStyle};
use ml_app_model::Model;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Read, Write};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

/// Rows read before they are run: enough to amortise a run, little enough to stay in cache.
const BATCH: usize = 4096;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// CSV with a header row, or NDJSON; `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write here instead of to standard output; the file appears once it is whole
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Score one of COUNT parts of FILE, counted from 0: their outputs, one after the other, are that of
    /// the whole
    #[arg(long, value_name = "INDEX/COUNT")]
    shard: Option<Shard>,
    /// Format of the input and the output [default: by the file's name, else CSV]
    #[arg(long, value_enum)]
    format: Option<Format>,
    #[command(flatten)]
    model: ModelArg,
}

/// A part of a file, by bytes: that of the rows which begin there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shard {
    index: u64,
    count: u64,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let shard = text.split_once('/').and_then(|(index, count)| {
            Some(Shard { index: index.parse().ok()?, count: count.parse().ok()? })
        });
        shard
            .filter(|shard| shard.index < shard.count)
            .ok_or_else(|| "expected two numbers such as 0/4, the first the smaller".to_owned())
    }
}

impl Shard {
    fn of(self, size: u64) -> Range<u64> {
        let at =
            |index: u64| (u128::from(size) * u128::from(index) / u128::from(self.count)) as u64;
        // What begins at the end or after it, as the only row of a file may, is in the last.
        let end = if self.index + 1 == self.count { u64::MAX } else { at(self.index + 1) };
        at(self.index)..end
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Csv,
    Ndjson,
}

impl Args {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let model = self.model.open()?.load()?;
        let (input, progress) = open(&self.file)?;
        let part = match self.shard {
            None => 0..u64::MAX,
            Some(shard) => match fs::metadata(&self.file) {
                Ok(metadata) if metadata.is_file() => shard.of(metadata.len()),
                _ => bail!("expected a file to take a part of, but found {}", self.file.display()),
            },
        };
        let format = self.format.unwrap_or_else(|| format_of(&self.file));
        let scored = match &self.output {
            Some(path) if path != Path::new("-") => {
                write_whole(path, |file| score(&model, format, part, input, file))
            }
            _ => score(&model, format, part, input, io::stdout().lock()),
        };
        progress.finish_and_clear();
        let name = self.file.display();
        match scored {
            Ok(Scored { rows, ignored }) => {
                if !ignored.is_empty() {
                    log::info!("columns that are no feature: {}", ignored.join(", "));
                }
                log::info!("{rows} rows scored");
                Ok(ExitCode::SUCCESS)
            }
            Err(Failure::Rows(Error::Malformed(faults) | Error::Invalid(faults))) => {
                for fault in &faults.listed {
                    eprintln!("error: {name}: {fault}");
                }
                if faults.omitted > 0 {
                    eprintln!("error: {name}: {} more faults", faults.omitted);
                }
                Ok(ExitCode::FAILURE)
            }
            Err(Failure::Rows(error)) => Err(anyhow!("{name}: {error}")),
            Err(Failure::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                Err(error.into())
            }
            Err(Failure::Io(error)) => Err(anyhow!("{name}: {error}")),
            Err(Failure::Output(error)) => Err(error),
        }
    }
}

/// What came of a file.
struct Scored {
    rows: usize,
    /// Columns that are no feature.
    ignored: Vec<String>,
}

/// Why rows could not be scored.
enum Failure {
    Rows(Error),
    Io(io::Error),
    Output(anyhow::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Rows(error)
    }
}

impl From<ml_app_model::RunError> for Failure {
    fn from(error: ml_app_model::RunError) -> Failure {
        Failure::Rows(error.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

/// The file, which moves a bar on a terminal while it is read.
fn open(path: &Path) -> anyhow::Result<(Box<dyn BufRead>, ProgressBar)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin().lock()), ProgressBar::hidden()));
    }
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
    let (metadata, file) = opened.with_context(|| format!("cannot read {}", path.display()))?;
    if metadata.is_dir() {
        bail!("cannot read {}: it is a directory", path.display());
    }
    let progress = match io::stderr().is_terminal() && metadata.is_file() {
        true => ProgressBar::new(metadata.len()),
        false => ProgressBar::hidden(),
    };
    progress.set_style(ProgressStyle::with_template(
        "{wide_bar} {percent}% {bytes}/{total_bytes} {bytes_per_sec} {eta} left",
    )?);
    Ok((Box::new(BufReader::with_capacity(1 << 16, progress.wrap_read(file))), progress))
}

fn format_of(path: &Path) -> Format {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("ndjson" | "jsonl") => Format::Ndjson,
        _ => Format::Csv,
    }
}

/// Writes beside the file and moves there what was written to the end; a link stays one, and what
/// is no regular file, as a pipe or a device, is written to.
fn write_whole<T>(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let place = |error: io::Error| {
        Failure::Output(anyhow!(error).context(format!("cannot write {}", path.display())))
    };
    let existing = fs::metadata(path).ok();
    if existing.as_ref().is_some_and(|existing| !existing.is_file()) {
        let mut file = OpenOptions::new().write(true).open(path).map_err(place)?;
        return write(&mut file);
    }
    let target =
        if existing.is_some() { fs::canonicalize(path).map_err(place)? } else { path.into() };
    let mut partial = target.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let mut file = take(&partial).map_err(place)?;
    let written = write(&mut file).and_then(|done| {
        let mode = existing.map_or(Ok(()), |existing| file.set_permissions(existing.permissions()));
        let moved =
            mode.and_then(|()| file.sync_all()).and_then(|()| fs::rename(&partial, &target));
        moved.map_err(place).map(|()| done)
    });
    if written.is_err() {
        // The error at hand tells more than one of cleaning up after it.
        let _ = fs::remove_file(&partial);
    }
    written
}

/// A file of one's own, empty. One that a process has left which was killed is taken over.
fn take(path: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let found = format!("another process writes {}", path.display());
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, found));
            }
            Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Unsupported => {
                return Err(error);
            }
            _ => {}
        }
        // Whoever had the lock before may have moved the file to its place.
        let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        if fs::metadata(path).is_ok_and(|now| file.metadata().is_ok_and(|own| id(own) == id(now))) {
            file.set_len(0)?;
            return Ok(file);
        }
    }
}

/// `part` is that of the rows which begin there. All that is before is read too: only so is it known
/// whether a line's end is a row's, or quoted.
fn score(
    model: &Model,
    format: Format,
    part: Range<u64>,
    input: impl BufRead,
    output: impl Write,
) -> Result<Scored, Failure> {
    let output = BufWriter::with_capacity(1 << 16, output);
    match format {
        Format::Csv => score_csv(model, part, input, output),
        Format::Ndjson => score_ndjson(model, part, input, output),
    }
}

fn score_csv(
    model: &Model,
    part: Range<u64>,
    input: impl Read,
    output: impl Write,
) -> Result<Scored, Failure> {
    let signature = model.signature();
    let mut table = Table::new(input, signature)?;
    let mut writer = Writer::new(output, signature);
    if part.start == 0 {
        writer.header(table.header())?;
    }
    let mut records = vec![ByteRecord::new(); BATCH];
    let mut reader = Reader::new(signature, usize::MAX);
    while table.position() < part.start && table.skip(&mut records[0], &mut reader)? {}
    loop {
        while reader.len() < BATCH
            && !reader.is_exhausted()
            && table.position() < part.end
            && table.read(&mut records[reader.len()], &mut reader)?
        {}
        let rows = reader.len();
        if rows == 0 || reader.is_exhausted() {
            break;
        }
        let Some(inputs) = reader.batch()? else { continue };
        let outputs = model.run(inputs)?;
        let answer = Answer::new(signature, &outputs);
        for (row, record) in records[..rows].iter().enumerate() {
            writer.record(record, &answer, row)?;
        }
    }
    let rows = rows_of(reader, &part)?;
    writer.finish()?.flush()?;
    Ok(Scored { rows, ignored: table.ignored })
}

/// How many were scored; a part may have none.
fn rows_of(reader: Reader<'_>, part: &Range<u64>) -> Result<usize, Error> {
    let whole = *part == (0..u64::MAX);
    match reader.scored() {
        0 if !whole && !reader.has_faults() => Ok(0),
        scored => reader.finish().map(|_| scored),
    }
}

fn score_ndjson(
    model: &Model,
    part: Range<u64>,
    mut input: impl BufRead,
    mut output: impl Write,
) -> Result<Scored, Failure> {
    let signature = model.signature();
    let mut reader = Reader::new(signature, usize::MAX);
    let mut lines: Vec<Vec<u8>> = vec![];
    let mut line = vec![];
    let (mut number, mut position) = (0, 0);
    let mut answered = vec![];
    loop {
        lines.clear();
        while lines.len() < BATCH && position < part.end {
            line.clear();
            let start = position;
            let len = input.read_until(b'\n', &mut line)?;
            if len == 0 {
                break;
            }
            position += len as u64;
            number += 1;
            if line.trim_ascii().is_empty() {
                continue;
            }
            if start < part.start {
                reader.skip_row();
            } else {
                features::read_line(&mut reader, number, &line);
                lines.push(line.trim_ascii().to_vec());
            }
        }
        if lines.is_empty() || reader.is_exhausted() {
            break;
        }
        let Some(inputs) = reader.batch()? else { continue };
        let outputs = model.run(inputs)?;
        let answer = Answer::new(signature, &outputs);
        for (row, line) in lines.iter().enumerate() {
            answered.clear();
            answer.object(&mut answered, row);
            output.write_all(&spliced(line, &answered))?;
        }
    }
    let rows = rows_of(reader, &part)?;
    output.flush()?;
    Ok(Scored { rows, ignored: vec![] })
}

/// Two JSON objects as one, on a line.
fn spliced(object: &[u8], more: &[u8]) -> Vec<u8> {
    let open = object.trim_ascii().strip_suffix(b"}").unwrap_or(object).trim_ascii_end();
    let mut line = open.to_vec();
    if !open.ends_with(b"{") {
        line.push(b',');
    }
    line.extend_from_slice(more.strip_prefix(b"{").unwrap_or(more));
    line.push(b'\n');
    line
}
