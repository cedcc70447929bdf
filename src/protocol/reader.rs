//! Rows and the faults found in them, whatever the format they come in.

use crate::error::{Error, Fault, Faults};
use crate::protocol::json::{self, plain};
use crate::protocol::number;
use memchr::memchr;
use ml_app_model::value::{article, excerpt, listed};
use ml_app_model::{Feature, Kind, Mismatch, Rows, Signature, Tensors, Value};
use std::fmt;

/// Names of which is told which feature was meant: to find out takes time.
pub const SUGGESTED: usize = 10;

/// Collects rows and faults.
#[derive(Debug)]
pub struct Reader<'s> {
    pub(super) rows: Rows<'s>,
    pub(super) faults: Faults,
    /// Features of the current row that were given.
    given: Vec<bool>,
    /// The feature that comes next if the features come in order.
    next: usize,
    /// Line of the current row, where the format has lines.
    pub(super) line: Option<u64>,
    /// Rows of earlier batches, and those passed over.
    before: usize,
    skipped: usize,
    /// Whether what is read belongs to a row, as it does not in columns.
    in_row: bool,
    /// Whether rows may be [`plain`] objects.
    is_plain: bool,
    /// Whether they may be cells of numbers.
    is_numeric: bool,
    /// Values that the rows of a batch may have, and so how many rows there may be.
    limit: usize,
    most: usize,
}

impl<'s> Reader<'s> {
    /// `limit` is how many values the rows of a batch may have: a row that leaves values out, or a column
    /// without its neighbours, has more than stand in its text.
    pub fn new(signature: &'s Signature, limit: usize) -> Reader<'s> {
        let rows = Rows::new(signature);
        Reader {
            most: limit / rows.width().max(1),
            rows,
            faults: Faults::default(),
            given: vec![false; signature.features.len()],
            next: 0,
            line: None,
            before: 0,
            skipped: 0,
            in_row: false,
            is_plain: plain::has_plain_objects(signature),
            is_numeric: signature.features.iter().all(is_numeric),
            limit,
        }
    }

    /// Number of rows read in all.
    pub fn number(&self) -> usize {
        self.before + self.rows.len()
    }

    /// Number of rows read since the last batch.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// A fault of the current row as a whole.
    pub fn push_fault(&mut self, fault: Fault) {
        self.faults.push(self.placed(fault));
    }

    /// A fault of the format rather than of a value.
    pub fn push_malformed(&mut self, fault: Fault) {
        self.faults.malformed = true;
        self.faults.push(fault);
    }

    pub fn has_faults(&self) -> bool {
        !self.faults.is_empty()
    }

    /// There are so many faults, or so many rows, that the rest need not be read.
    pub fn is_exhausted(&self) -> bool {
        self.is_full() || self.faults.is_exhausted()
    }

    fn is_full(&self) -> bool {
        self.rows.len() > self.most
    }

    /// The rows read since the last batch; `None` once there are faults, which stay until
    /// [`Reader::finish`].
    ///
    /// # Errors
    ///
    /// Where an array feature has more or fewer elements than its shape, and
    /// [`Error::TooManyValues`].
    pub fn batch(&mut self) -> Result<Option<Tensors>, Error> {
        let signature = self.rows.signature();
        let is_full = self.is_full();
        let rows = std::mem::replace(&mut self.rows, Rows::new(signature));
        self.before += rows.len();
        if self.has_faults() || rows.is_empty() {
            return Ok(None);
        }
        if is_full {
            return Err(Error::TooManyValues { limit: self.limit });
        }
        let tensors = rows
            .finish()
            .map_err(|mismatch| Error::Invalid(Fault::new(mismatch.to_string()).into()))?;
        Ok(Some(tensors))
    }

    /// All faults so far.
    pub fn into_faults(self) -> Faults {
        self.faults
    }

    /// How many rows there were in all.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with all faults, or where there are no rows.
    pub fn finish(self) -> Result<usize, Error> {
        if self.has_faults() {
            return Err(self.faults.into());
        }
        match self.before + self.rows.len() {
            0 => {
                let fault = Fault::new("expected at least one row, found none");
                Err(Error::Invalid(fault.into()))
            }
            rows => Ok(rows),
        }
    }

    /// All rows, where they are one batch.
    ///
    /// # Errors
    ///
    /// As [`Reader::finish`].
    pub fn into_tensors(mut self) -> Result<Tensors, Error> {
        let tensors = self.batch()?;
        self.finish()?;
        tensors.ok_or_else(|| Error::Internal("rows without tensors".into()))
    }

    /// As [`Reader::into_tensors`], with what a whole document was `read` as.
    ///
    /// # Errors
    ///
    /// As [`Reader::finish`]; [`Error::Malformed`] where the document is no JSON.
    pub fn finish_json<T>(mut self, read: serde_json::Result<T>) -> Result<(Tensors, T), Error> {
        match read {
            Ok(value) => Ok((self.into_tensors()?, value)),
            Err(error) => {
                self.push_malformed(json::fault(&error));
                Err(self.faults.into())
            }
        }
    }

    pub fn signature(&self) -> &'s Signature {
        self.rows.signature()
    }

