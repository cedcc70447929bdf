//! Scores CSV: appends the columns of the prediction to each record.

use super::{BATCH_ROWS, Failure, Scored, ScoredBlock, Scorer};
use crate::cli::predict::blocks::{Block, Blocks};
use crate::protocol::csv::{Columns, Record, Table, Writer, tracking_reader};
use crate::protocol::predictions::Predictions;
use crate::protocol::reader::Reader;
use ml_app_model::RowOutputs;
use std::io::{Read, Write};
use std::iter;

impl Scorer<'_> {
    pub(super) fn score_csv(
        &self,
        input: impl Read,
        mut output: impl Write,
    ) -> Result<Scored, Failure> {
        let signature = self.model.signature();
        let mut blocks = Blocks::new(input, tracking_reader::whole_records);
        let first = blocks.next().transpose()?.unwrap_or_default();
        let table = Table::new(&first.bytes, signature)?;
        // Only the first shard writes the header, so that the concatenated outputs of all shards have one header.
        if self.range.start == 0 {
            let mut writer = Writer::new(0, signature);
            writer.header(table.header());
            output.write_all(&writer.out)?;
        }
        let (columns, ignored_columns) = (table.columns().clone(), table.ignored.clone());
        let header_bytes = table.position();
        let blocks = iter::once(Ok(without_header(first, header_bytes))).chain(blocks);
        let rows =
            self.score_blocks(blocks, output, |block| self.score_records(&columns, &block))?;
        Ok(Scored { rows, ignored_columns })
    }

    fn score_records(&self, columns: &Columns, block: &Block) -> Result<ScoredBlock, Failure> {
        let signature = self.model.signature();
        let mut table = columns.table(&block.bytes, block.line);
        let mut writer = Writer::new(4 * block.bytes.len(), signature);
        // The records of the current batch. Their buffers are reused for the next batch.
        let mut records = vec![];
        let mut reader = Reader::new(signature, usize::MAX);
        let position = |table: &Table<'_>| block.offset + table.position() as u64;
        // Rows that start before the range are not scored, but they count for the row numbers in errors.
        let mut skipped = Record::default();
        while position(&table) < self.range.start && table.skip(&mut skipped, &mut reader)? {}
        loop {
            while reader.len() < BATCH_ROWS
                && !reader.is_exhausted()
                && position(&table) < self.range.end
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
            let Some(outputs) = self.run_model(inputs, &mut reader)? else { continue };
            let outputs = RowOutputs::new(signature, outputs);
            let predictions = Predictions::new(signature, &outputs);
            let cells = predictions.cells();
            for (row, record) in records[..rows].iter().enumerate() {
                writer.record(record, &predictions, &cells, row);
            }
        }
        Ok(ScoredBlock::new(reader, writer.out))
    }
}

/// Removes the header from the first block of a file. `header_bytes` is the length of the header.
fn without_header(first: Block, header_bytes: usize) -> Block {
    let mut start = header_bytes;
    // The CSV reader stops after the `\r` of `\r\n`.
    if first.bytes[..start].ends_with(b"\r") && first.bytes[start..].starts_with(b"\n") {
        start += 1;
    }
    // `whole_records` counts a record only if another record follows. The `x` stands for that record.
    let header = [&first.bytes[..start], b"x"].concat();
    let (_, lines) = tracking_reader::whole_records(&header).unwrap_or_default();
    Block { bytes: first.bytes[start..].to_vec(), offset: start as u64, line: first.line + lines }
}
