//! Named features as CSV ([RFC 4180](https://www.rfc-editor.org/rfc/rfc4180)).
//!
//! The header row contains the names of the columns, in any order. Columns that are not features are ignored, and
//! their names are returned. An empty cell is a missing value. If a feature is an array, its cells contain JSON.

mod records;
pub mod tracking_reader;
mod writer;

use crate::error::{Error, RequestError, RequestErrors};
use crate::protocol::cell::read_text;
use crate::protocol::predictions::Predictions;
use crate::protocol::reader::Reader;
use ml_app_model::value::excerpt;
use ml_app_model::{Feature, Mismatch, Signature, Tensors};
pub use records::Record;
use records::Records;
use std::io;
use std::sync::Arc;
pub use writer::Writer;

/// Maximum number of ignored columns whose names are compared with the names of all features. If a feature is missing
/// and an ignored column has a similar name, the error mentions the column.
const MAX_COMPARED_COLUMNS: usize = 10;

/// A CSV whose header has been read. The records are read one at a time.
#[derive(Debug)]
pub struct Table<'a> {
    records: Records<'a>,
    header: Record<'a>,
    columns: Columns,
    /// Names of the columns that are not features.
    pub ignored: Vec<String>,
}

/// The index of each column's feature, or `None` for a column that is ignored.
#[derive(Debug, Clone)]
pub struct Columns(Arc<[Option<usize>]>);

impl Columns {
    /// Returns a table without a header, for a later part of the CSV with these columns. `source` starts with a record,
    /// which is on line `line`.
    pub fn table<'a>(&self, source: &'a [u8], line: u64) -> Table<'a> {
        Table {
            records: Records::at(source, line),
            header: Record::default(),
            columns: self.clone(),
            ignored: vec![],
        }
    }
}

impl<'a> Table<'a> {
    /// Reads the header.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Malformed`] if there is no header. Returns [`Error::Invalid`] if a required feature has no
    /// column, or if a feature has several columns.
    pub fn new(source: &'a [u8], signature: &Signature) -> Result<Table<'a>, Error> {
        let mut records = Records::new(source);
        let mut header = Record::default();
        let has_header = records.read(&mut header).map_err(read_error)?;
        if records.ended_early() {
            let listed = records.take_errors();
            return Err(Error::Malformed(RequestErrors { listed, ..RequestErrors::default() }));
        }
        let line = records.line().unwrap_or(1);
        if !has_header {
            let detail = "expected a header row that names the columns, found an empty body";
            return Err(Error::malformed(detail));
        }
        let mut errors = RequestErrors::default();
        let mut ignored = vec![];
        let mut present = vec![false; signature.features.len()];
        let mut features = vec![];
        for name in header.cells() {
            let name = String::from_utf8_lossy(name);
            let feature = signature.feature(&name);
            match feature {
                None => ignored.push(name.into_owned()),
                Some(feature) if std::mem::replace(&mut present[feature], true) => {
                    errors.push(RequestError::duplicate("column", &name).line(line));
                }
                Some(_) => {}
            }
            features.push(feature);
        }
        let nearest = |name: &String| signature.nearest_feature(name);
        let nearest: Vec<_> = ignored.iter().take(MAX_COMPARED_COLUMNS).map(nearest).collect();
        let missing = |(feature, present): &(&Feature, bool)| !feature.optional && !present;
        for (feature, _) in signature.features.iter().zip(present).filter(missing) {
            let mut error = RequestError::missing("column", &feature.name).line(line);
            if let Some(similar) = nearest.iter().position(|near| *near == Some(&feature.name)) {
                error.detail +=
                    &format!(" (found `{}`, which is similar)", excerpt(&ignored[similar]));
            }
            errors.push(error);
        }
        if !errors.is_empty() {
            return Err(Error::Invalid(errors));
        }
        Ok(Table { records, header, columns: Columns(features.into()), ignored })
    }

    pub fn header(&self) -> &Record<'a> {
        &self.header
    }

    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Returns the index of the byte from which the next record is read.
    pub fn position(&self) -> usize {
        self.records.position()
    }

    /// Reads the next record and counts it as a skipped row, without decoding the values. Returns `false` at the end.
    ///
    /// # Errors
    ///
    /// Returns an error if the source cannot be read.
    pub fn skip(&mut self, record: &mut Record<'a>, reader: &mut Reader<'_>) -> io::Result<bool> {
        let read = self.records.read(record)?;
        // A different process scores the skipped rows, and reports the errors in them.
        self.records.take_errors();
        if read {
            self.records.line();
            reader.skip_row();
        }
        Ok(read)
    }

