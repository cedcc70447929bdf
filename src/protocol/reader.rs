//! Collects rows, and the errors found in them, from every format in which tensors are made of rows.
//!
//! A protocol's parser calls [`Reader::start_row`], then [`Reader::take`] and a setter for each feature that it finds,
//! then [`Reader::end_row`]. An invalid value is recorded and reading goes on, so that one response reports
//! as many errors as possible.

use crate::error::{Error, RequestError, RequestErrors};
use crate::protocol::json::{self, fast_path};
use crate::protocol::number;
use memchr::memchr;
use ml_app_model::value::{excerpt, quoted_list, with_article};
use ml_app_model::{Feature, Kind, Mismatch, Rows, Signature, Tensors, Value};
use std::fmt;

/// Maximum number of unknown names for which a correction is suggested. Each suggestion compares the name
/// with the names of all features, which takes time.
pub const MAX_SUGGESTIONS: usize = 10;

/// Collects rows and the errors found in them.
#[derive(Debug)]
pub struct Reader<'s> {
    pub(super) rows: Rows<'s>,
    pub(super) errors: RequestErrors,
    /// For each feature, true if it was given in the current row.
    given: Vec<bool>,
    /// The feature that is expected next: the features usually come in their order.
    next: usize,
    /// Number of the current row's line, if the format has lines.
    pub(super) line: Option<u64>,
    /// Number of rows in earlier batches, including the rows that were skipped.
    before: usize,
    /// Number of rows that were skipped.
    skipped: usize,
    /// True if an error belongs to the current row. Columns of a column-wise body belong to none.
    in_row: bool,
    /// True if the fast path can read rows that are JSON objects.
    supports_objects: bool,
    /// True if the fast path can read rows that are lines of CSV: all features are numbers.
    supports_cells: bool,
    /// Maximum number of values in the rows of a batch, and the number of rows that follows from it.
    limit: usize,
    max_rows: usize,
}

impl<'s> Reader<'s> {
    /// Creates a reader of rows for a model.
    ///
    /// `limit` is the maximum number of values in the rows of a batch. A row that leaves values out, or a
    /// column without the other columns, has more values than its text has bytes.
    pub fn new(signature: &'s Signature, limit: usize) -> Reader<'s> {
        let rows = Rows::new(signature);
        Reader {
            max_rows: limit / rows.scalar_features().max(1),
            rows,
            errors: RequestErrors::default(),
            given: vec![false; signature.features.len()],
            next: 0,
            line: None,
            before: 0,
            skipped: 0,
            in_row: false,
            supports_objects: fast_path::supports_objects(signature),
            supports_cells: signature.features.iter().all(is_numeric),
            limit,
        }
    }

    /// Returns the number of rows read so far, over all batches.
    pub fn rows_read(&self) -> usize {
        self.before + self.rows.len()
    }

    /// Returns the number of rows read since the last batch.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Records an error of the current row as a whole.
    pub fn push_error(&mut self, error: RequestError) {
        self.errors.push(self.placed(error));
    }

    /// Records an error in the format rather than in a value.
    pub fn push_malformed(&mut self, error: RequestError) {
        self.errors.malformed = true;
        self.errors.push(error);
    }

    pub fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Returns whether reading on is pointless: there are too many errors, or more rows than allowed.
    pub fn is_exhausted(&self) -> bool {
        self.is_full() || self.errors.is_exhausted()
    }

    fn is_full(&self) -> bool {
        self.rows.len() > self.max_rows
    }

    /// Takes the rows read since the last batch. Returns `None` if no rows were read, or if there are errors, which
    /// [`Reader::finish`] returns.
    ///
    /// # Errors
    ///
    /// Returns an error if an array does not have the number of elements that its shape requires, or
    /// [`Error::TooManyValues`].
    pub fn batch(&mut self) -> Result<Option<Tensors>, Error> {
        let signature = self.rows.signature();
        let is_full = self.is_full();
        let rows = std::mem::replace(&mut self.rows, Rows::new(signature));
        self.before += rows.len();
        if self.has_errors() || rows.is_empty() {
            return Ok(None);
        }
        if is_full {
            return Err(Error::TooManyValues { limit: self.limit });
        }
        let tensors = rows.finish().map_err(|mismatch| Error::invalid(mismatch.to_string()))?;
        Ok(Some(tensors))
    }

    /// Returns the errors found so far.
    pub fn into_errors(self) -> RequestErrors {
        self.errors
    }

    /// Returns the number of rows read, over all batches.
    ///
    /// # Errors
    ///
    /// Returns all errors found in the rows, or [`Error::Invalid`] if there are no rows.
    pub fn finish(self) -> Result<usize, Error> {
        if self.has_errors() {
            return Err(self.errors.into());
        }
        match self.before + self.rows.len() {
            0 => Err(Error::invalid("expected at least one row, found none")),
            rows => Ok(rows),
        }
    }

    /// Returns all rows, if none were taken by [`Reader::batch`] before.
    ///
    /// # Errors
    ///
    /// Returns an error in the same cases as [`Reader::batch`] and [`Reader::finish`].
    pub fn into_tensors(mut self) -> Result<Tensors, Error> {
        let tensors = self.batch()?;
        self.finish()?;
        tensors.ok_or_else(|| Error::Internal("rows without tensors".into()))
    }

    /// Returns all rows, together with the result of parsing the JSON document that they come from.
    ///
    /// # Errors
    ///
    /// Returns an error in the same cases as [`Reader::into_tensors`], or [`Error::Malformed`] if the
    /// document could not be parsed.
    pub fn finish_json<T>(mut self, read: serde_json::Result<T>) -> Result<(Tensors, T), Error> {
        match read {
            Ok(value) => Ok((self.into_tensors()?, value)),
            Err(error) => {
                self.push_malformed(json::error(&error));
                Err(self.errors.into())
            }
        }
    }

    pub fn signature(&self) -> &'s Signature {
        self.rows.signature()
    }

