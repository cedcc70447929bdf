//! Tracks information that the csv crate's reader does not report: the line on which each record starts, and misplaced
//! quotes, which the csv crate tolerates.
//!
//! [`TrackingReader`] sits between the source and the csv crate's reader. It follows every byte with a small state
//! machine.

use crate::error::{RequestError, RequestErrors};
use memchr::{memchr_iter, memchr2, memrchr_iter};
use std::collections::VecDeque;
use std::io::{self, Read};

/// Maximum number of columns. Without a limit, a line of many commas would use far more memory than its size, because
/// the csv crate stores the end of each cell.
pub const MAX_COLUMNS: usize = 65_536;

pub const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Passes the bytes of a source through and tracks lines, quotes and columns. If a record has too many columns,
/// reports the end of the source there.
#[derive(Debug)]
pub struct TrackingReader<R> {
    source: R,
    state: State,
    /// Current line, counted from 1, as an editor shows it: LF, CR and CR LF end a line, also within quotes. Blank
    /// lines count.
    line: u64,
    /// Number of the current byte in the line, counted from 1.
    column: u64,
    /// True if the last byte was a carriage return. If a line feed follows, both are one line end.
    after_cr: bool,
    /// True if no byte of a record has been found in the current line so far.
    blank: bool,
    /// Lines on which the next records start, for [`TrackingReader::next_start`]. There may be several, because the
    /// csv crate's reader buffers its input.
    starts: VecDeque<u64>,
    /// Line and column of the last opening quote.
    opened: (u64, u64),
    /// Number of commas in the current record.
    commas: usize,
    /// Number of bytes read. A byte order mark can only be the first three.
    bytes: u64,
    errors: Vec<RequestError>,
}

/// The position relative to a cell and its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the start of a cell.
    CellStart,
    Unquoted,
    Quoted,
    /// After a quote in a quoted cell. The quote ends the cell, or is the first quote of an escaped quote (`""`).
    QuoteInQuoted,
}

impl State {
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
/// lines before it.
///
/// At least one byte must follow the position. It must not be a line feed, which could belong to the line end before
/// it. It must not be the first byte of a byte order mark either, which would be skipped at the start of a part.
pub fn whole_records(bytes: &[u8]) -> Option<(usize, u64)> {
    // Without quotes and carriage returns, every line feed ends a record: search from the end.
    if memchr2(b'"', b'\r', bytes).is_none() {
        let followed = bytes.len().saturating_sub(1);
        let ends = memrchr_iter(b'\n', &bytes[..followed]).map(|end| end + 1);
        let len = ends.into_iter().find(|end| may_start_part(bytes[*end]))?;
        return Some((len, memchr_iter(b'\n', &bytes[..len]).count() as u64));
    }
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
            blank: true,
            starts: VecDeque::new(),
            opened: (0, 0),
            commas: 0,
            bytes: 0,
            errors: vec![],
        }
    }

    /// Tracks a later part of a source. The part starts with a record, which is on line `line`, and has no byte order
    /// mark.
    pub fn at(source: R, line: u64) -> TrackingReader<R> {
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

    /// Returns whether the end of the source was reported early because a record has too many columns.
    pub fn ended_early(&self) -> bool {
        self.commas >= MAX_COLUMNS
    }

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
            if self.state != State::Quoted {
                self.state = State::CellStart;
                self.blank = true;
            }
            match byte {
                b'\r' => self.after_cr = true,
                _ => self.next_line(),
            }
            return;
        }
        if std::mem::take(&mut self.blank) {
            self.starts.push_back(self.line);
            self.commas = 0;
        }
        let next = self.state.next(byte);
        match (self.state, next) {
            (State::Quoted | State::QuoteInQuoted, State::Quoted) => {}
            (_, State::CellStart) => {
                self.commas += 1;
                if self.commas == MAX_COLUMNS {
                    self.push_error(&format!("expected at most {MAX_COLUMNS} columns, found more"));
                }
            }
            (_, State::Quoted) => self.opened = (self.line, self.column),
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

    /// Records an error at the current position.
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
        // The source ends within quotes.
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
