//! Named features as CSV ([RFC 4180](https://www.rfc-editor.org/rfc/rfc4180)): a header row that
//! names the columns, in any order. Columns that are no feature are ignored, and told. An empty
//! cell is a missing value; a cell of an array feature is JSON.

pub mod watch;

use crate::error::{Error, Fault, Faults};
use crate::protocol::answer::Answer;
use crate::protocol::features;
use crate::protocol::reader::{Reader, SUGGESTED, expected};
use csv::{ByteRecord, ReaderBuilder};
use ml_app_model::value::excerpt;
use ml_app_model::{Feature, Mismatch, Signature, Tensors};
use std::io::{self, Read};
use std::sync::Arc;
use watch::Watch;

/// A CSV being read: the header is, the records are to come.
#[derive(Debug)]
pub struct Table<R> {
    records: csv::Reader<Watch<R>>,
    header: ByteRecord,
    /// The feature each column holds.
    features: Arc<[Option<usize>]>,
    /// Names of the columns that are no feature.
    pub ignored: Vec<String>,
}

impl<R: Read> Table<R> {
    /// Reads the header.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] where there is none, [`Error::Invalid`] where it lacks features or
    /// names one twice.
    pub fn new(source: R, signature: &Signature) -> Result<Table<R>, Error> {
        let mut records = ReaderBuilder::new().flexible(true).from_reader(Watch::new(source));
        let header = records.byte_headers().map_err(interrupted)?.clone();
        let watch = records.get_mut();
        if watch.is_cut() {
            let listed = watch.take_faults();
            return Err(Error::Malformed(Faults { listed, ..Faults::default() }));
        }
        let line = watch.next_start().unwrap_or(1);
        if header.is_empty() {
            let detail = "expected a header row that names the columns, but found an empty body";
            return Err(Error::Malformed(Fault::new(detail).into()));
        }
        let mut faults = Faults::default();
        let mut ignored = vec![];
        let mut given = vec![false; signature.features.len()];
        let mut features = vec![];
        for name in &header {
            let name = String::from_utf8_lossy(name);
            let feature = signature.feature(&name);
            match feature {
                None => ignored.push(name.into_owned()),
                Some(feature) if std::mem::replace(&mut given[feature], true) => {
                    let detail = "expected one column of this name, but found a second";
                    faults.push(Fault::new(detail).feature(&name).line(line));
                }
                Some(_) => {}
            }
            features.push(feature);
        }
        let nearest = |name: &String| signature.nearest_feature(name);
        let nearest: Vec<_> = ignored.iter().take(SUGGESTED).map(nearest).collect();
        let missing = |(feature, given): &(&Feature, bool)| !feature.optional && !given;
        for (feature, _) in signature.features.iter().zip(given).filter(missing) {
            let found = match nearest.iter().position(|near| *near == Some(&feature.name)) {
                Some(near) => format!("`{}`", excerpt(&ignored[near])),
                None => "no such column".to_owned(),
            };
            let detail = format!(
                "expected a column of this name, each {}, but found {found}",
                expected(feature)
            );
            faults.push(Fault::new(detail).feature(&feature.name).line(line));
        }
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        Ok(Table { records, header, features: features.into(), ignored })
    }

    /// What it takes to read on elsewhere.
    pub fn columns(&self) -> Columns {
        Columns(self.features.clone())
    }

    pub fn header(&self) -> &ByteRecord {
        &self.header
    }

    /// Byte of the source that the next record is sought from.
    pub fn position(&self) -> u64 {
        self.records.position().byte()
    }

    /// Reads the next record without its values; `false` at the end.
    ///
    /// # Errors
    ///
    /// Where the source cannot be read.
    pub fn skip(&mut self, record: &mut ByteRecord, reader: &mut Reader<'_>) -> io::Result<bool> {
        let read = self.records.read_byte_record(record).map_err(csv_io)?;
        let watch = self.records.get_mut();
        // Whoever scores these rows tells them.
        watch.take_faults();
        if read {
            watch.next_start();
            reader.skip_row();
        }
        Ok(read)
    }