    pub fn spec(&self, feature: usize) -> &'s Feature {
        &self.rows.signature().features[feature]
    }

    /// Passes over a row that comes before all others.
    pub fn skip_row(&mut self) {
        self.before += 1;
        self.skipped += 1;
    }

    /// Number of rows read in all, without those passed over.
    pub fn scored(&self) -> usize {
        self.number() - self.skipped
    }

    /// Starts a row, none of whose features is given yet.
    pub fn start_row(&mut self) {
        if self.has_faults() {
            // There will be no answer: the rows serve to find more faults, one at a time.
            self.before += self.rows.len();
            self.rows.clear();
        }
        self.in_row = true;
        self.rows.add_row();
        self.given.fill(false);
        self.next = 0;
    }

    /// Adds a row, if `text` is a plain object and there are no faults; whether it was added.
    pub fn read_plain(&mut self, text: &str) -> bool {
        if self.has_faults() || !self.is_plain {
            return false;
        }
        let rows = self.rows.len();
        let is_read = plain::object(text, &mut self.rows).is_some();
        if !is_read {
            self.rows.truncate(rows);
        }
        is_read
    }

    /// Adds a row of the cells of a line, each of the feature given for its column, if the cells are plain
    /// numbers or empty and there are no faults; whether it was added.
    pub fn read_cells(&mut self, line: &str, features: &[Option<usize>]) -> bool {
        if self.has_faults() || !self.is_numeric {
            return false;
        }
        let rows = self.rows.len();
        let is_read = cells(line.as_bytes(), features, &mut self.rows).is_some();
        if !is_read {
            self.rows.truncate(rows);
        }
        is_read
    }

    /// The feature called `name`, which is then given.
    pub fn take(&mut self, name: &str) -> Option<usize> {
        let features = &self.rows.signature().features;
        let in_order = features.get(self.next).filter(|feature| feature.name == name);
        let found = in_order.map(|_| self.next).or_else(|| self.rows.signature().feature(name));
        let Some(feature) = found else {
            let detail = match self.faults.is_full() {
                true => String::new(),
                false => unknown(name, self.rows.signature(), self.faults.len() < SUGGESTED),
            };
            self.push_fault(Fault::naming(detail, &excerpt(name)));
            return None;
        };
        self.next = feature + 1;
        if std::mem::replace(&mut self.given[feature], true) {
            self.push_fault(Fault::duplicate("feature", &self.spec(feature).name));
            return None;
        }
        Some(feature)
    }

    /// Ends a row: a feature that was not given is a fault, unless it is optional.
    pub fn end_row(&mut self) {
        for feature in self.missing() {
            self.push_fault(Fault::missing("feature", &self.spec(feature).name));
        }
    }

    /// Features that were not given, and should be.
    pub fn missing(&self) -> Vec<usize> {
        let features = self.rows.signature().features.iter().zip(&self.given).enumerate();
        features
            .filter(|(_, (feature, given))| !feature.optional && !**given)
            .map(|(index, _)| index)
            .collect()
    }

    /// Sets a scalar of the current row.
    pub fn set(&mut self, feature: usize, value: Value<'_>) {
        let row = self.rows.len() - 1;
        if let Err(mismatch) = self.rows.set(row, feature, value) {
            self.fault_at(row, feature, &mismatch);
        }
    }

    /// A fault of a feature in the current row.
    pub fn fault(&mut self, feature: usize, detail: impl fmt::Display) {
        self.push_fault(Fault::of(&self.spec(feature).name, detail));
    }

    /// `row` is counted from the first since the last batch.
    pub fn fault_at(&mut self, row: usize, feature: usize, detail: impl fmt::Display) {
        let fault = Fault::of(&self.spec(feature).name, detail).row(self.before + row);
        self.faults.push(Fault { line: self.line, ..fault });
    }

    /// A fault of a row, counted from the first since the last batch.
    pub fn row_fault(&mut self, row: usize, fault: Fault) {
        self.faults.push(Fault { line: self.line, ..fault.row(self.before + row) });
    }

    /// A fault of a row of the last batch, which had so many.
    pub fn refuse(&mut self, rows: usize, row: usize, mismatch: &Mismatch) {
        let fault = Fault::new(mismatch.to_string());
        self.faults.push(fault.row(self.before - rows + row));
    }

    fn placed(&self, fault: Fault) -> Fault {
        let row = self.before + self.rows.len().saturating_sub(1);
        Fault { line: self.line, ..if self.in_row { fault.row(row) } else { fault } }
    }
}

