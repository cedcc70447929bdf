//! Collects the rows of a request, and the errors found in the rows. All formats that consist of rows use this module.
//!
//! A protocol's parser adds rows in one of these ways:
//!
//! - In general, it calls [`Reader::start_row`], then [`Reader::take`] and a setter for each feature that it finds, then
//!   [`Reader::end_row`].
//! - The parser of CSV calls neither `take` nor `end_row`, because it checks the names of the columns once, in the
//!   header.
//! - [`Reader::read_fast`] and [`Reader::read_cells`] add a whole row, without the other calls.
//! - In a body of columns, the parser adds all rows with the first column. It calls `take` once for each column, and
//!   then sets the values of the column in all rows.
//!
//! Reading continues after an invalid value, so that one response reports as many errors as possible.

use crate::error::{Error, RequestError, RequestErrors};
use crate::protocol::json::{self, fast_path};
use crate::protocol::number;
use memchr::memchr;
use ml_app_model::value::{excerpt, quoted_list, with_article};
use ml_app_model::{Feature, Kind, Mismatch, Rows, Signature, Tensors, Value};
use std::fmt;

/// Number of errors in a request after which no correction of an unknown name is suggested. A suggestion is slow,
/// because it compares the unknown name with the names of all features.
const MAX_ERRORS_WITH_SUGGESTION: usize = 10;

/// Collects rows and the errors found in them.
#[derive(Debug)]
pub struct Reader<'s> {
    pub(super) rows: Rows<'s>,
    pub(super) errors: RequestErrors,
    /// For each feature, true if the current row has a value of the feature.
    present: Vec<bool>,
    /// Index of the feature that probably comes next, because most rows have the features in the model's order.
    next: usize,
    /// Line on which the current row starts, counted from 1. `None` if the format has no lines, such as JSON.
    pub(super) line: Option<u64>,
    /// Number of rows before `rows`: the rows of earlier batches, skipped rows, and rows that were freed because the
    /// request has errors.
    earlier_rows: usize,
    /// Number of skipped rows.
    skipped: usize,
    /// True if there is a current row. False while columns are read, because a column contains the values of many rows.
    in_row: bool,
    /// Number of features that each row has. The features after them are parameters.
    row_features: usize,
    /// True if the fast path supports the model's rows as JSON objects.
    supports_objects: bool,
    /// True if [`Reader::read_cells`] can read the model's rows from lines of CSV: all features are scalar numbers.
    supports_cells: bool,
    /// Maximum number of values in a batch.
    limit: usize,
    /// Maximum number of rows of a batch, computed from `limit`.
    max_rows: usize,
}

