//! Scores NDJSON: appends the members of the prediction to each object.

use super::{BATCH_ROWS, Failure, Scored, ScoredBlock, Scorer};
use crate::cli::predict::blocks::{Block, Blocks};
use crate::protocol::features;
use crate::protocol::predictions::Predictions;
use crate::protocol::reader::Reader;
use memchr::{memchr_iter, memrchr};
use ml_app_model::RowOutputs;
use std::io::{Read, Write};

impl Scorer<'_> {
    pub(super) fn score_ndjson(
        &self,
        input: impl Read,
        output: impl Write,
    ) -> Result<Scored, Failure> {
        let blocks = Blocks::new(input, whole_lines);
        let rows = self.score_blocks(blocks, output, |block| self.score_lines(&block))?;
        Ok(Scored { rows, ignored_columns: vec![] })
    }

    fn score_lines(&self, block: &Block) -> Result<ScoredBlock, Failure> {
        let signature = self.model.signature();
        let mut reader = Reader::new(signature, usize::MAX);
        // The lines of the current batch, and a buffer for the prediction of one row.
        let (mut lines, mut prediction) = (vec![], vec![]);
        let mut output = vec![];
        let mut position = block.offset;
        let mut source =
            block.bytes.split_inclusive(|byte| *byte == b'\n').zip(block.line..).peekable();
        while source.peek().is_some() && !reader.is_exhausted() {
            lines.clear();
            while lines.len() < BATCH_ROWS && position < self.range.end {
                let Some((line, number)) = source.next() else { break };
                let start = position;
                position += line.len() as u64;
                if line.trim_ascii().is_empty() {
                    continue;
                }
                if start < self.range.start {
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
            let Some(outputs) = self.run_model(inputs, &mut reader)? else { continue };
            let outputs = RowOutputs::new(signature, outputs);
            let predictions = Predictions::new(signature, &outputs);
            for (row, line) in lines.iter().enumerate() {
                prediction.clear();
                predictions.line(&mut prediction, row);
                append_merged(&mut output, line, &prediction);
            }
        }
        Ok(ScoredBlock::new(reader, output))
    }
}

/// Returns the length in bytes of the whole lines at the beginning of `bytes`, and the number of these lines.
fn whole_lines(bytes: &[u8]) -> Option<(usize, u64)> {
    let end = memrchr(b'\n', bytes)?;
    Some((end + 1, memchr_iter(b'\n', bytes).count() as u64))
}

/// Appends a line with one JSON object: the members of `object`, followed by the members of `more`. Copies both
/// without parsing them.
fn append_merged(out: &mut Vec<u8>, object: &[u8], more: &[u8]) {
    let open = object.strip_suffix(b"}").unwrap_or(object).trim_ascii_end();
    out.extend_from_slice(open);
    if !open.ends_with(b"{") {
        out.push(b',');
    }
    out.extend_from_slice(more.strip_prefix(b"{").unwrap_or(more));
    out.push(b'\n');
}