fn is_numeric(feature: &Feature) -> bool {
    feature.is_scalar() && matches!(feature.kind, Kind::Number | Kind::Integer)
}

/// A row of numbers, each of which is what it would be as [`Value::Text`]; an empty cell is missing.
fn cells(line: &[u8], features: &[Option<usize>], rows: &mut Rows<'_>) -> Option<()> {
    let mut rest = line;
    if features.iter().copied().eq((0..rows.signature().features.len()).map(Some)) {
        rows.add_scalars(|feature| {
            if feature > 0 {
                rest = rest.strip_prefix(b",")?;
            }
            cell(&mut rest)
        })?;
        return rest.is_empty().then_some(());
    }
    let row = rows.len();
    rows.add_row();
    for (column, feature) in features.iter().enumerate() {
        if column > 0 {
            rest = rest.strip_prefix(b",")?;
        }
        match feature {
            Some(feature) => rows.set(row, *feature, cell(&mut rest)?).ok()?,
            None => rest = &rest[memchr(b',', rest).unwrap_or(rest.len())..],
        }
    }
    rest.is_empty().then_some(())
}

/// The cell that `rest` begins with, which is taken from there.
#[inline]
fn cell(rest: &mut &[u8]) -> Option<Value<'static>> {
    match number::short_integer(rest) {
        Some((integer, len)) => {
            *rest = rest.get(len..)?;
            Some(Value::Integer(integer.into()))
        }
        None => other_cell(rest),
    }
}

#[inline(never)]
fn other_cell(rest: &mut &[u8]) -> Option<Value<'static>> {
    if matches!(rest.first(), None | Some(b',')) {
        return Some(Value::Missing);
    }
    let (number, len) = number::read(rest)?;
    *rest = &rest[len..];
    Some(number)
}

/// "unknown feature `aeg` (did you mean `age`?)", or the features that the model takes.
fn unknown(name: &str, signature: &Signature, suggest: bool) -> String {
    let near = if suggest { signature.nearest_feature(name) } else { None };
    let name = excerpt(name);
    match near {
        Some(near) => format!("unknown feature `{name}` (did you mean `{near}`?)"),
        None => {
            let known = listed(signature.features.iter().map(|feature| &*feature.name));
            format!("unknown feature `{name}` (the model takes {known})")
        }
    }
}

/// "an integer", "an array of 2 × 2 numbers".
pub fn expected(feature: &Feature) -> String {
    if feature.is_scalar() {
        return article(feature.kind);
    }
    let axes: Vec<String> = feature
        .shape
        .iter()
        .map(|len| len.map_or("any".to_owned(), |len| len.to_string()))
        .collect();
    format!("an array of {} {}s", axes.join(" × "), feature.kind)
}
