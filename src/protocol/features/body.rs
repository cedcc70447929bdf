//! Decodes a JSON body of named features straight into rows, without building a tree of values first.

use crate::error::{RequestError, RequestErrors};
use crate::protocol::cell::CellSeed;
use crate::protocol::json::{self, Seed};
use crate::protocol::reader::Reader;
use ml_app_model::Mismatch;
use ml_app_model::value::excerpt;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// The layout of a JSON request. The response has the same layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeaturesLayout {
    /// One object.
    Row,
    /// An array of objects.
    Rows,
    /// An object of arrays.
    Columns,
}

/// Decodes a value from its JSON text. The position of the text in the body is unknown, so an error in the JSON is
/// reported with row and feature instead of line and column.
fn read_cell(reader: &mut Reader<'_>, row: usize, feature: usize, value: &RawValue) {
    let mut source = serde_json::Deserializer::from_str(value.get());
    let read = CellSeed { reader: &mut *reader, row, feature }.deserialize(&mut source);
    if let Err(error) = read {
        let RequestError { detail, .. } = json::request_error(&error);
        let error = RequestError::new(detail).feature(&reader.spec(feature).name).row(row);
        reader.push_malformed(error);
    }
}

/// Decodes a whole body: an object (one row, or columns) or an array of objects.
pub struct BodyVisitor<'a, 's>(pub &'a mut Reader<'s>);

impl<'de> Visitor<'de> for BodyVisitor<'_, '_> {
    type Value = FeaturesLayout;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object, an array of objects, or an object of arrays")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<FeaturesLayout, A::Error> {
        while rows.next_element_seed(Seed(RowVisitor(self.0)))?.is_some() {
            if self.0.is_exhausted() {
                json::skip_elements(&mut rows)?;
            }
        }
        Ok(FeaturesLayout::Rows)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FeaturesLayout, A::Error> {
        let reader = self.0;
        // Only the values show whether the object is a row or contains columns, so collect the texts of all members
        // first. A valid body has at most as many members as the model has features. In an invalid body,
        // `MAX_LISTED + 1` more members are enough: each of them is an error, and a response lists at most `MAX_LISTED`
        // errors.
        let mut entries: Vec<(String, &RawValue)> = vec![];
        let signature = reader.rows.signature();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
            if entries.len() > signature.features.len() + RequestErrors::MAX_LISTED {
                break;
            }
        }
        let skipped = json::skip_members(&mut map)?;
        // A column has one more level of arrays than the value of its feature. The first known feature decides.
        let is_column = |(name, value): &(String, &RawValue)| {
            let feature = &signature.features[signature.feature(name)?];
            (!feature.parameter).then(|| depth(value.get()) > feature.shape.len())
        };
        if entries.iter().find_map(is_column).unwrap_or(false) {
            read_columns(reader, &entries).map_err(A::Error::custom)?;
            return Ok(FeaturesLayout::Columns);
        }
        reader.start_row();
        if skipped > 0 {
            let expected = format!("{} features", signature.features.len());
            let mismatch = Mismatch::new(expected, (entries.len() + skipped).to_string());
            reader.push_error(RequestError::new(mismatch.to_string()));
        }
        for (name, value) in &entries {
            if let Some(feature) = reader.take(name) {
                read_cell(reader, 0, feature, value);
            }
        }
        reader.end_row();
        Ok(FeaturesLayout::Row)
    }
}

/// Returns the number of `[` at the start of a JSON text: the nesting depth of its first element.
fn depth(json: &str) -> usize {
    json.bytes().filter(|byte| !byte.is_ascii_whitespace()).take_while(|byte| *byte == b'[').count()
}

/// Decodes columns by name, each an array with one value per row. A parameter has one value, or an array of equal
/// values.
fn read_columns(
    reader: &mut Reader<'_>,
    entries: &[(String, &RawValue)],
) -> Result<(), serde_json::Error> {
    // Name and length of the first column. All other columns must have the same length.
    let mut first_column: Option<(&str, usize)> = None;
    for (name, column) in entries {
        let Some(feature) = reader.take(name) else { continue };
        let spec = reader.spec(feature);
        if spec.parameter && depth(column.get()) <= spec.shape.len() {
            read_cell(reader, 0, feature, column);
            continue;
        }
        if depth(column.get()) == 0 {
            let mismatch = Mismatch::new("an array of values", excerpt(column.get()));
            reader.errors.push(RequestError::in_feature(name, &mismatch));
            continue;
        }
        let values: Vec<&RawValue> = serde_json::from_str(column.get())?;
        let (first_name, rows) = *first_column.get_or_insert((name, values.len()));
        if values.len() != rows {
            let expected = format!("{rows} values, as in `{first_name}`");
            let mismatch = Mismatch::new(expected, values.len().to_string());
            reader.errors.push(RequestError::in_feature(name, &mismatch));
            continue;
        }
        while reader.len() < rows && !reader.is_exhausted() {
            reader.rows.add_row();
        }
        if reader.is_exhausted() {
            return Ok(());
        }
        for (row, value) in values.iter().enumerate() {
            read_cell(reader, row, feature, value);
            if reader.is_exhausted() {
                return Ok(());
            }
        }
    }
    for feature in reader.missing() {
        reader.errors.push(RequestError::missing("feature", &reader.spec(feature).name));
    }
    Ok(())
}

/// Decodes a row from an object. For any other value, records an error of the row.
pub struct RowVisitor<'a, 's>(pub &'a mut Reader<'s>);

/// The expected form of a row, for error messages.
const ROW: &str = "an object of features";

impl RowVisitor<'_, '_> {
    fn reject<E>(self, found: impl fmt::Display) -> Result<(), E> {
        self.0.start_row();
        self.0.push_error(RequestError::new(Mismatch::new(ROW, found.to_string()).to_string()));
        Ok(())
    }
}

impl<'de> Visitor<'de> for RowVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ROW)
    }

    json::scalars!(reject -> ());

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        json::skip_elements(&mut entries)?;
        self.reject("an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.0;
        reader.start_row();
        let row = reader.rows.len() - 1;
        while let Some(feature) = map.next_key_seed(Seed(NameVisitor(&mut *reader)))? {
            match feature {
                Some(feature) => {
                    map.next_value_seed(CellSeed { reader: &mut *reader, row, feature })?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            if reader.is_exhausted() {
                json::skip_members(&mut map)?;
            }
        }
        reader.end_row();
        Ok(())
    }
}

/// Decodes a name, and returns the index of its feature. If the name is unknown or a duplicate, records an error and
/// returns `None`, and the caller must skip the value.
struct NameVisitor<'a, 's>(&'a mut Reader<'s>);

impl Visitor<'_> for NameVisitor<'_, '_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a feature")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.take(name))
    }
}
