//! Named features as JSON, NDJSON, and in a query.
//!
//! A JSON body is an object (one row), an array of objects (rows), or an object of arrays
//! (columns). `null` and the strings `NaN`, `Infinity` and `-Infinity` stand for what JSON numbers
//! cannot say, in features whose input is a float.

use crate::error::{Error, Fault, Faults};
use ml_app_model::tensors::{cut, excerpt};
use ml_app_model::{Feature, Mismatch, Rows, Signature, Tensors, Value};
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The shape of a JSON question, and so of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One object.
    Row,
    /// An array of objects.
    Rows,
    /// An object of arrays.
    Columns,
}

/// # Errors
///
/// [`Error::Malformed`] with line and column where `body` is no JSON or has none of the layouts,
/// [`Error::Invalid`] with every fault found in the values.
pub fn decode(body: &[u8], signature: &Signature) -> Result<(Tensors, Layout), Error> {
    let mut reader = Reader::new(signature);
    let body = std::str::from_utf8(body).map_err(|error| {
        let valid = &body[..error.valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        Error::Malformed(Fault::new("expected UTF-8, but found other bytes").line(line).into())
    })?;
    if body.trim().is_empty() {
        return Err(Error::Malformed(
            Fault::new("expected at least one row, but found an empty body").into(),
        ));
    }
    let mut json = serde_json::Deserializer::from_str(body);
    let layout = BodySeed(&mut reader)
        .deserialize(&mut json)
        .and_then(|layout| json.end().map(|()| layout))
        .map_err(|error| Error::Malformed(syntax_fault(&error).into()))?;
    Ok((reader.into_tensors()?, layout))
}

/// One object per line; empty lines are skipped.
///
/// # Errors
///
/// [`Error::Invalid`] with every fault found, malformed lines among them.
pub fn decode_lines(body: &[u8], signature: &Signature) -> Result<Tensors, Error> {
    let mut reader = Reader::new(signature);
    for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
        reader.line(index as u64 + 1, line);
    }
    reader.into_tensors()
}

/// One row, its scalars as text, its arrays as JSON.
///
/// # Errors
///
/// [`Error::Invalid`] with every fault found.
pub fn decode_query(query: &str, signature: &Signature) -> Result<Tensors, Error> {
    let mut reader = Reader::new(signature);
    reader.start_row();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let Some(feature) = reader.take(&name) else { continue };
        // A table has empty cells, a query just leaves its value out.
        let is_text = signature.features[feature].kind == ml_app_model::Kind::String;
        if value.is_empty() && !is_text {
            let expected = ml_app_model::tensors::article(signature.features[feature].kind);
            reader.fault(feature, &Mismatch::new(expected, "nothing"));
        } else {
            reader.text(feature, &value);
        }
    }
    reader.end_row();
    reader.into_tensors()
}

/// Collects rows and faults.
#[derive(Debug)]
pub struct Reader<'s> {
    rows: Rows<'s>,
    faults: Faults,
    /// Features of the current row that were given.
    given: Vec<bool>,
    /// The feature that comes next if the features come in order.
    next: usize,
    /// Line of the current row, where the format has lines.
    line: Option<u64>,
    /// Rows of earlier batches.
    before: usize,
}

