//! Reads JSON into rows while it is parsed: no tree of values is made. What a value is wrong about
//! becomes a fault and reading goes on; only what is no JSON ends it.

use crate::error::{Fault, Faults};
use crate::protocol::features::Layout;
use crate::protocol::json::{self, Seed};
use crate::protocol::reader::{Reader, expected};
use ml_app_model::value::{article, excerpt};
use ml_app_model::{Feature, Mismatch, Rows, Value};
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::value::RawValue;
use std::fmt;

/// A value that was cut out of the body, so that a fault in it does not know where it stands.
fn read_cell(reader: &mut Reader<'_>, row: usize, feature: usize, value: &RawValue) {
    let mut source = serde_json::Deserializer::from_str(value.get());
    let read = CellSeed { reader: &mut *reader, row, feature }.deserialize(&mut source);
    if let Err(error) = read {
        let Fault { detail, .. } = json::fault(&error);
        let fault = Fault::new(detail).feature(&reader.spec(feature).name).row(row);
        reader.push_malformed(fault);
    }
}

/// The whole body.
pub struct BodyVisitor<'a, 's>(pub &'a mut Reader<'s>);

impl<'de> Visitor<'de> for BodyVisitor<'_, '_> {
    type Value = Layout;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object, an array of objects, or an object of arrays")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Layout, A::Error> {
        while rows.next_element_seed(Seed(RowVisitor(self.0)))?.is_some() {
            if self.0.is_exhausted() {
                json::skip_elements(&mut rows)?;
            }
        }
        Ok(Layout::Rows)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Layout, A::Error> {
        let reader = self.0;
        let mut entries: Vec<(String, &RawValue)> = vec![];
        let signature = reader.rows.signature();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
            if entries.len() > signature.features.len() + Faults::LISTED {
                break;
            }
        }
        let further = json::skip_members(&mut map)?;
        let is_column = |(name, value): &(String, &RawValue)| {
            let feature = signature.feature(name)?;
            Some(depth(value.get()) > signature.features[feature].shape.len())
        };
        if entries.iter().find_map(is_column).unwrap_or(false) {
            read_columns(reader, &entries).map_err(A::Error::custom)?;
            return Ok(Layout::Columns);
        }
        reader.start_row();
        if further > 0 {
            let expected = format!("{} features", signature.features.len());
            let mismatch = Mismatch::new(expected, (entries.len() + further).to_string());
            reader.push_fault(Fault::new(mismatch.to_string()));
        }
        for (name, value) in &entries {
            if let Some(feature) = reader.take(name) {
                read_cell(reader, 0, feature, value);
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

/// Columns by name: each an array of one value per row.
fn read_columns(
    reader: &mut Reader<'_>,
    entries: &[(String, &RawValue)],
) -> Result<(), serde_json::Error> {
    let mut first: Option<(&str, usize)> = None;
    for (name, column) in entries {
        let Some(feature) = reader.take(name) else { continue };
        if depth(column.get()) == 0 {
            let mismatch = Mismatch::new("an array of values", excerpt(column.get()));
            reader.faults.push(Fault::of(name, &mismatch));
            continue;
        }
        let values: Vec<&RawValue> = serde_json::from_str(column.get())?;
        let (other, rows) = *first.get_or_insert((name, values.len()));
        if values.len() != rows {
            let expected = format!("{rows} values, as in `{other}`");
            let mismatch = Mismatch::new(expected, values.len().to_string());
            reader.faults.push(Fault::of(name, &mismatch));
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
        reader.faults.push(Fault::missing("feature", &reader.spec(feature).name));
    }
    Ok(())
}

/// A row as an object. One that is something else is a fault like any other.
pub struct RowVisitor<'a, 's>(pub &'a mut Reader<'s>);

const ROW: &str = "an object of features";

impl RowVisitor<'_, '_> {
    fn refuse<E>(self, found: impl fmt::Display) -> Result<(), E> {
        self.0.start_row();
        self.0.push_fault(Fault::new(Mismatch::new(ROW, found.to_string()).to_string()));
        Ok(())
    }
}

impl<'de> Visitor<'de> for RowVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ROW)
    }

    json::scalars!(refuse -> ());

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        json::skip_elements(&mut entries)?;
        self.refuse("an array")
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

/// A feature's name; gives the feature, if it is to be read.
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

/// One row's value of a feature: a scalar, or an array of the feature's shape.
pub struct CellSeed<'a, 's> {
    pub reader: &'a mut Reader<'s>,
    /// Counted from 0.
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
            reader.fault_at(row, feature, in_feature(spec, &mismatch));
        }
        Ok(())
    }
}

/// "expected an integer, found 2.5", or "invalid array of 2 × 2 numbers: expected 2 entries, found 1".
pub fn in_feature(feature: &Feature, mismatch: &Mismatch) -> String {
    if feature.is_scalar() {
        return mismatch.to_string();
    }
    let array = expected(feature);
    format!("invalid {}: {mismatch}", array.trim_start_matches("an "))
}

/// A scalar, or an array below `axis` axes of its feature.
pub struct ElementVisitor<'a, 's> {
    rows: &'a mut Rows<'s>,
    row: usize,
    feature: usize,
    axis: usize,
}

impl<'a, 's> ElementVisitor<'a, 's> {
    /// A row's value of a feature.
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
            let expected = article(spec.kind);
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
        json::skip_members(&mut map)?;
        let expected = expected(self.spec());
        Ok(Err(Mismatch::new(expected, "an object")))
    }
}
