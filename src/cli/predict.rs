//! Scores a file in constant memory: blocks of it are read, scored on all cores, and written in their order.

mod blocks;
mod pipeline;

use crate::cli::ModelArg;
use crate::error::{Error, Fault, Faults};
use crate::machine;
use crate::protocol::answer::Answer;
use crate::protocol::csv::{Columns, Record, Table, Writer, watch};
use crate::protocol::features;
use crate::protocol::reader::Reader;
use anyhow::{Context, anyhow, bail};
use blocks::{Block, Blocks};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use memchr::{memchr_iter, memrchr};
use ml_app_model::{Model, RunError, Tensors};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, IsTerminal, Read, Write};
use std::iter;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

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
    /// Threads that score [default: the CPU quota, rounded up]
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<usize>,
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

fn threads(text: &str) -> Result<usize, String> {
    let threads = text.parse().ok().filter(|threads| (1..=1024).contains(threads));
    threads.ok_or_else(|| "expected a number from 1 to 1024".to_owned())
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
        let threads = self.threads.unwrap_or_else(machine::threads);
        let scorer = Scorer { model: &model, part, threads };
        let scored = match &self.output {
            Some(path) if path != Path::new("-") => {
                write_whole(path, |file| scorer.score(format, input, file))
            }
            _ => scorer.score(format, input, io::stdout().lock()),
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

impl From<RunError> for Failure {
    fn from(error: RunError) -> Failure {
        Failure::Rows(error.into())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

/// The file, which moves a bar on a terminal while it is read.
fn open(path: &Path) -> anyhow::Result<(Box<dyn Read>, ProgressBar)> {
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
    Ok((Box::new(progress.wrap_read(file)), progress))
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

/// What scores the blocks of a file.
struct Scorer<'a> {
    model: &'a Model,
    /// Of the rows which begin there.
    part: Range<u64>,
    threads: usize,
}

/// Of a block.
#[derive(Default)]
struct Part {
    /// Rows, with those before what is scored.
    rows: usize,
    scored: usize,
    faults: Faults,
    output: Vec<u8>,
}

impl Scorer<'_> {
    /// All that is before the part is read too: only so is it known whether a line's end is a row's, or
    /// quoted.
    fn score(
        &self,
        format: Format,
        input: impl Read,
        output: impl Write,
    ) -> Result<Scored, Failure> {
        match format {
            Format::Csv => self.score_csv(input, output),
            Format::Ndjson => {
                let blocks = Blocks::new(input, whole_lines);
                let rows = self.run(blocks, output, |block| self.score_lines(&block))?;
                Ok(Scored { rows, ignored: vec![] })
            }
        }
    }

    fn score_csv(&self, input: impl Read, mut output: impl Write) -> Result<Scored, Failure> {
        let signature = self.model.signature();
        let mut blocks = Blocks::new(input, watch::whole_records);
        let first = blocks.next().transpose()?.unwrap_or_default();
        let table = Table::new(&first.bytes, signature)?;
        if self.part.start == 0 {
            let mut writer = Writer::new(0, signature);
            writer.header(table.header());
            output.write_all(&writer.out)?;
        }
        let mut begin = table.position();
        if first.bytes[..begin].ends_with(b"\r") && first.bytes[begin..].starts_with(b"\n") {
            begin += 1;
        }
        let (_, lines) =
            watch::whole_records(&[&first.bytes[..begin], b"x"].concat()).unwrap_or_default();
        let first = Block {
            bytes: first.bytes[begin..].to_vec(),
            offset: begin as u64,
            line: first.line + lines,
        };
        let (columns, ignored) = (table.columns().clone(), table.ignored);
        let blocks = iter::once(Ok(first)).chain(blocks);
        let rows = self.run(blocks, output, |block| self.score_records(&columns, &block))?;
        Ok(Scored { rows, ignored })
    }

    /// How many rows were scored; a part may have none.
    fn run(
        &self,
        blocks: impl Iterator<Item = io::Result<Block>>,
        mut output: impl Write,
        score: impl Fn(Block) -> Result<Part, Failure> + Sync,
    ) -> Result<usize, Failure> {
        let mut all = Part::default();
        // Nothing that begins after the part is looked at, nor anything after so many faults.
        let exhausted = AtomicBool::new(false);
        let wanted = |block: &io::Result<Block>| {
            let ended = block.as_ref().is_ok_and(|block| block.offset >= self.part.end);
            !ended && !exhausted.load(Relaxed)
        };
        let blocks = blocks.take_while(wanted).map(|block| block.map_err(Failure::from));
        pipeline::run(self.threads, blocks, score, |part| {
            all.faults.extend(part.faults, all.rows);
            all.rows += part.rows;
            all.scored += part.scored;
            if all.faults.is_empty() {
                output.write_all(&part.output)?;
            }
            exhausted.store(all.faults.is_exhausted(), Relaxed);
            Ok(())
        })?;
        let whole = self.part == (0..u64::MAX);
        if !all.faults.is_empty() {
            return Err(Failure::Rows(all.faults.into()));
        }
        if all.scored == 0 && whole {
            let fault = Fault::new("expected at least one row, but found none");
            return Err(Failure::Rows(Error::Invalid(fault.into())));
        }
        output.flush()?;
        Ok(all.scored)
    }

    /// `None` where the model refuses a row of the batch, which then is a fault.
    fn answered(
        &self,
        inputs: Tensors,
        reader: &mut Reader<'_>,
    ) -> Result<Option<Tensors>, Failure> {
        let rows = inputs.rows();
        match self.model.run(inputs) {
            Ok(outputs) => Ok(Some(outputs)),
            Err(RunError::Refused { row, mismatch }) => {
                reader.refuse(rows, row, &mismatch);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn score_records(&self, columns: &Columns, block: &Block) -> Result<Part, Failure> {
        let signature = self.model.signature();
        let mut table = columns.table(&block.bytes, block.line);
        let mut writer = Writer::new(4 * block.bytes.len(), signature);
        let mut records = vec![];
        let mut reader = Reader::new(signature, usize::MAX);
        let position = |table: &Table<'_>| block.offset + table.position() as u64;
        let mut skipped = Record::default();
        while position(&table) < self.part.start && table.skip(&mut skipped, &mut reader)? {}
        loop {
            while reader.len() < BATCH && !reader.is_exhausted() && position(&table) < self.part.end
            {
                if records.len() == reader.len() {
                    records.push(Record::default());
                }
                if !table.read(&mut records[reader.len()], &mut reader)? {
                    break;
                }
            }
            let rows = reader.len();
            if rows == 0 || reader.is_exhausted() {
                break;
            }
            let Some(inputs) = reader.batch()? else { continue };
            let Some(outputs) = self.answered(inputs, &mut reader)? else { continue };
            let answer = Answer::new(signature, &outputs);
            let cells = answer.cells();
            for (row, record) in records[..rows].iter().enumerate() {
                writer.record(record, &answer, &cells, row);
            }
        }
        let output = writer.out;
        Ok(Part {
            rows: reader.number(),
            scored: reader.scored(),
            faults: reader.into_faults(),
            output,
        })
    }

    fn score_lines(&self, block: &Block) -> Result<Part, Failure> {
        let signature = self.model.signature();
        let mut reader = Reader::new(signature, usize::MAX);
        let mut lines = vec![];
        let (mut output, mut answered) = (vec![], vec![]);
        let mut position = block.offset;
        let mut source =
            block.bytes.split_inclusive(|byte| *byte == b'\n').zip(block.line..).peekable();
        while source.peek().is_some() && !reader.is_exhausted() {
            lines.clear();
            while lines.len() < BATCH && position < self.part.end {
                let Some((line, number)) = source.next() else { break };
                let start = position;
                position += line.len() as u64;
                if line.trim_ascii().is_empty() {
                    continue;
                }
                if start < self.part.start {
                    reader.skip_row();
                } else {
                    features::read_line(&mut reader, number, line);
                    lines.push(line.trim_ascii());
                }
            }
            if lines.is_empty() {
                break;
            }
            let Some(inputs) = reader.batch()? else { continue };
            let Some(outputs) = self.answered(inputs, &mut reader)? else { continue };
            let answer = Answer::new(signature, &outputs);
            for (row, line) in lines.iter().enumerate() {
                answered.clear();
                answer.object(&mut answered, row);
                splice(&mut output, line, &answered);
            }
        }
        Ok(Part {
            rows: reader.number(),
            scored: reader.scored(),
            faults: reader.into_faults(),
            output,
        })
    }
}

fn whole_lines(bytes: &[u8]) -> Option<(usize, u64)> {
    let end = memrchr(b'\n', bytes)?;
    Some((end + 1, memchr_iter(b'\n', bytes).count() as u64))
}

/// Two JSON objects as one, on a line.
fn splice(out: &mut Vec<u8>, object: &[u8], more: &[u8]) {
    let open = object.strip_suffix(b"}").unwrap_or(object).trim_ascii_end();
    out.extend_from_slice(open);
    if !open.ends_with(b"{") {
        out.push(b',');
    }
    out.extend_from_slice(more.strip_prefix(b"{").unwrap_or(more));
    out.push(b'\n');
}
