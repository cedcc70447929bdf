//! Decodes one feature's value in one row, from JSON or from text.
//!
//! A value that does not fit its feature is recorded as an error in the [`Reader`], and reading goes on. Only a
//! value that is not JSON at all ends it.

use crate::protocol::json::{self, Seed};
use crate::protocol::reader::{Reader, expected};
use ml_app_model::value::with_article;
use ml_app_model::{Feature, Mismatch, Rows, Value};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Decodes a row's value of a feature from JSON: a scalar, or an array of the feature's shape.
pub struct CellSeed<'a, 's> {
    pub reader: &'a mut Reader<'s>,
    /// Index of the row since the last batch.
    pub row: usize,
    pub feature: usize,
}

impl<'de> DeserializeSeed<'de> for CellSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let CellSeed { reader, row, feature } = self;
        let spec = reader.spec(feature);
        let rows = &mut reader.rows;
        let read = deserializer.deserialize_any(ElementVisitor::whole(rows, row, feature))?;
        if let Err(mismatch) = read {
            reader.feature_error_at(row, feature, describe(spec, &mismatch));
        }
        Ok(())
    }
}

/// Decodes a feature's value from text: a scalar as it is, an array as JSON. The row is the current row.
pub fn read_text(reader: &mut Reader<'_>, feature: usize, text: &str) {
    if reader.spec(feature).is_scalar() {
        reader.set(feature, Value::Untyped(text));
        return;
    }
    let row = reader.len() - 1;
    let mut source = serde_json::Deserializer::from_str(text);
    let read = CellSeed { reader: &mut *reader, row, feature }
        .deserialize(&mut source)
        .and_then(|()| source.end());
    if read.is_err() {
        let mismatch = Mismatch::new("a JSON array", Value::Untyped(text).to_string());
        reader.feature_error(feature, &mismatch);
    }
}

/// Describes a mismatch in a feature's value: "expected an integer, found 2.5", or "invalid array of 2 × 2 numbers:
/// expected 2 entries, found 1".
pub fn describe(feature: &Feature, mismatch: &Mismatch) -> String {
    if feature.is_scalar() {
        return mismatch.to_string();
    }
    let array = expected(feature);
    format!("invalid {}: {mismatch}", array.trim_start_matches("an "))
}

/// Decodes a scalar, or an array nested in `axis` arrays of its feature's value.
///
/// The outer `Result` is an error in the JSON, the inner one a value that does not fit the feature.
pub struct ElementVisitor<'a, 's> {
    rows: &'a mut Rows<'s>,
    row: usize,
    feature: usize,
    axis: usize,
}

impl<'a, 's> ElementVisitor<'a, 's> {
    /// Decodes the whole value of a feature.
    pub fn whole(rows: &'a mut Rows<'s>, row: usize, feature: usize) -> ElementVisitor<'a, 's> {
        ElementVisitor { rows, row, feature, axis: 0 }
    }
}

impl ElementVisitor<'_, '_> {
    fn spec(&self) -> &Feature {
        &self.rows.signature().features[self.feature]
    }

    fn put<E>(self, value: Value<'_>) -> Result<Result<(), Mismatch>, E> {
        let spec = self.spec();
        Ok(if spec.is_scalar() {
            self.rows.set(self.row, self.feature, value)
        } else if self.axis == spec.shape.len() {
            self.rows.push(self.feature, value)
        } else {
            Err(Mismatch::new("an array", value.to_string()))
        })
    }
}

impl<'de> Visitor<'de> for ElementVisitor<'_, '_> {
    type Value = Result<(), Mismatch>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    json::scalars!(put -> Self::Value);

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let ElementVisitor { rows, row, feature, axis } = self;
        let spec = &rows.signature().features[feature];
        let mut result = Ok(());
        if axis == spec.shape.len() {
            json::skip_elements(&mut entries)?;
            let expected = with_article(spec.kind);
            return Ok(Err(Mismatch::new(expected, "an array")));
        }
        let mut len = 0;
        loop {
            let entry = match result {
                Ok(()) => entries.next_element_seed(Seed(ElementVisitor {
                    rows: &mut *rows,
                    row,
                    feature,
                    axis: axis + 1,
                }))?,
                // After a mismatch, the other entries are only parsed.
                Err(_) => entries.next_element::<IgnoredAny>()?.map(|_| Ok(())),
            };
            match entry {
                Some(entry) => result = result.and(entry),
                None => break,
            }
            len += 1;
        }
        Ok(result.and_then(|()| rows.set_axis_len(feature, axis, len)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        json::skip_members(&mut map)?;
        let expected = expected(self.spec());
        Ok(Err(Mismatch::new(expected, "an object")))
    }
}
