//! Decodes the value of one feature in one row, from JSON or from a string.
//!
//! If a value does not fit its feature, the [`Reader`] records an error, and decoding continues with the next value.
//! Only invalid JSON ends the decoding.

use crate::protocol::json::{self, Seed};
use crate::protocol::reader::{Reader, describe_value};
use ml_app_model::value::with_article;
use ml_app_model::{FILL, Feature, Mismatch, Rows, Value};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Decodes the value of a feature in a row from JSON: a scalar, an array of the feature's shape, or the short form of
/// an array, [`FILL`].
pub struct CellSeed<'a, 's> {
    pub reader: &'a mut Reader<'s>,
    /// Index of the row among the rows since the last [batch](Reader::batch).
    pub row: usize,
    /// Index of the feature in the signature.
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
            reader.feature_error_at(row, feature, describe_mismatch(spec, &mismatch));
        }
        Ok(())
    }
}

/// Decodes the value of a feature in the current row from the text of a CSV cell or of a query parameter. The text
/// of a scalar is its value; the text of an array is JSON.
///
/// The text of a parameter may be empty in some rows, if another row contains the parameter's value.
pub fn read_text(reader: &mut Reader<'_>, feature: usize, text: &str) {
    let spec = reader.spec(feature);
    if spec.parameter && text.is_empty() {
        return;
    }
    if spec.is_scalar() {
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

/// Describes why a value does not fit its feature: "expected an integer, found 2.5", or "invalid array of 2 × 2
/// numbers: expected 2 entries, found 1".
pub fn describe_mismatch(feature: &Feature, mismatch: &Mismatch) -> String {
    if feature.is_scalar() {
        return mismatch.to_string();
    }
    let array = describe_value(feature);
    format!("invalid {}: {mismatch}", array.trim_start_matches("an "))
}

/// Decodes the whole value of a feature, or an entry of one of its arrays. `axis` is the number of arrays around the
/// entry. It is 0 for the whole value.
///
/// The outer `Result` reports an error in the JSON. The inner `Result` reports a value that does not fit the feature.
pub struct ElementVisitor<'a, 's> {
    rows: &'a mut Rows<'s>,
    row: usize,
    feature: usize,
    axis: usize,
}

impl<'a, 's> ElementVisitor<'a, 's> {
    /// Decodes the whole value of a feature.
    pub fn whole(rows: &'a mut Rows<'s>, row: usize, feature: usize) -> ElementVisitor<'a, 's> {
        rows.start_value(feature);
        ElementVisitor { rows, row, feature, axis: 0 }
    }
}

impl ElementVisitor<'_, '_> {
    fn spec(&self) -> &Feature {
        &self.rows.signature().features[self.feature]
    }

    fn scalar<E>(self, value: Value<'_>) -> Result<Result<(), Mismatch>, E> {
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

    json::scalars!(scalar -> Self::Value);

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

    /// Decodes the short form `{"fill": element}` of a whole array.
    ///
    /// The short form is for examples, so it has the shape of the feature's example, and only the first row may have
    /// it. Otherwise, a small body could fill the memory.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let ElementVisitor { rows, row, feature, axis } = self;
        let spec = &rows.signature().features[feature];
        let expected = || Mismatch::new(describe_value(spec), "an object");
        if spec.is_scalar() || axis > 0 {
            json::skip_members(&mut map)?;
            return Ok(Err(expected()));
        }
        let mut result = Err(expected());
        while let Some(key) = map.next_key::<String>()? {
            let error = if key != FILL {
                Mismatch::new(format!("an array or the key `{FILL}`"), format!("`{key}`"))
            } else if row > 0 {
                Mismatch::new("an array in each row after the first", format!("`{FILL}`"))
            } else if result.is_ok() {
                Mismatch::new(format!("one `{FILL}`"), "two")
            } else {
                result = map.next_value_seed(Seed(FillVisitor { rows: &mut *rows, feature }))?;
                continue;
            };
            map.next_value::<IgnoredAny>()?;
            json::skip_members(&mut map)?;
            return Ok(Err(error));
        }
        Ok(result)
    }
}

/// Decodes the element of the short form of an array.
struct FillVisitor<'a, 's> {
    rows: &'a mut Rows<'s>,
    feature: usize,
}

impl FillVisitor<'_, '_> {
    fn scalar<E>(self, value: Value<'_>) -> Result<Result<(), Mismatch>, E> {
        Ok(self.rows.push_filled(self.feature, value))
    }
}

impl<'de> Visitor<'de> for FillVisitor<'_, '_> {
    type Value = Result<(), Mismatch>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar")
    }

    json::scalars!(scalar -> Self::Value);
}
