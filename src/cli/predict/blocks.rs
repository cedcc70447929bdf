use std::io::{self, Read};

/// Bytes of a block, unless a record takes more.
const BLOCK: usize = 256 * 1024;

/// Bytes that a record may take.
const LONGEST: usize = 256 * 1024 * 1024;

/// Whole records of a source.
#[derive(Debug, Default)]
pub struct Block {
    pub bytes: Vec<u8>,
    /// Where it begins: byte of the source, counted from 0, and line, counted from 1.
    pub offset: u64,
    pub line: u64,
}

/// A source in [`Block`]s. `cut` finds the last end of a record: how many bytes are before it, and how
/// many lines end in them.
#[derive(Debug)]
pub struct Blocks<R> {
    source: R,
    cut: fn(&[u8]) -> Option<(usize, u64)>,
    /// What is read and not handed out.
    rest: Vec<u8>,
    offset: u64,
    line: u64,
    ended: bool,
}

impl<R: Read> Blocks<R> {
    pub fn new(source: R, cut: fn(&[u8]) -> Option<(usize, u64)>) -> Blocks<R> {
        Blocks { source, cut, rest: vec![], offset: 0, line: 1, ended: false }
    }

    fn read(&mut self) -> io::Result<Option<Block>> {
        let mut wanted = BLOCK;
        while !self.ended {
            let missing = wanted.saturating_sub(self.rest.len()) as u64;
            let read = self.source.by_ref().take(missing).read_to_end(&mut self.rest)?;
            self.ended = (read as u64) < missing;
            if self.ended {
                break;
            }
            if let Some((len, lines)) = (self.cut)(&self.rest) {
                let rest = self.rest.split_off(len);
                return Ok(Some(self.block(rest, lines)));
            }
            if wanted >= LONGEST {
                let line = self.line;
                let detail = format!("line {line}: expected a row of at most {LONGEST} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
            }
            wanted *= 2;
        }
        Ok((!self.rest.is_empty()).then(|| self.block(vec![], 0)))
    }

    /// What is there but for `rest`.
    fn block(&mut self, rest: Vec<u8>, lines: u64) -> Block {
        let bytes = std::mem::replace(&mut self.rest, rest);
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
    use crate::protocol::csv::watch::whole_records;

    #[test]
    fn blocks_are_the_source_cut_between_records() {
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
    fn a_record_may_be_longer_than_a_block() {
        let rows = format!("\"{}\"\n1\n", "\n".repeat(3 * BLOCK));
        let blocks: Vec<_> = Blocks::new(rows.as_bytes(), whole_records).collect();
        assert_eq!(blocks.len(), 1);
    }
}
