use super::records::Record;
use crate::protocol::answer::Answer;
use ml_app_model::Signature;

/// Writes records, each with its answer.
#[derive(Debug)]
pub struct Writer {
    pub out: Vec<u8>,
    names: Vec<String>,
    cell: Vec<u8>,
}

impl Writer {
    /// Of about so many bytes.
    pub fn new(capacity: usize, signature: &Signature) -> Writer {
        let names = Answer::columns(signature);
        Writer { out: Vec::with_capacity(capacity), names, cell: vec![] }
    }

    pub fn header(&mut self, header: &Record<'_>) {
        self.cells(header);
        for name in &self.names {
            self.out.push(b',');
            quote(&mut self.out, name.as_bytes());
        }
        self.out.push(b'\n');
    }

    /// `row` is that of `answer`.
    pub fn record(&mut self, record: &Record<'_>, answer: &Answer<'_>, row: usize) {
        self.cells(record);
        for column in 0..self.names.len() {
            self.out.push(b',');
            if answer.is_numeric(column) {
                answer.cell(&mut self.out, row, column);
            } else {
                self.cell.clear();
                answer.cell(&mut self.cell, row, column);
                quote(&mut self.out, &self.cell);
            }
        }
        self.out.push(b'\n');
    }

    fn cells(&mut self, record: &Record<'_>) {
        match record {
            Record::Line(line) => self.out.extend_from_slice(line.as_bytes()),
            Record::Cells(cells) => {
                for (index, cell) in cells.iter().enumerate() {
                    if index > 0 {
                        self.out.push(b',');
                    }
                    quote(&mut self.out, cell);
                }
            }
        }
    }
}

/// A cell, in quotes where it needs them.
fn quote(out: &mut Vec<u8>, cell: &[u8]) {
    if !cell.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
        return out.extend_from_slice(cell);
    }
    out.push(b'"');
    for byte in cell {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}
