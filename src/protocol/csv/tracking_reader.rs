//! Tracks information that the csv crate's reader does not report: the line on which each record starts, misplaced
//! quotes, and records with too many columns.
//!
//! [`TrackingReader`] is between the source and the csv crate's reader. It passes all bytes on unchanged, and processes
//! each byte with a small state machine.

use crate::error::{RequestError, RequestErrors};
use memchr::{memchr_iter, memchr2, memrchr_iter};
use std::collections::VecDeque;
use std::io::{self, Read};

/// Maximum number of columns. Without a limit, a line of many commas would use much more memory than the size of the
/// line, because the csv crate stores the end of each cell.
pub const MAX_COLUMNS: usize = 65_536;

pub const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Passes the bytes of a source through and tracks lines, quotes and columns. If a record has too many columns, the
/// reader records an error and reports the end of the source at this record.
#[derive(Debug)]
pub struct TrackingReader<R> {
    source: R,
    state: State,
    /// Number of the current line, counted from 1, as an editor shows it: LF, CR and CR LF end a line, also within
    /// quotes. Blank lines count.
    line: u64,
    /// Number of the last tracked byte within its line, counted from 1, or 0 at the start of a line.
    column: u64,
    /// True if the last byte was a carriage return. If a line feed follows, both are one line end.
    after_cr: bool,
    /// True between two records: after the line end of a record, and before the first byte of the next record.
    between_records: bool,
    /// Lines on which records start. [`TrackingReader::next_start`] removes them one by one. There may be several
    /// lines, because the csv crate's reader reads many records at once into its buffer.
    starts: VecDeque<u64>,
    /// Line and column of the last opening quote.
    opened: (u64, u64),
    /// Number of commas between the cells of the current record.
    commas: usize,
    /// Number of bytes read. Only the first three can be a byte order mark.
    bytes: u64,
    errors: Vec<RequestError>,
}

/// The position of the next byte relative to a cell and its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the start of a cell.
    CellStart,
    /// In a cell without quotes, or in the text that follows the closing quote of a malformed cell.
    Unquoted,
    /// Between the quotes of a cell.
    Quoted,
    /// After a quote in a quoted cell. The quote ends the cell, or is the first quote of an escaped quote (`""`).
    QuoteInQuoted,
}

impl State {
    /// Returns the state after a byte.
    fn next(self, byte: u8) -> State {
        match (self, byte) {
            (State::Quoted, b'"') => State::QuoteInQuoted,
            (State::Quoted, _) | (State::QuoteInQuoted, b'"') => State::Quoted,
            (_, b',' | b'\r' | b'\n') => State::CellStart,
            (State::CellStart, b'"') => State::Quoted,
            _ => State::Unquoted,
        }
    }
}

/// Finds the last position at which `bytes` can be split between two records. Returns the position and the number of
/// lines before the position. `bytes` must start with a record.
///
/// The position is after a line end, and at least one byte follows. If the line end is a carriage return, the following
/// byte must not be a line feed, because CR LF is one line end. After any line end, the following byte must not be the
/// first byte of a byte order mark, because a reader could skip a byte order mark at the start of a part.
pub fn whole_records(bytes: &[u8]) -> Option<(usize, u64)> {
    // Without quotes and carriage returns, every line feed ends a record. Search backward for a line feed that is not
    // the last byte.
    if memchr2(b'"', b'\r', bytes).is_none() {
        let before_last = bytes.len().saturating_sub(1);
        let ends = memrchr_iter(b'\n', &bytes[..before_last]).map(|end| end + 1);
        let len = ends.into_iter().find(|end| may_start_part(bytes[*end]))?;
        return Some((len, memchr_iter(b'\n', &bytes[..len]).count() as u64));
    }
    // Otherwise, follow the quotes from the start. Each pair consists of a byte and the byte after it.
    let (mut state, mut lines, mut found) = (State::CellStart, 0, None);
    for (index, pair) in bytes.windows(2).enumerate() {
        state = state.next(pair[0]);
        let ends_line = pair[0] == b'\n' || (pair[0] == b'\r' && pair[1] != b'\n');
        lines += u64::from(ends_line);
        if ends_line && state == State::CellStart && may_start_part(pair[1]) {
            found = Some((index + 1, lines));
        }
    }
    found
}

/// Returns whether a part may start with `byte`: it does not start a byte order mark.
fn may_start_part(byte: u8) -> bool {
    byte != BYTE_ORDER_MARK[0]
}

impl<R: Read> TrackingReader<R> {
    /// Tracks a source from its start.
    pub fn new(source: R) -> TrackingReader<R> {
        TrackingReader {
            source,
            state: State::CellStart,
            line: 1,
            column: 0,
            after_cr: false,
            between_records: true,
            starts: VecDeque::new(),
            opened: (0, 0),
            commas: 0,
            bytes: 0,
            errors: vec![],
        }
    }

    /// Tracks a later part of a CSV. `source` is this part. It starts with a record, which is on line `line`, and has
    /// no byte order mark.
    pub fn at(source: R, line: u64) -> TrackingReader<R> {
        // With this count, the first bytes are not compared with a byte order mark.
        let bytes = BYTE_ORDER_MARK.len() as u64;
        TrackingReader { line, bytes, ..TrackingReader::new(source) }
    }

    /// Returns the line on which the next record starts. Call it exactly once for each record that the csv crate's
    /// reader returns.
    pub fn next_start(&mut self) -> Option<u64> {
        self.starts.pop_front()
    }

