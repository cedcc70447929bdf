//! Cuts a stream into blocks of whole records, so that threads can work on the blocks independently.

use std::io::{self, Read};

/// Size of a block in bytes, unless a single record is longer.
const BLOCK_SIZE: usize = 256 * 1024;

/// Maximum size of a record in bytes. A quote that is never closed must not make the process read the
/// rest of a file into memory.
const MAX_RECORD_SIZE: usize = 256 * 1024 * 1024;

/// Consecutive whole records of a source.
#[derive(Debug, Default)]
pub struct Block {
    pub bytes: Vec<u8>,
    /// Position of the block's first byte in the source, counted from 0.
    pub offset: u64,
    /// Line of the block's first byte, counted from 1.
    pub line: u64,
}

/// A function that finds the whole records at the beginning of some bytes. The function returns the total length of
/// these records in bytes, and the number of lines that end in these records. It returns `None` if the bytes contain no
/// whole record.
pub type Cut = fn(&[u8]) -> Option<(usize, u64)>;

/// Iterator over a source in [`Block`]s.
#[derive(Debug)]
pub struct Blocks<R> {
    source: R,
    cut: Cut,
    /// Bytes that have been read but do not belong to a block yet.
    buffer: Vec<u8>,
    /// Position of the buffer's first byte in the source, counted from 0.
    offset: u64,
    /// Line of the buffer's first byte, counted from 1.
    line: u64,
    /// True if the source has been read to its end.
    ended: bool,
}

impl<R: Read> Blocks<R> {
    pub fn new(source: R, cut: Cut) -> Blocks<R> {
        Blocks { source, cut, buffer: vec![], offset: 0, line: 1, ended: false }
    }

    /// Returns the next block, or `None` at the end of the source.
    fn read(&mut self) -> io::Result<Option<Block>> {
        let mut target_size = BLOCK_SIZE;
        while !self.ended {
            let missing = target_size.saturating_sub(self.buffer.len()) as u64;
            let read = self.source.by_ref().take(missing).read_to_end(&mut self.buffer)?;
            self.ended = (read as u64) < missing;
            if self.ended {
                break;
            }
            if let Some((len, lines)) = (self.cut)(&self.buffer) {
                let rest = self.buffer.split_off(len);
                return Ok(Some(self.take_block(rest, lines)));
            }
            if target_size >= MAX_RECORD_SIZE {
                let line = self.line;
                let detail = format!(
                    "line {line}: expected a row of at most {MAX_RECORD_SIZE} bytes, found more"
                );
                return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
            }
            target_size *= 2;
        }
        Ok((!self.buffer.is_empty()).then(|| self.take_block(vec![], 0)))
    }

    /// Returns the content of the buffer as a block. `rest` becomes the new content of the buffer. `lines` is the
    /// number of lines that end in the block.
    fn take_block(&mut self, rest: Vec<u8>, lines: u64) -> Block {
        let bytes = std::mem::replace(&mut self.buffer, rest);
        let block = Block { offset: self.offset, line: self.line, bytes };
        self.offset += block.bytes.len() as u64;
        self.line += lines;
        block
    }
}

impl<R: Read> Iterator for Blocks<R> {
    type Item = io::Result<Block>;

    fn next(&mut self) -> Option<io::Result<Block>> {
        self.read().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::csv::tracking_reader::whole_records;

    #[test]
    fn blocks_are_cut_between_records() {
        let rows: String = (0..100_000).map(|row| format!("{row},\"a\nb\"\n")).collect();
        let blocks: Vec<Block> = Blocks::new(rows.as_bytes(), whole_records)
            .collect::<io::Result<_>>()
            .expect("memory can be read");
        assert!(blocks.len() > 3);
        let (mut offset, mut line) = (0, 1);
        for block in &blocks {
            assert_eq!((block.offset, block.line), (offset, line));
            assert!(block.bytes.ends_with(b"\"\n"));
            offset += block.bytes.len() as u64;
            line += block.bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        assert_eq!(blocks.iter().flat_map(|block| &block.bytes).count(), rows.len());
    }

    #[test]
    fn a_record_can_be_longer_than_a_block() {
        let rows = format!("\"{}\"\n1\n", "\n".repeat(3 * BLOCK_SIZE));
        let blocks: Vec<_> = Blocks::new(rows.as_bytes(), whole_records).collect();
        assert_eq!(blocks.len(), 1);
    }
}