    pub fn spec(&self, feature: usize) -> &'s Feature {
        &self.rows.signature().features[feature]
    }

    /// Counts a row without reading it. Only rows before all others can be skipped.
    pub fn skip_row(&mut self) {
        self.before += 1;
        self.skipped += 1;
    }

    /// Returns the number of rows read so far, without the skipped rows.
    pub fn scored(&self) -> usize {
        self.rows_read() - self.skipped
    }

    /// Starts a row in which no feature is given yet.
    pub fn start_row(&mut self) {
        if self.has_errors() {
            // The request will be rejected. Rows are only read to find further errors, so keep one at a time.
            self.before += self.rows.len();
            self.rows.clear();
        }
        self.in_row = true;
        self.rows.add_row();
        self.given.fill(false);
        self.next = 0;
    }

    /// Adds a row from a JSON object by the [fast path](fast_path) and returns whether it was added. It is not
    /// added if the fast path cannot read it, or if there are errors.
    pub fn read_fast(&mut self, text: &str) -> bool {
        if self.has_errors() || !self.supports_objects {
            return false;
        }
        let rows = self.rows.len();
        let is_read = fast_path::object(text, &mut self.rows).is_some();
        if !is_read {
            self.rows.truncate(rows);
        }
        is_read
    }

    /// Adds a row from a line of CSV without quotes and returns whether it was added. It is not added if a cell is
    /// neither a number nor empty, or if there are errors.
    ///
    /// `features` has the feature of each column, or `None` for a column that is ignored.
    pub fn read_cells(&mut self, line: &str, features: &[Option<usize>]) -> bool {
        if self.has_errors() || !self.supports_cells {
            return false;
        }
        let rows = self.rows.len();
        let is_read = read_numbers(line.as_bytes(), features, &mut self.rows).is_some();
        if !is_read {
            self.rows.truncate(rows);
        }
        is_read
    }

    /// Finds the feature called `name` and marks it as given. Returns `None`, and records an error, if there is no
    /// such feature or if the row has it already.
    pub fn take(&mut self, name: &str) -> Option<usize> {
        let features = &self.rows.signature().features;
        let in_order = features.get(self.next).filter(|feature| feature.name == name);
        let found = in_order.map(|_| self.next).or_else(|| self.rows.signature().feature(name));
        let Some(feature) = found else {
            let detail = if self.errors.is_full() {
                // The error will only be counted.
                String::new()
            } else {
                let suggest = self.errors.len() < MAX_SUGGESTIONS;
                unknown_feature(name, self.rows.signature(), suggest)
            };
            self.push_error(RequestError::naming(detail, &excerpt(name)));
            return None;
        };
        self.next = feature + 1;
        if std::mem::replace(&mut self.given[feature], true) {
            self.push_error(RequestError::duplicate("feature", &self.spec(feature).name));
            return None;
        }
        Some(feature)
    }

    /// Ends a row, and records an error for each feature that is missing.
    pub fn end_row(&mut self) {
        for feature in self.missing() {
            self.push_error(RequestError::missing("feature", &self.spec(feature).name));
        }
    }

    /// Returns the features that are not optional and were not given.
    pub fn missing(&self) -> Vec<usize> {
        let features = self.rows.signature().features.iter().zip(&self.given).enumerate();
        features
            .filter(|(_, (feature, given))| !feature.optional && !**given)
            .map(|(index, _)| index)
            .collect()
    }

    /// Sets a scalar feature of the current row.
    pub fn set(&mut self, feature: usize, value: Value<'_>) {
        let row = self.rows.len() - 1;
        if let Err(mismatch) = self.rows.set(row, feature, value) {
            self.feature_error_at(row, feature, &mismatch);
        }
    }

    /// Records an error in a feature of the current row.
    pub fn feature_error(&mut self, feature: usize, detail: impl fmt::Display) {
        self.push_error(RequestError::of(&self.spec(feature).name, detail));
    }

    /// Records an error in a feature of a row, counted from 0 at the last batch.
    pub fn feature_error_at(&mut self, row: usize, feature: usize, detail: impl fmt::Display) {
        let error = RequestError::of(&self.spec(feature).name, detail).row(self.before + row);
        self.errors.push(RequestError { line: self.line, ..error });
    }

    /// Records an error of a row as a whole, counted from 0 at the last batch.
    pub fn row_error(&mut self, row: usize, error: RequestError) {
        self.errors.push(RequestError { line: self.line, ..error.row(self.before + row) });
    }

    /// Records that the model rejects a row of the last batch. `rows` is the number of rows in that batch, and `row`
    /// is counted from 0 in it.
    pub fn reject_row(&mut self, rows: usize, row: usize, mismatch: &Mismatch) {
        let error = RequestError::new(mismatch.to_string());
        self.errors.push(error.row(self.before - rows + row));
    }

    /// Adds the place of the current row to an error.
    fn placed(&self, error: RequestError) -> RequestError {
        let row = self.before + self.rows.len().saturating_sub(1);
        RequestError { line: self.line, ..if self.in_row { error.row(row) } else { error } }
    }
}