impl<'s> Reader<'s> {
    /// Creates a reader of rows for a model.
    ///
    /// `limit` is the maximum number of values in a [batch](Reader::batch). The size of the body does not limit this
    /// number. A row may leave out optional features, but still takes memory for all features. If the body contains
    /// columns, the first column already allocates memory for all features of all rows.
    pub fn new(signature: &'s Signature, limit: usize) -> Reader<'s> {
        let rows = Rows::new(signature);
        Reader {
            max_rows: limit / rows.scalar_features().max(1),
            rows,
            errors: RequestErrors::default(),
            present: vec![false; signature.features.len()],
            next: 0,
            line: None,
            earlier_rows: 0,
            skipped: 0,
            in_row: false,
            row_features: signature.row_features(),
            supports_objects: fast_path::supports_objects(signature),
            supports_cells: signature.features.iter().all(is_numeric),
            limit,
        }
    }

    /// Returns the number of rows read so far, over all batches.
    pub fn rows_read(&self) -> usize {
        self.earlier_rows + self.rows.len()
    }

    /// Returns the number of rows read since the last batch.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Records an error that concerns the current row as a whole.
    pub fn push_error(&mut self, error: RequestError) {
        self.errors.push(self.with_position(error));
    }

    /// Records an error in the format of the body, as opposed to an error in a value.
    pub fn push_malformed(&mut self, error: RequestError) {
        self.errors.malformed = true;
        self.errors.push(error);
    }

    pub fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Returns whether the parser should stop, because there are too many errors or more rows than allowed.
    pub fn is_exhausted(&self) -> bool {
        self.is_full() || self.errors.is_exhausted()
    }

    fn is_full(&self) -> bool {
        self.rows.len() > self.max_rows
    }

    /// Returns the rows read since the last batch as tensors. Returns `None` if there are no such rows, or if errors
    /// were found. [`Reader::finish`] returns these errors.
    ///
    /// # Errors
    ///
    /// Returns an error if an array does not have the number of elements that its shape requires. Returns
    /// [`Error::TooManyValues`] if the rows have more values than allowed.
    pub fn batch(&mut self) -> Result<Option<Tensors>, Error> {
        let signature = self.rows.signature();
        let is_full = self.is_full();
        let rows = std::mem::replace(&mut self.rows, Rows::new(signature));
        self.earlier_rows += rows.len();
        if self.has_errors() || rows.is_empty() {
            return Ok(None);
        }
        for parameter in rows.missing_parameters() {
            let name = &signature.features[parameter].name;
            self.errors.push(RequestError::missing("feature", name));
        }
        if self.has_errors() {
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
        match self.earlier_rows + self.rows.len() {
            0 => Err(Error::invalid("expected at least one row, found none")),
            rows => Ok(rows),
        }
    }

    /// Returns all rows. [`Reader::batch`] must not have been called before.
    ///
    /// # Errors
    ///
    /// Returns an error in the same cases as [`Reader::batch`] and [`Reader::finish`].
    pub fn into_tensors(mut self) -> Result<Tensors, Error> {
        let tensors = self.batch()?;
        self.finish()?;
        tensors.ok_or_else(|| Error::Internal("rows without tensors".into()))
    }

    /// Returns all rows, and the value in `read`. `read` is the result of parsing the JSON document that contains the
    /// rows.
    ///
    /// # Errors
    ///
    /// Returns an error in the same cases as [`Reader::into_tensors`], or [`Error::Malformed`] if the
    /// document could not be parsed.
    pub fn finish_json<T>(mut self, read: serde_json::Result<T>) -> Result<(Tensors, T), Error> {
        match read {
            Ok(value) => Ok((self.into_tensors()?, value)),
            Err(error) => {
                self.push_malformed(json::request_error(&error));
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

    /// Returns the features that each row has.
    pub fn row_features(&self) -> &'s [Feature] {
        &self.rows.signature().features[..self.row_features]
    }

    /// Returns whether the model has features with one value for the whole request.
    pub fn has_parameters(&self) -> bool {
        self.row_features < self.rows.signature().features.len()
    }

    /// Starts an object with the values of parameters, outside the rows.
    pub fn start_parameters(&mut self) {
        self.in_row = false;
        self.present.fill(false);
        self.next = self.row_features;
    }

    /// Ends an object with the values of parameters. The features of a row that follows are not present yet.
    pub fn end_parameters(&mut self) {
        self.present.fill(false);
        self.next = 0;
    }

    /// Counts a row without reading it. Rows may be skipped only before the first row is read.
    pub fn skip_row(&mut self) {
        self.earlier_rows += 1;
        self.skipped += 1;
    }

    /// Returns the number of rows read so far, over all batches, without the skipped rows.
    pub fn scored(&self) -> usize {
        self.rows_read() - self.skipped
    }

    /// Starts a row in which no feature is present yet.
    pub fn start_row(&mut self) {
        if self.has_errors() {
            // The request will be rejected. Reading continues only to find further errors, so free the earlier rows.
            self.earlier_rows += self.rows.len();
            self.rows.clear();
        }
        self.in_row = true;
        self.rows.add_row();
        self.present.fill(false);
        self.next = 0;
    }

    /// Adds a row from a JSON object by the [fast path](fast_path) and returns `true`. Returns `false` without adding
    /// a row if the fast path does not support the object, or if errors were found before.
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

    /// Adds a row from a line of CSV without quotes and returns `true`. Returns `false` without adding a row if a cell
    /// is neither a number nor empty, or if errors were found before.
    ///
    /// `features` contains the index of each column's feature, or `None` for a column that is ignored.
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

    /// Returns the index of the feature called `name` and marks it as present in the row. If there is no such feature
    /// or if the row already has it, records an error and returns `None`.
    pub fn take(&mut self, name: &str) -> Option<usize> {
        let features = &self.rows.signature().features;
        let in_order = features.get(self.next).filter(|feature| feature.name == name);
        let found = in_order.map(|_| self.next).or_else(|| self.rows.signature().feature(name));
        let Some(feature) = found else {
            let detail = if self.errors.is_full() {
                // The error will only be counted, so its message is not needed.
                String::new()
            } else {
                let suggest = self.errors.len() < MAX_ERRORS_WITH_SUGGESTION;
                unknown_feature(name, self.rows.signature(), suggest)
            };
            self.push_error(RequestError::naming(detail, &excerpt(name)));
            return None;
        };
        self.next = feature + 1;
        if std::mem::replace(&mut self.present[feature], true) {
            self.push_error(RequestError::duplicate("feature", &self.spec(feature).name));
            return None;
        }
        Some(feature)
    }

    /// Ends a row, and records an error for each required feature that is missing.
    pub fn end_row(&mut self) {
        for feature in self.missing() {
            self.push_error(RequestError::missing("feature", &self.spec(feature).name));
        }
    }

    /// Returns the indices of the required features that the row does not have. A row need not have the parameters:
    /// [`Reader::batch`] reports parameters that have no value in any row.
    pub fn missing(&self) -> Vec<usize> {
        let features = self.row_features().iter().zip(&self.present).enumerate();
        features
            .filter(|(_, (feature, present))| !feature.optional && !**present)
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
        self.push_error(RequestError::in_feature(&self.spec(feature).name, detail));
    }

    /// Records an error in a feature of a row. `row` is the index of the row among the rows since the last batch. For a
    /// parameter whose value is outside the rows, `row` is ignored.
    pub fn feature_error_at(&mut self, row: usize, feature: usize, detail: impl fmt::Display) {
        let spec = self.spec(feature);
        let error = RequestError::in_feature(&spec.name, detail);
        let error = match spec.parameter && !self.in_row {
            true => error,
            false => error.row(self.earlier_rows + row),
        };
        self.errors.push(RequestError { line: self.line, ..error });
    }

    /// Records an error that concerns a row as a whole. `row` is the index of the row among the rows since the last
    /// batch.
    pub fn row_error(&mut self, row: usize, error: RequestError) {
        self.errors.push(RequestError { line: self.line, ..error.row(self.earlier_rows + row) });
    }

    /// Records that the model rejects a row of the last batch. `rows` is the number of rows in the batch, and `row` is
    /// the index of the row in the batch.
    pub fn reject_row(&mut self, rows: usize, row: usize, mismatch: &Mismatch) {
        let error = RequestError::new(mismatch.to_string());
        self.errors.push(error.row(self.earlier_rows - rows + row));
    }

    /// Adds the current line and the current row, if there are any, to an error.
    fn with_position(&self, error: RequestError) -> RequestError {
        let row = self.earlier_rows + self.rows.len().saturating_sub(1);
        RequestError { line: self.line, ..if self.in_row { error.row(row) } else { error } }
    }
}

/// Returns whether the value of a feature in a row is a single number. The CSV fast path supports only these features.
fn is_numeric(feature: &Feature) -> bool {
    feature.is_scalar()
        && !feature.parameter
        && matches!(feature.kind, Kind::Number | Kind::Integer)
}

/// Adds a row from a line of CSV. Each cell with a feature must contain a number, or nothing for a missing value. For
/// any other line, returns `None`, and may leave an incomplete row, which the caller must remove.
///
/// This is faster than splitting the line into cells and storing each cell as a [`Value::Untyped`], and has the same
/// result. The line is parsed in one pass: the end of a number is the end of its cell. `rest` is the part of the line
/// that has not been parsed yet.
fn read_numbers(line: &[u8], features: &[Option<usize>], rows: &mut Rows<'_>) -> Option<()> {
    let mut rest = line;
    // If the columns are the features in the model's order, append the values to the tensors one after another.
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

/// Takes a number, or an empty cell, from the front of `rest`. The caller checks that a comma or the end of the line
/// follows.
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

/// Takes a cell that is not a short integer. This function is not inlined, so that the loop over short integers stays
/// small.
#[inline(never)]
fn take_other_cell(rest: &mut &[u8]) -> Option<Value<'static>> {
    if matches!(rest.first(), None | Some(b',')) {
        return Some(Value::Missing);
    }
    let (number, len) = number::read(rest)?;
    *rest = &rest[len..];
    Some(number)
}

/// Formats "unknown feature `aeg` (did you mean `age`?)". If no feature has a similar name, or if `suggest` is false,
/// the message lists the features of the model instead.
fn unknown_feature(name: &str, signature: &Signature, suggest: bool) -> String {
    let nearest = if suggest { signature.nearest_feature(name) } else { None };
    let name = excerpt(name);
    match nearest {
        Some(nearest) => format!("unknown feature `{name}` (did you mean `{nearest}`?)"),
        None => {
            let features = quoted_list(signature.features.iter().map(|feature| &*feature.name));
            format!("unknown feature `{name}` (the model takes {features})")
        }
    }
}

/// Describes the values of a feature: "an integer", "an array of 2 × 2 numbers". `?` stands for a dynamic length, as in
/// "an array of ? × 2 numbers".
pub fn describe_value(feature: &Feature) -> String {
    if feature.is_scalar() {
        return with_article(feature.kind);
    }
    let axes: Vec<String> =
        feature.shape.iter().map(|len| len.map_or("?".to_owned(), |len| len.to_string())).collect();
    format!("an array of {} {}s", axes.join(" × "), feature.kind)
}
