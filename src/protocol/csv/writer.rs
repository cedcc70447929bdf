//! Writes the records of a request, with the prediction appended to each record.

use super::records::Record;
use crate::protocol::json;
use crate::protocol::predictions::{self, Cells, Predictions};
use ml_app_model::Signature;

/// Writes records with their predictions.
#[derive(Debug)]
pub struct Writer {
    pub out: Vec<u8>,
    /// Names of the columns that the predictions add.
    names: Vec<String>,
    /// Buffer for a cell before it is quoted.
    cell: Vec<u8>,
}

impl Writer {
    /// Creates a writer with room for `capacity` bytes.
    pub fn new(capacity: usize, signature: &Signature) -> Writer {
        let names = Predictions::columns(signature);
        Writer { out: Vec::with_capacity(capacity), names, cell: vec![] }
    }

    /// Writes the header of the request and the names of the added columns.
    pub fn header(&mut self, header: &Record<'_>) {
        self.append_cells(header);
        for name in &self.names {
            self.out.push(b',');
            quote(&mut self.out, name.as_bytes());
        }
        self.out.push(b'\n');
    }

    /// Writes a record of the request and its prediction, which has the index `row`. `cells` is the result of
    /// [`Predictions::cells`].
    pub fn record(
        &mut self,
        record: &Record<'_>,
        predictions: &Predictions<'_>,
        cells: &[Cells<'_>],
        row: usize,
    ) {
        self.append_cells(record);
        for cells in cells {
            self.out.push(b',');
            match *cells {
                Cells::Float32(elements, stride, index) => {
                    predictions::float(&mut self.out, elements[row * stride + index]);
                }
                Cells::Int64(elements, stride, index) => {
                    json::integer(&mut self.out, elements[row * stride + index]);
                }
                Cells::Other(source) => {
                    self.cell.clear();
                    predictions.cell(&mut self.cell, row, source);
                    quote(&mut self.out, &self.cell);
                }
            }
        }
        self.out.push(b'\n');
    }

    /// Appends the cells of a record, without a line end.
    fn append_cells(&mut self, record: &Record<'_>) {
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

/// Appends a cell, in quotes if it contains a comma, a quote or a line end.
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