    /// Reads the next record into `record`, and adds it to `reader` as a row. Returns `false` at the end of the CSV, or
    /// if `reader` is [exhausted](Reader::is_exhausted).
    ///
    /// # Errors
    ///
    /// Returns an error if the source cannot be read. Errors in the record are recorded in `reader`.
    pub fn read(&mut self, record: &mut Record<'a>, reader: &mut Reader<'_>) -> io::Result<bool> {
        let read = self.records.read(record)?;
        for error in self.records.take_errors() {
            reader.push_malformed(error);
        }
        if !read || reader.is_exhausted() {
            return Ok(false);
        }
        reader.line = self.records.line();
        let features = &*self.columns.0;
        if let Record::Line(line) = record
            && reader.read_cells(line, features)
        {
            return Ok(true);
        }
        reader.start_row();
        let found = record.columns();
        if found != features.len() {
            let expected = features.len();
            let detail = format!("expected {expected} columns, as in the header, found {found}");
            reader.push_error(RequestError::new(detail));
            return Ok(true);
        }
        match record {
            Record::Line(line) => {
                for (cell, feature) in line.split(',').zip(features) {
                    if let Some(feature) = *feature {
                        read_text(reader, feature, cell);
                    }
                }
            }
            Record::Cells(cells) => {
                for (cell, feature) in cells.iter().zip(features) {
                    let Some(feature) = *feature else { continue };
                    match std::str::from_utf8(cell) {
                        Ok(text) => read_text(reader, feature, text),
                        Err(_) => {
                            let found = format!("`{}`", excerpt(&String::from_utf8_lossy(cell)));
                            reader.feature_error(feature, Mismatch::new("UTF-8", found));
                        }
                    }
                }
            }
        }
        Ok(true)
    }
}

/// Decodes all rows of a CSV. Returns them with the names of the columns that were ignored.
///
/// # Errors
///
/// Returns an error if the header is [invalid](Table::new), or all errors found in the records.
pub fn decode(
    body: &[u8],
    signature: &Signature,
    limit: usize,
) -> Result<(Tensors, Vec<String>), Error> {
    let mut table = Table::new(body, signature)?;
    let mut reader = Reader::new(signature, limit);
    let mut record = Record::default();
    while table.read(&mut record, &mut reader).map_err(read_error)? {}
    Ok((reader.into_tensors()?, table.ignored))
}

/// Returns the CSV in `body`, which is the body of the request, with the prediction appended to each record.
///
/// # Errors
///
/// Returns an error if `body` cannot be read.
pub fn append(body: &[u8], predictions: &Predictions<'_>) -> Result<Vec<u8>, Error> {
    let mut records = Records::new(body);
    let mut writer = Writer::new(body.len() * 2, predictions.signature());
    let mut record = Record::default();
    if records.read(&mut record).map_err(read_error)? {
        writer.header(&record);
    }
    let (mut row, cells) = (0, predictions.cells());
    while records.read(&mut record).map_err(read_error)? {
        writer.record(&record, predictions, &cells, row);
        row += 1;
    }
    Ok(writer.out)
}

fn read_error(error: io::Error) -> Error {
    Error::Interrupted(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json::fast_path::Random;
    use crate::source::Source;
    use ml_app_model::{Datatype, Kind};

    /// Decodes the same lines twice: with LF, which the fast path reads, and with CR LF, which the csv crate reads.
    #[test]
    fn fast_path_and_csv_crate_read_the_same_numbers() {
        const UNUSUAL_CELLS: [&str; 12] =
            ["", " ", " 7", "7 ", "+7", ".5", "7.", "-0", "nan", "inf", "1e400", "seven"];
        let model = Source::Embedded.load().expect("the embedded model loads");
        let kinds = [
            (Kind::Number, Datatype::Float32),
            (Kind::Integer, Datatype::Float32),
            (Kind::Number, Datatype::Float64),
            (Kind::Integer, Datatype::Int64),
        ];
        let (mut random, mut read) = (Random::default(), 0);
        for turn in 0..20_000 {
            let (kind, datatype) = kinds[turn % kinds.len()];
            let mut signature = model.signature().clone();
            signature.inputs[0].datatype = datatype;
            for feature in &mut signature.features {
                (feature.kind, feature.datatype) = (kind, datatype);
            }
            let names = signature.features.iter().map(|feature| feature.name.as_str());
            let mut names: Vec<&str> = names.chain(["note"]).collect();
            names.rotate_left(random.below(4) as usize);
            let mut lines = vec![names.join(",")];
            for _ in 0..=random.below(2) {
                let mut cell = |_| match random.below(20) {
                    0 => UNUSUAL_CELLS[random.below(12) as usize].to_owned(),
                    _ => random.integer(),
                };
                let cells: Vec<String> = (0..4).map(&mut cell).collect();
                lines.push(random.damaged(cells.join(",")));
            }
            let decoded = |end: &str| {
                let text = lines.iter().map(|line| format!("{line}{end}")).collect::<String>();
                let decoded = decode(text.as_bytes(), &signature, usize::MAX);
                decoded.map(|read| format!("{read:?}")).map_err(|error| error.to_string())
            };
            let (by_fast_path, by_csv_crate) = (decoded("\n"), decoded("\r\n"));
            assert_eq!(by_fast_path, by_csv_crate, "{lines:?}");
            read += usize::from(by_fast_path.is_ok());
        }
        assert!(read > 5_000, "{read}");
    }
}