/// Returns whether a cell of CSV is a number for this feature.
fn is_numeric(feature: &Feature) -> bool {
    feature.is_scalar() && matches!(feature.kind, Kind::Number | Kind::Integer)
}

/// Adds a row from a line of numbers; an empty cell is a missing value. Returns `None` if it meets
/// anything else. The row may then be incomplete, and the caller removes it.
///
/// The values are those that the cells would have as [`Value::Untyped`], but are parsed without finding the ends
/// of the cells first.
fn read_numbers(line: &[u8], features: &[Option<usize>], rows: &mut Rows<'_>) -> Option<()> {
    let mut rest = line;
    // Columns in the order of the features can be written straight through.
    if features.iter().copied().eq((0..rows.signature().features.len()).map(Some)) {
        rows.add_scalars(|feature| {
            if feature > 0 {
                rest = rest.strip_prefix(b",")?;
            }
            take_cell(&mut rest)
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
            Some(feature) => rows.set(row, *feature, take_cell(&mut rest)?).ok()?,
            None => rest = &rest[memchr(b',', rest).unwrap_or(rest.len())..],
        }
    }
    rest.is_empty().then_some(())
}

/// Takes a number, or an empty cell, from the front of `rest`. The caller checks that the cell ends there.
#[inline]
fn take_cell(rest: &mut &[u8]) -> Option<Value<'static>> {
    match number::short_integer(rest) {
        Some((integer, len)) => {
            *rest = rest.get(len..)?;
            Some(Value::Integer(integer.into()))
        }
        None => take_other_cell(rest),
    }
}

/// Takes what is not a short integer. It is not inlined, so that the loop over short integers stays small.
#[inline(never)]
fn take_other_cell(rest: &mut &[u8]) -> Option<Value<'static>> {
    if matches!(rest.first(), None | Some(b',')) {
        return Some(Value::Missing);
    }
    let (number, len) = number::read(rest)?;
    *rest = &rest[len..];
    Some(number)
}

/// Formats "unknown feature `aeg` (did you mean `age`?)". Lists the features of the model instead if no name is
/// similar, or if `suggest` is not set.
fn unknown_feature(name: &str, signature: &Signature, suggest: bool) -> String {
    let near = if suggest { signature.nearest_feature(name) } else { None };
    let name = excerpt(name);
    match near {
        Some(near) => format!("unknown feature `{name}` (did you mean `{near}`?)"),
        None => {
            let known = quoted_list(signature.features.iter().map(|feature| &*feature.name));
            format!("unknown feature `{name}` (the model takes {known})")
        }
    }
}

/// Describes a feature's value: "an integer", "an array of 2 × 2 numbers".
pub fn expected(feature: &Feature) -> String {
    if feature.is_scalar() {
        return with_article(feature.kind);
    }
    let axes: Vec<String> = feature
        .shape
        .iter()
        .map(|len| len.map_or("any".to_owned(), |len| len.to_string()))
        .collect();
    format!("an array of {} {}s", axes.join(" × "), feature.kind)
}