    /// Returns the errors found since the last call.
    pub fn take_errors(&mut self) -> Vec<RequestError> {
        std::mem::take(&mut self.errors)
    }

    /// Returns whether reading ended before the end of the source, because a record has too many columns.
    pub fn ended_early(&self) -> bool {
        self.commas >= MAX_COLUMNS
    }

    /// Tracks a byte.
    fn step(&mut self, byte: u8) {
        let index = self.bytes;
        self.bytes += 1;
        if index < 3 && byte == BYTE_ORDER_MARK[index as usize] {
            return;
        }
        // A carriage return without a line feed after it ends a line.
        if std::mem::take(&mut self.after_cr) && byte != b'\n' {
            self.next_line();
        }
        self.column += 1;
        if matches!(byte, b'\r' | b'\n') {
            // A line end within quotes is part of the cell. Any other line end ends the record.
            if self.state != State::Quoted {
                self.state = State::CellStart;
                self.between_records = true;
            }
            match byte {
                b'\r' => self.after_cr = true,
                _ => self.next_line(),
            }
            return;
        }
        if std::mem::take(&mut self.between_records) {
            self.starts.push_back(self.line);
            self.commas = 0;
        }
        let next = self.state.next(byte);
        match (self.state, next) {
            // A byte within quotes, or the second quote of an escaped quote.
            (State::Quoted | State::QuoteInQuoted, State::Quoted) => {}
            // A comma between two cells.
            (_, State::CellStart) => {
                self.commas += 1;
                if self.commas == MAX_COLUMNS {
                    self.push_error(&format!("expected at most {MAX_COLUMNS} columns, found more"));
                }
            }
            // An opening quote.
            (_, State::Quoted) => self.opened = (self.line, self.column),
            // A byte after a closing quote.
            (State::QuoteInQuoted, State::Unquoted) => {
                self.push_error(
                    "expected a comma or the end of the line after a closing quote, found other text",
                );
            }
            _ => {}
        }
        self.state = next;
    }

    fn next_line(&mut self) {
        self.line += 1;
        self.column = 0;
    }

    /// Records an error at the current position. Stores one error more than a response lists, so that the response
    /// shows that there are more.
    fn push_error(&mut self, detail: &str) {
        if self.errors.len() <= RequestErrors::MAX_LISTED {
            self.errors.push(RequestError::new(detail).line(self.line).column(self.column));
        }
    }
}

impl<R: Read> Read for TrackingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended_early() {
            return Ok(0);
        }
        let len = self.source.read(buffer)?;
        for (index, byte) in buffer[..len].iter().enumerate() {
            self.step(*byte);
            if self.ended_early() {
                return Ok(index + 1);
            }
        }
        // At the end of the source, report a quote that was not closed.
        if len == 0 && !buffer.is_empty() && self.state == State::Quoted {
            self.state = State::CellStart;
            (self.line, self.column) = self.opened;
            self.push_error(
                "expected a closing quote for the quote opened here, found the end of the file",
            );
        }
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the lines on which records start, and the errors.
    fn track(csv: &str) -> (Vec<u64>, Vec<String>) {
        let mut reader = TrackingReader::new(csv.as_bytes());
        io::copy(&mut reader, &mut io::sink()).expect("memory can be read");
        let errors = reader.take_errors().iter().map(ToString::to_string).collect();
        (reader.starts.into_iter().collect(), errors)
    }

    #[test]
    fn counts_lines_as_an_editor_shows_them() {
        assert_eq!(track("a\n1\n\n\n2\n").0, [1, 2, 5]);
        assert_eq!(track("a\r\n1\r\n\r\n2").0, [1, 2, 4]);
        assert_eq!(track("a\r1\r2").0, [1, 2, 3]);
        assert_eq!(track("\u{feff}\"a\",b\n\"x\r\ny\",1\n2,2\n").0, [1, 2, 4]);
        assert_eq!(track("").0, [] as [u64; 0]);
    }

    #[test]
    fn splits_a_source_between_records() {
        assert_eq!(whole_records(b"a,b\n1,2\n3"), Some((8, 2)));
        assert_eq!(whole_records(b"a,b\n1,2\n"), Some((4, 1)));
        assert_eq!(whole_records(b"a,b"), None);
        assert_eq!(whole_records(b""), None);
        assert_eq!(whole_records(b"a\r\n1\r\n2"), Some((6, 2)));
        assert_eq!(whole_records(b"a\r\n1\r\n"), Some((3, 1)));
        assert_eq!(whole_records(b"a\r1\r2"), Some((4, 2)));
        assert_eq!(whole_records(b"1,\"x\ny\"\n2,\"x\ny"), Some((8, 2)));
        assert_eq!(whole_records(b"1,\"x\n\"\"\ny"), None);
        assert_eq!(whole_records("1\n2\n\u{feff}3\n".as_bytes()), Some((2, 1)));
        assert_eq!(whole_records("\"1\"\n2\n\u{feff}3\n".as_bytes()), Some((4, 1)));
    }

    #[test]
    fn reports_misplaced_quotes() {
        assert_eq!(track("a,b\n1,\"x\"\"y\"\n5\" pipe,2\n").1, [] as [&str; 0]);
        assert_eq!(
            track("a,b\n1,\"x\n2,2\n").1,
            [
                "line 2, column 3: expected a closing quote for the quote opened here, found the end of the file"
            ]
        );
        assert_eq!(
            track("a,b\n\"1\"2,x\n").1,
            [
                "line 2, column 4: expected a comma or the end of the line after a closing quote, found other text"
            ]
        );
    }
}