    /// Reads the next record into `record` and, as a row, into `reader`; `false` at the end.
    ///
    /// # Errors
    ///
    /// Where the source cannot be read. Faults of the record itself go to `reader`.
    pub fn read(&mut self, record: &mut ByteRecord, reader: &mut Reader<'_>) -> io::Result<bool> {
        let read = self.records.read_byte_record(record).map_err(csv_io)?;
        for fault in self.records.get_mut().take_faults() {
            reader.push_malformed(fault);
        }
        if !read || reader.is_exhausted() {
            return Ok(false);
        }
        reader.line = self.records.get_mut().next_start();
        reader.start_row();
        if record.len() != self.features.len() {
            let detail = format!(
                "expected {} columns, as in the header, but found {}",
                self.features.len(),
                record.len()
            );
            reader.push_fault(Fault::new(detail));
            return Ok(true);
        }
        for (cell, feature) in record.iter().zip(&*self.features) {
            let Some(feature) = *feature else { continue };
            match std::str::from_utf8(cell) {
                Ok(text) => features::read_text(reader, feature, text),
                Err(_) => {
                    let found = format!("`{}`", excerpt(&String::from_utf8_lossy(cell)));
                    reader.fault(feature, &Mismatch::new("UTF-8", found));
                }
            }
        }
        Ok(true)
    }
}

/// The feature that each column of a table holds.
#[derive(Debug, Clone)]
pub struct Columns(Arc<[Option<usize>]>);

impl Columns {
    /// More records of the same table, the first of them on this line.
    pub fn table<R: Read>(&self, source: R, line: u64) -> Table<R> {
        let mut builder = ReaderBuilder::new();
        let records = builder.flexible(true).has_headers(false);
        Table {
            records: records.from_reader(Watch::at(source, line)),
            header: ByteRecord::new(),
            features: self.0.clone(),
            ignored: vec![],
        }
    }
}

/// All rows of a CSV, and the names of the columns that were ignored.
///
/// # Errors
///
/// As [`Table::new`], and [`Error::Invalid`] with every fault found in the records.
pub fn decode(
    body: &[u8],
    signature: &Signature,
    limit: usize,
) -> Result<(Tensors, Vec<String>), Error> {
    let mut table = Table::new(body, signature)?;
    let mut reader = Reader::new(signature, limit);
    let mut record = ByteRecord::new();
    while table.read(&mut record, &mut reader).map_err(|error| interrupted(error.into()))? {}
    Ok((reader.into_tensors()?, table.ignored))
}

/// The records of `body`, which has been decoded, with the answer appended to each.
///
/// # Errors
///
/// Where `body` is not what was decoded.
pub fn append(body: &[u8], answer: &Answer<'_>) -> Result<Vec<u8>, Error> {
    let mut records = ReaderBuilder::new().flexible(true).from_reader(body);
    let mut writer = Writer::new(Vec::with_capacity(body.len() * 2), answer.signature());
    let header = records.byte_headers().map_err(interrupted)?.clone();
    let written = writer.header(&header).and_then(|()| {
        let mut record = ByteRecord::new();
        let mut row = 0;
        while records.read_byte_record(&mut record).map_err(csv_io)? {
            writer.record(&record, answer, row)?;
            row += 1;
        }
        writer.finish()
    });
    written.map_err(|error| interrupted(error.into()))
}

/// Writes records, each with its answer.
#[derive(Debug)]
pub struct Writer<W: io::Write> {
    records: csv::Writer<W>,
    names: Vec<String>,
    cell: Vec<u8>,
}

impl<W: io::Write> Writer<W> {
    pub fn new(target: W, signature: &Signature) -> Writer<W> {
        let names = Answer::columns(signature);
        Writer { records: csv::Writer::from_writer(target), names, cell: vec![] }
    }

    pub fn header(&mut self, header: &ByteRecord) -> io::Result<()> {
        for name in header {
            self.records.write_field(name).map_err(csv_io)?;
        }
        for name in &self.names {
            self.records.write_field(name).map_err(csv_io)?;
        }
        self.records.write_record(None::<&[u8]>).map_err(csv_io)
    }

    /// `row` is that of `answer`.
    pub fn record(
        &mut self,
        record: &ByteRecord,
        answer: &Answer<'_>,
        row: usize,
    ) -> io::Result<()> {
        for cell in record {
            self.records.write_field(cell).map_err(csv_io)?;
        }
        for column in 0..self.names.len() {
            self.cell.clear();
            answer.cell(&mut self.cell, row, column);
            self.records.write_field(&self.cell).map_err(csv_io)?;
        }
        self.records.write_record(None::<&[u8]>).map_err(csv_io)
    }

    pub fn finish(self) -> io::Result<W> {
        self.records.into_inner().map_err(|error| error.into_error())
    }
}

fn csv_io(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

fn interrupted(error: csv::Error) -> Error {
    Error::Interrupted(csv_io(error).to_string())
}
