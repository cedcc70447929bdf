//! Scores the blocks of a file and merges the results in the order of the input.

mod csv;
mod ndjson;

use super::blocks::Block;
use super::input::FileFormat;
use super::pipeline;
use crate::error::{Error, RequestError, RequestErrors};
use crate::protocol::reader::Reader;
use ml_app_model::{Model, RunError, Tensors};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Number of rows per run of the model. The number is large enough to amortize the fixed cost of a run, and small
/// enough for the tensors to stay in the CPU's cache.
const BATCH_ROWS: usize = 4096;

pub struct Scorer<'a> {
    pub model: &'a Model,
    /// Byte range of the input. The rows that start inside this range are scored.
    pub range: Range<u64>,
    pub threads: usize,
}

/// Summary of a scored file.
pub struct Scored {
    /// Number of rows that were scored.
    pub rows: usize,
    /// Columns of the CSV that are not features.
    pub ignored_columns: Vec<String>,
}

/// Reason why a file was not scored.
pub enum Failure {
    /// Rows are invalid, or the model failed.
    Rows(Error),
    /// Reading the input or writing the output failed.
    Io(io::Error),
    /// The output file cannot be created or renamed.
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

/// Result of one block.
#[derive(Default)]
struct ScoredBlock {
    /// Number of rows in the block, including rows outside [`Scorer::range`]. Row numbers in errors count these
    /// rows too.
    rows: usize,
    /// Number of rows that were scored.
    scored: usize,
    errors: RequestErrors,
    output: Vec<u8>,
}

impl ScoredBlock {
    fn new(reader: Reader<'_>, output: Vec<u8>) -> ScoredBlock {
        ScoredBlock {
            rows: reader.rows_read(),
            scored: reader.scored(),
            errors: reader.into_errors(),
            output,
        }
    }
}

impl Scorer<'_> {
    /// Scores `input` and writes each row with its prediction to `output`.
    ///
    /// Reads the input from its beginning even if [`Scorer::range`] starts later. Otherwise, the CSV reader could
    /// not know whether a line end is inside quotes.
    ///
    /// # Errors
    ///
    /// Returns an error if there are no rows, if reading the input or writing the output fails, or if a row is
    /// invalid. In the last case, the error lists all invalid rows, up to a limit.
    pub fn score(
        &self,
        format: FileFormat,
        input: impl Read,
        output: impl Write,
    ) -> Result<Scored, Failure> {
        match format {
            FileFormat::Csv => self.score_csv(input, output),
            FileFormat::Ndjson => self.score_ndjson(input, output),
        }
    }

    /// Scores the blocks, writes their outputs in order, and returns the number of scored rows. The number
    /// can be 0 for a shard.
    fn score_blocks(
        &self,
        blocks: impl Iterator<Item = io::Result<Block>>,
        mut output: impl Write,
        score: impl Fn(Block) -> Result<ScoredBlock, Failure> + Sync,
    ) -> Result<usize, Failure> {
        let mut all = ScoredBlock::default();
        // Reading stops at the end of the range, and when the maximum number of errors is reached.
        let exhausted = AtomicBool::new(false);
        let is_needed = |block: &io::Result<Block>| {
            let is_past = block.as_ref().is_ok_and(|block| block.offset >= self.range.end);
            !is_past && !exhausted.load(Relaxed)
        };
        let blocks = blocks.take_while(is_needed).map(|block| block.map_err(Failure::from));
        pipeline::run(self.threads, blocks, score, |block| {
            all.errors.extend(block.errors, all.rows);
            all.rows += block.rows;
            all.scored += block.scored;
            if all.errors.is_empty() {
                output.write_all(&block.output)?;
            }
            exhausted.store(all.errors.is_exhausted(), Relaxed);
            Ok(())
        })?;
        if !all.errors.is_empty() {
            return Err(Failure::Rows(all.errors.into()));
        }
        let is_whole_file = self.range == (0..u64::MAX);
        if all.scored == 0 && is_whole_file {
            let error = RequestError::new("expected at least one row, found none");
            return Err(Failure::Rows(Error::Invalid(error.into())));
        }
        output.flush()?;
        Ok(all.scored)
    }

    /// Runs the model on a batch. If the model rejects a row, records the error in `reader` and returns `None`.
    fn run_model(
        &self,
        inputs: Tensors,
        reader: &mut Reader<'_>,
    ) -> Result<Option<Tensors>, Failure> {
        let rows = inputs.rows();
        match self.model.run(inputs) {
            Ok(outputs) => Ok(Some(outputs)),
            Err(RunError::Rejected { row, mismatch }) => {
                reader.reject_row(rows, row, &mismatch);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}
