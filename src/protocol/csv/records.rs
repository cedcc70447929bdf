//! Splits a CSV into records. This module splits simple CSVs itself. The csv crate splits all other CSVs.

use super::tracking_reader::{BYTE_ORDER_MARK, MAX_COLUMNS, TrackingReader};
use crate::error::RequestError;
use csv::{ByteRecord, ReaderBuilder};
use memchr::{memchr, memchr_iter, memchr2};
use std::io;

/// The records of a CSV, read one after another.
///
/// Most CSVs contain neither quotes nor carriage returns. In such a CSV, every line that is not empty is a record, and
/// every comma separates two cells. `memchr` finds the line ends and commas fast. Both variants return the same records
/// for such a CSV.
#[derive(Debug)]
pub enum Records<'a> {
    /// Records that this module splits.
    Plain(Plain<'a>),
    /// Records that the csv crate splits.
    Quoted(Box<csv::Reader<TrackingReader<&'a [u8]>>>),
}

/// The records of a CSV in UTF-8 without quotes and carriage returns.
#[derive(Debug)]
pub struct Plain<'a> {
    text: &'a str,
    /// Index of the next byte to be read.
    position: usize,
    /// Number of the line at `position`, counted from 1.
    line: u64,
    /// Number of the line of the last record that was read.
    record_line: u64,
}

/// A record.
#[derive(Debug, Clone)]
pub enum Record<'a> {
    /// A whole line, without the line end. Every comma separates two cells.
    Line(&'a str),
    /// The cells, after their quotes have been removed.
    Cells(ByteRecord),
}

impl Default for Record<'_> {
    fn default() -> Self {
        Record::Line("")
    }
}

impl Record<'_> {
    /// Returns the number of cells.
    pub fn columns(&self) -> usize {
        match self {
            Record::Line(line) => memchr_iter(b',', line.as_bytes()).count() + 1,
            Record::Cells(cells) => cells.len(),
        }
    }

    pub fn cells(&self) -> Box<dyn Iterator<Item = &[u8]> + '_> {
        match self {
            Record::Line(line) => Box::new(line.split(',').map(str::as_bytes)),
            Record::Cells(cells) => Box::new(cells.iter()),
        }
    }
}

impl<'a> Records<'a> {
    /// Reads a whole CSV from its start.
    pub fn new(source: &'a [u8]) -> Records<'a> {
        let start = if source.starts_with(&BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        Records::plain(source, start, 1)
            .unwrap_or_else(|| Records::quoted(TrackingReader::new(source)))
    }

    /// Reads a later part of a CSV. `source` is this part. It starts with a record, which is on line `line`.
    pub fn at(source: &'a [u8], line: u64) -> Records<'a> {
        Records::plain(source, 0, line)
            .unwrap_or_else(|| Records::quoted(TrackingReader::at(source, line)))
    }

    /// Returns [`Records::Plain`] from index `position` of `source` on, or `None` if the csv crate must split `source`.
    fn plain(source: &'a [u8], position: usize, line: u64) -> Option<Records<'a>> {
        if memchr2(b'"', b'\r', source).is_some() {
            return None;
        }
        // A line with too many columns has at least `MAX_COLUMNS` bytes. Leave a CSV with such a line to the tracking
        // reader, which reports the error.
        let mut start = 0;
        for end in memchr_iter(b'\n', source).chain([source.len()]) {
            if end - start >= MAX_COLUMNS {
                return None;
            }
            start = end;
        }
        let text = std::str::from_utf8(source).ok()?;
        Some(Records::Plain(Plain { text, position, line, record_line: line }))
    }

    fn quoted(source: TrackingReader<&'a [u8]>) -> Records<'a> {
        let mut builder = ReaderBuilder::new();
        let reader = builder.flexible(true).has_headers(false).from_reader(source);
        Records::Quoted(Box::new(reader))
    }

    /// Reads the next record into `record`. Returns `false` at the end.
    ///
    /// # Errors
    ///
    /// Returns an error if the csv crate's reader fails, which does not happen for a source in memory.
    pub fn read(&mut self, record: &mut Record<'a>) -> io::Result<bool> {
        match self {
            Records::Plain(plain) => {
                let line = plain.next();
                *record = Record::Line(line.unwrap_or_default());
                Ok(line.is_some())
            }
            Records::Quoted(reader) => {
                if let Record::Line(_) = record {
                    *record = Record::Cells(ByteRecord::new());
                }
                let Record::Cells(cells) = record else { return Ok(false) };
                reader.read_byte_record(cells).map_err(csv_io)
            }
        }
    }

    /// Returns the line on which the last record started. Call it exactly once for each record.
    pub fn line(&mut self) -> Option<u64> {
        match self {
            Records::Plain(plain) => Some(plain.record_line),
            Records::Quoted(reader) => reader.get_mut().next_start(),
        }
    }

    /// Returns the index of the byte from which the next record is read.
    pub fn position(&self) -> usize {
        match self {
            Records::Plain(plain) => plain.position,
            Records::Quoted(reader) => reader.position().byte() as usize,
        }
    }

    /// Returns the errors found since the last call.
    pub fn take_errors(&mut self) -> Vec<RequestError> {
        match self {
            Records::Plain(_) => vec![],
            Records::Quoted(reader) => reader.get_mut().take_errors(),
        }
    }

    /// Returns whether reading ended early because a record has too many columns.
    pub fn ended_early(&mut self) -> bool {
        match self {
            Records::Plain(_) => false,
            Records::Quoted(reader) => reader.get_mut().ended_early(),
        }
    }
}

impl<'a> Plain<'a> {
    /// Returns the next line that is not empty.
    fn next(&mut self) -> Option<&'a str> {
        loop {
            let rest = &self.text[self.position..];
            if rest.is_empty() {
                return None;
            }
            let end = memchr(b'\n', rest.as_bytes());
            let line = &rest[..end.unwrap_or(rest.len())];
            self.position += end.map_or(rest.len(), |end| end + 1);
            self.record_line = self.line;
            self.line += 1;
            if !line.is_empty() {
                return Some(line);
            }
        }
    }
}

fn csv_io(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut records: Records<'_>) -> Vec<(Vec<Vec<u8>>, Option<u64>, usize)> {
        let (mut record, mut all) = (Record::default(), vec![]);
        while records.read(&mut record).expect("memory can be read") {
            let cells = record.cells().map(<[u8]>::to_vec).collect();
            all.push((cells, records.line(), records.position()));
        }
        assert!(records.take_errors().is_empty());
        all
    }

    #[test]
    fn plain_records_match_the_records_of_the_csv_crate() {
        const PARTS: [&str; 9] = ["\n", "\n", ",", ",", "1", " ", "é", "\u{feff}", "-2.5"];
        let mut state = 1_u64;
        let mut random_below = |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % bound
        };
        for _ in 0..20_000 {
            let text: String =
                (0..random_below(12)).map(|_| PARTS[random_below(PARTS.len())]).collect();
            let source = text.as_bytes();
            let plain = Records::new(source);
            assert!(matches!(plain, Records::Plain(_)));
            assert_eq!(all(plain), all(Records::quoted(TrackingReader::new(source))), "{text:?}");
        }
    }

    #[test]
    fn leaves_any_other_csv_to_the_csv_crate() {
        let long = ",".repeat(MAX_COLUMNS);
        for text in [&b"1,\"2\"\n"[..], b"1,2\r\n", b"1,\xff\n", long.as_bytes()] {
            assert!(matches!(Records::new(text), Records::Quoted(_)));
        }
    }
}
