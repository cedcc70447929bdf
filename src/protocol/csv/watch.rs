//! What the csv reader does not tell: the line each record starts on, blank lines and line ends of
//! two bytes counted, and quotes that are wrong, which it would read as best it can.

use crate::error::{Fault, Faults};
use memchr::{memchr_iter, memchr2, memrchr_iter};
use std::collections::VecDeque;
use std::io::{self, Read};

/// More columns than anyone has: a line of commas must not take memory by the column.
pub const COLUMNS: usize = 65_536;

/// A source that is watched while it is read. It ends where a record has too many columns.
#[derive(Debug)]
pub struct Watch<R> {
    source: R,
    state: State,
    /// Counted from 1.
    line: u64,
    /// Byte of the line, counted from 1.
    column: u64,
    /// The last byte was a carriage return.
    carriage_return: bool,
    /// No byte of a record has come on this line.
    blank: bool,
    /// Lines on which records start that were not asked for yet.
    starts: VecDeque<u64>,
    /// Where the last quote was opened.
    opened: (u64, u64),
    /// Commas of the record.
    commas: usize,
    bytes: u64,
    faults: Vec<Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    FieldStart,
    Unquoted,
    Quoted,
    /// A quote within quotes: the end, or the first of two that stand for one.
    Quote,
}

pub const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

impl State {
    fn after(self, byte: u8) -> State {
        match (self, byte) {
            (State::Quoted, b'"') => State::Quote,
            (State::Quoted, _) | (State::Quote, b'"') => State::Quoted,
            (_, b',' | b'\r' | b'\n') => State::FieldStart,
            (State::FieldStart, b'"') => State::Quoted,
            _ => State::Unquoted,
        }
    }
}

/// Bytes up to the last end of a record, and the lines that end in them. What follows is no end of
/// one, nor a byte order mark, which would count for less at the beginning of a source.
pub fn whole_records(bytes: &[u8]) -> Option<(usize, u64)> {
    if memchr2(b'"', b'\r', bytes).is_none() {
        let followed = bytes.len().saturating_sub(1);
        let ends = memrchr_iter(b'\n', &bytes[..followed]).map(|end| end + 1);
        let len = ends.into_iter().find(|end| may_begin(bytes[*end]))?;
        return Some((len, memchr_iter(b'\n', &bytes[..len]).count() as u64));
    }
    let (mut state, mut lines, mut found) = (State::FieldStart, 0, None);
    for (index, pair) in bytes.windows(2).enumerate() {
        state = state.after(pair[0]);
        let ends_line = pair[0] == b'\n' || (pair[0] == b'\r' && pair[1] != b'\n');
        lines += u64::from(ends_line);
        if ends_line && state == State::FieldStart && may_begin(pair[1]) {
            found = Some((index + 1, lines));
        }
    }
    found
}

fn may_begin(byte: u8) -> bool {
    byte != BYTE_ORDER_MARK[0]
}

impl<R: Read> Watch<R> {
    pub fn new(source: R) -> Watch<R> {
        Watch {
            source,
            state: State::FieldStart,
            line: 1,
            column: 0,
            carriage_return: false,
            blank: true,
            starts: VecDeque::new(),
            opened: (0, 0),
            commas: 0,
            bytes: 0,
            faults: vec![],
        }
    }

    /// Of a source that goes on, at the beginning of a record and of this line.
    pub fn at(source: R, line: u64) -> Watch<R> {
        Watch { line, bytes: BYTE_ORDER_MARK.len() as u64, ..Watch::new(source) }
    }

    /// The line of the next record; the reader has read it.
    pub fn next_start(&mut self) -> Option<u64> {
        self.starts.pop_front()
    }

    /// Faults found since the last call.
    pub fn take_faults(&mut self) -> Vec<Fault> {
        std::mem::take(&mut self.faults)
    }

    /// Whether what follows is not read.
    pub fn is_cut(&self) -> bool {
        self.commas >= COLUMNS
    }

    fn step(&mut self, byte: u8) {
        let first = self.bytes;
        self.bytes += 1;
        if first < 3 && byte == BYTE_ORDER_MARK[first as usize] {
            return;
        }
        if std::mem::take(&mut self.carriage_return) && byte != b'\n' {
            self.next_line();
        }
        self.column += 1;
        if matches!(byte, b'\r' | b'\n') {
            if self.state != State::Quoted {
                self.state = State::FieldStart;
                self.blank = true;
            }
            match byte {
                b'\r' => self.carriage_return = true,
                _ => self.next_line(),
            }
            return;
        }
        if std::mem::take(&mut self.blank) {
            self.starts.push_back(self.line);
            self.commas = 0;
        }
        let next = self.state.after(byte);
        match (self.state, next) {
            (State::Quoted | State::Quote, State::Quoted) => {}
            (_, State::FieldStart) => {
                self.commas += 1;
                if self.commas == COLUMNS {
                    self.fault(&format!("expected at most {COLUMNS} columns, found more"));
                }
            }
            (_, State::Quoted) => self.opened = (self.line, self.column),
            (State::Quote, State::Unquoted) => {
                self.fault("expected a comma or the end of the line after a closing quote, found other text");
            }
            _ => {}
        }
        self.state = next;
    }

    fn next_line(&mut self) {
        self.line += 1;
        self.column = 0;
    }

    fn fault(&mut self, detail: &str) {
        if self.faults.len() <= Faults::LISTED {
            self.faults.push(Fault::new(detail).line(self.line).column(self.column));
        }
    }
}

impl<R: Read> Read for Watch<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_cut() {
            return Ok(0);
        }
        let len = self.source.read(buffer)?;
        for (index, byte) in buffer[..len].iter().enumerate() {
            self.step(*byte);
            if self.is_cut() {
                return Ok(index + 1);
            }
        }
        if len == 0 && !buffer.is_empty() && self.state == State::Quoted {
            self.state = State::FieldStart;
            (self.line, self.column) = self.opened;
            self.fault(
                "expected a closing quote for the quote opened here, found the end of the file",
            );
        }
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(csv: &str) -> (Vec<u64>, Vec<String>) {
        let mut watch = Watch::new(csv.as_bytes());
        io::copy(&mut watch, &mut io::sink()).expect("memory can be read");
        let faults = watch.take_faults().iter().map(ToString::to_string).collect();
        (watch.starts.into_iter().collect(), faults)
    }

    #[test]
    fn lines_are_those_an_editor_shows() {
        assert_eq!(watch("a\n1\n\n\n2\n").0, [1, 2, 5]);
        assert_eq!(watch("a\r\n1\r\n\r\n2").0, [1, 2, 4]);
        assert_eq!(watch("a\r1\r2").0, [1, 2, 3]);
        assert_eq!(watch("\u{feff}\"a\",b\n\"x\r\ny\",1\n2,2\n").0, [1, 2, 4]);
        assert_eq!(watch("").0, [] as [u64; 0]);
    }

    #[test]
    fn records_are_cut_where_they_end() {
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
    fn wrong_quotes_are_told() {
        assert_eq!(watch("a,b\n1,\"x\"\"y\"\n5\" pipe,2\n").1, [] as [&str; 0]);
        assert_eq!(
            watch("a,b\n1,\"x\n2,2\n").1,
            [
                "line 2, column 3: expected a closing quote for the quote opened here, found the end of the file"
            ]
        );
        assert_eq!(
            watch("a,b\n\"1\"2,x\n").1,
            [
                "line 2, column 4: expected a comma or the end of the line after a closing quote, found other text"
            ]
        );
    }
}
