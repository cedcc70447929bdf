use super::records::Record;
use crate::protocol::answer::{self, Answer, Cells};
use crate::protocol::json;
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

    /// `row` is that of `answer`, whose cells are [`Answer::cells`].
    pub fn record(
        &mut self,
        record: &Record<'_>,
        answer: &Answer<'_>,
        cells: &[Cells<'_>],
        row: usize,
    ) {
        self.cells(record);
        for (column, cells) in cells.iter().enumerate() {
            self.out.push(b',');
            match *cells {
                Cells::Float32(elements, width, index) => {
                    answer::float(&mut self.out, elements[row * width + index]);
                }
                Cells::Int64(elements, width, index) => {
                    json::integer(&mut self.out, elements[row * width + index]);
                }
                Cells::Other => {
                    self.cell.clear();
                    answer.cell(&mut self.cell, row, column);
                    quote(&mut self.out, &self.cell);
                }
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