impl<'s> Reader<'s> {
    pub fn new(signature: &'s Signature) -> Reader<'s> {
        Reader {
            rows: Rows::new(signature),
            faults: Faults::default(),
            given: vec![false; signature.features.len()],
            next: 0,
            line: None,
            before: 0,
        }
    }

    /// Number of rows read since the last batch.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Reads a line of NDJSON, counted from 1.
    pub fn line(&mut self, number: u64, line: &[u8]) {
        if line.trim_ascii().is_empty() {
            return;
        }
        self.line = Some(number);
        let mut json = serde_json::Deserializer::from_slice(line);
        let read = RowSeed(self).deserialize(&mut json).and_then(|()| json.end());
        if let Err(error) = read {
            let column = error.column() as u64;
            self.faults.push(Fault { line: Some(number), ..syntax_fault(&error) }.column(column));
        }
    }

    /// Starts the row of a record that begins at `line`.
    pub fn start_record(&mut self, line: u64) {
        self.line = Some(line);
        self.rows.add_row();
    }

    /// Sets a feature of the current row from text.
    pub fn text(&mut self, feature: usize, text: &str) {
        let row = self.rows.len() - 1;
        if self.spec(feature).is_scalar() {
            if let Err(mismatch) = self.rows.set(row, feature, Value::Text(text)) {
                self.fault_at(row, feature, &mismatch);
            }
            return;
        }
        let mut json = serde_json::Deserializer::from_str(text);
        let read = CellSeed { reader: self, row, feature }
            .deserialize(&mut json)
            .and_then(|()| json.end());
        if read.is_err() {
            let mismatch = Mismatch::new("an array as JSON", Value::Text(text).to_string());
            self.fault(feature, &mismatch);
        }
    }

    /// A fault of the current row as a whole.
    pub fn push_fault(&mut self, fault: Fault) {
        self.faults.push(self.placed(fault));
    }

    pub fn has_faults(&self) -> bool {
        !self.faults.is_empty()
    }

    /// The rows read since the last batch; `None` once there are faults, which stay until
    /// [`Reader::finish`].
    ///
    /// # Errors
    ///
    /// Where the rows are no tensors all the same, which would be an error of ours.
    pub fn batch(&mut self) -> Result<Option<Tensors>, Error> {
        let signature = self.rows.signature();
        let rows = std::mem::replace(&mut self.rows, Rows::new(signature));
        self.before += rows.len();
        if self.has_faults() || rows.is_empty() {
            return Ok(None);
        }
        let tensors = rows
            .finish()
            .map_err(|mismatch| Error::Invalid(Fault::new(mismatch.to_string()).into()))?;
        Ok(Some(tensors))
    }

    /// How many rows there were in all.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with all faults, or where there are no rows.
    pub fn finish(self) -> Result<usize, Error> {
        if self.has_faults() {
            return Err(Error::Invalid(self.faults));
        }
        match self.before + self.rows.len() {
            0 => {
                let fault = Fault::new("expected at least one row, but found none");
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
        let rows = self.finish();
        rows.and_then(|_| tensors.ok_or_else(|| Error::Invalid(Faults::default())))
    }

    fn spec(&self, feature: usize) -> &'s Feature {
        &self.rows.signature().features[feature]
    }

    fn start_row(&mut self) {
        self.rows.add_row();
        self.given.fill(false);
        self.next = 0;
    }

    /// The feature called `name`, which is then given.
    fn take(&mut self, name: &str) -> Option<usize> {
        let features = &self.rows.signature().features;
        let in_order = features.get(self.next).filter(|feature| feature.name == name);
        let found = in_order.map(|_| self.next).or_else(|| self.rows.signature().feature(name));
        let Some(feature) = found else {
            let detail = unknown(name, self.rows.signature());
            self.push_fault(Fault::new(detail).feature(&excerpt(name)));
            return None;
        };
        self.next = feature + 1;
        if std::mem::replace(&mut self.given[feature], true) {
            self.fault(feature, &Mismatch::new("one value", "a second"));
            return None;
        }
        Some(feature)
    }

    fn end_row(&mut self) {
        for feature in 0..self.given.len() {
            if !self.given[feature] {
                let expected = expected(self.spec(feature));
                self.fault(feature, &Mismatch::new(expected, "no such feature"));
            }
        }
    }

    pub fn fault(&mut self, feature: usize, mismatch: &Mismatch) {
        self.push_fault(Fault::of(&self.spec(feature).name, mismatch));
    }

    fn fault_at(&mut self, row: usize, feature: usize, mismatch: &Mismatch) {
        let fault = Fault::of(&self.spec(feature).name, mismatch).row(self.before + row);
        self.faults.push(Fault { line: self.line, ..fault });
    }

    fn placed(&self, fault: Fault) -> Fault {
        Fault { line: self.line, ..fault.row(self.before + self.rows.len().saturating_sub(1)) }
    }
}

/// "unknown feature; did you mean `age`?", or which there are.
fn unknown(name: &str, signature: &Signature) -> String {
    match signature.nearest_feature(name) {
        Some(near) => format!("unknown feature; did you mean `{near}`?"),
        None => {
            const NAMED: usize = 10;
            let known = signature.features.iter().map(|feature| format!("`{}`", feature.name));
            let named: Vec<String> = known.take(NAMED).collect();
            let more = if signature.features.len() > NAMED { ", …" } else { "" };
            format!("unknown feature; the model takes {}{more}", named.join(", "))
        }
    }
}

/// "an integer", "an array of 2 × 2 numbers".
pub fn expected(feature: &Feature) -> String {
    if feature.is_scalar() {
        return ml_app_model::tensors::article(feature.kind);
    }
    let axes: Vec<String> = feature
        .shape
        .iter()
        .map(|len| len.map_or("any".to_owned(), |len| len.to_string()))
        .collect();
    format!("an array of {} {}s", axes.join(" × "), feature.kind)
}

fn syntax_fault(error: &serde_json::Error) -> Fault {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&place).unwrap_or(&text);
    let mistyped =
        text.strip_prefix("invalid type: ").and_then(|text| text.split_once(", expected "));
    let detail = match mistyped {
        Some((found, expected)) => format!("expected {expected}, but found {}", cut(found)),
        None => format!("expected JSON, but found a fault: {text}"),
    };
    Fault::new(detail).line(error.line() as u64).column(error.column() as u64)
}

/// The whole body.
struct BodySeed<'a, 's>(&'a mut Reader<'s>);

impl<'de> DeserializeSeed<'de> for BodySeed<'_, '_> {
    type Value = Layout;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Layout, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BodySeed<'_, '_> {
    type Value = Layout;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object, an array of objects, or an object of arrays")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Layout, A::Error> {
        while rows.next_element_seed(RowSeed(self.0))?.is_some() {}
        Ok(Layout::Rows)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Layout, A::Error> {
        let reader = self.0;
        let mut entries: Vec<(String, &RawValue)> = vec![];
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        let signature = reader.rows.signature();
        let is_column = |(name, value): &(String, &RawValue)| {
            let feature = signature.feature(name)?;
            Some(depth(value.get()) > signature.features[feature].shape.len())
        };
        if entries.iter().find_map(is_column).unwrap_or(false) {
            reader.columns(&entries).map_err(A::Error::custom)?;
            return Ok(Layout::Columns);
        }
        reader.start_row();
        for (name, value) in &entries {
            if let Some(feature) = reader.take(name) {
                let mut json = serde_json::Deserializer::from_str(value.get());
                CellSeed { reader: &mut *reader, row: 0, feature }
                    .deserialize(&mut json)
                    .map_err(A::Error::custom)?;
            }
        }
        reader.end_row();
        Ok(Layout::Row)
    }
}

/// How many arrays a JSON text opens with.
fn depth(json: &str) -> usize {
    json.bytes().filter(|byte| !byte.is_ascii_whitespace()).take_while(|byte| *byte == b'[').count()
}

impl Reader<'_> {
    /// Columns by name: each an array of one value per row.
    fn columns(&mut self, entries: &[(String, &RawValue)]) -> Result<(), serde_json::Error> {
        let mut first: Option<(&str, usize)> = None;
        for (name, column) in entries {
            let Some(feature) = self.take(name) else { continue };
            if depth(column.get()) == 0 {
                let mismatch = Mismatch::new("an array of values", excerpt(column.get()));
                self.faults.push(Fault::of(name, &mismatch));
                continue;
            }
            let values: Vec<&RawValue> = serde_json::from_str(column.get())?;
            let (other, rows) = *first.get_or_insert((name, values.len()));
            if values.len() != rows {
                let expected = format!("{rows} values, as in `{other}`");
                let mismatch = Mismatch::new(expected, values.len().to_string());
                self.faults.push(Fault::of(name, &mismatch));
                continue;
            }
            while self.rows.len() < rows {
                self.rows.add_row();
            }
            for (row, value) in values.iter().enumerate() {
                let mut json = serde_json::Deserializer::from_str(value.get());
                CellSeed { reader: self, row, feature }.deserialize(&mut json)?;
            }
        }
        let missing = (0..self.given.len()).filter(|feature| !self.given[*feature]);
        for feature in missing {
            let mismatch = Mismatch::new("an array of values", "no such feature");
            self.faults.push(Fault::of(&self.spec(feature).name, &mismatch));
        }
        Ok(())
    }
}

/// A row as an object. One that is something else is a fault like any other.
struct RowSeed<'a, 's>(&'a mut Reader<'s>);

const ROW: &str = "an object of features";

impl RowSeed<'_, '_> {
    fn refuse<E>(self, found: Unexpected<'_>) -> Result<(), E> {
        self.0.start_row();
        self.0.push_fault(Fault::new(Mismatch::new(ROW, found.to_string()).to_string()));
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for RowSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ROW)
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.refuse(Unexpected::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.refuse(Unexpected::Signed(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.refuse(Unexpected::Unsigned(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.refuse(Unexpected::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.refuse(Unexpected::Str(&excerpt(value)))
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.refuse(Unexpected::Other("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while entries.next_element::<IgnoredAny>()?.is_some() {}
        self.refuse(Unexpected::Other("an array"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.0;
        reader.start_row();
        let row = reader.rows.len() - 1;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            match reader.take(&name) {
                Some(feature) => {
                    map.next_value_seed(CellSeed { reader: &mut *reader, row, feature })?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        reader.end_row();
        Ok(())
    }
}

/// One row's value of a feature: a scalar, or an array of the feature's shape.
struct CellSeed<'a, 's> {
    reader: &'a mut Reader<'s>,
    /// Counted from 0.
    row: usize,
    feature: usize,
}

impl<'de> DeserializeSeed<'de> for CellSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let CellSeed { reader, row, feature } = self;
        let spec = reader.spec(feature);
        let rows = &mut reader.rows;
        let read = deserializer.deserialize_any(ElementSeed { rows, row, feature, axis: 0 })?;
        if let Err(mismatch) = read {
            let mismatch = match spec.is_scalar() {
                true => mismatch,
                false => Mismatch::new(expected(spec), format!("a fault in it: {mismatch}")),
            };
            reader.fault_at(row, feature, &mismatch);
        }
        Ok(())
    }
}

/// A scalar, or an array below `axis` axes of its feature.
struct ElementSeed<'a, 's> {
    rows: &'a mut Rows<'s>,
    row: usize,
    feature: usize,
    axis: usize,
}

impl ElementSeed<'_, '_> {
    fn spec(&self) -> &Feature {
        &self.rows.signature().features[self.feature]
    }

    fn put(self, value: Value<'_>) -> Result<(), Mismatch> {
        let spec = self.spec();
        if spec.is_scalar() {
            self.rows.set(self.row, self.feature, value)
        } else if self.axis == spec.shape.len() {
            self.rows.push(self.feature, value)
        } else {
            Err(Mismatch::new("an array", value.to_string()))
        }
    }
}

impl<'de> DeserializeSeed<'de> for ElementSeed<'_, '_> {
    type Value = Result<(), Mismatch>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ElementSeed<'_, '_> {
    type Value = Result<(), Mismatch>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(self.put(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(self.put(Value::Integer(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(self.put(Value::Integer(value.into())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(self.put(Value::Number(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(self.put(Value::String(value)))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(self.put(Value::Missing))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let ElementSeed { rows, row, feature, axis } = self;
        let spec = &rows.signature().features[feature];
        let mut result = Ok(());
        if axis == spec.shape.len() {
            while entries.next_element::<IgnoredAny>()?.is_some() {}
            let expected = ml_app_model::tensors::article(spec.kind);
            return Ok(Err(Mismatch::new(expected, "an array")));
        }
        let mut len = 0;
        loop {
            let entry = match result {
                Ok(()) => entries.next_element_seed(ElementSeed {
                    rows: &mut *rows,
                    row,
                    feature,
                    axis: axis + 1,
                })?,
                Err(_) => entries.next_element::<IgnoredAny>()?.map(|_| Ok(())),
            };
            match entry {
                Some(entry) => result = result.and(entry),
                None => break,
            }
            len += 1;
        }
        Ok(result.and_then(|()| rows.axis(feature, axis, len)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        let expected = expected(self.spec());
        Ok(Err(Mismatch::new(expected, "an object")))
    }
}
