//! Decodes the body of a request straight into rows, without building a tree of values first.

use crate::error::RequestError;
use crate::protocol::cell::{self, CellSeed, ElementVisitor};
use crate::protocol::json::{self, Seed};
use crate::protocol::reader::{Reader, describe_value};
use ml_app_model::value::excerpt;
use ml_app_model::{Mismatch, Value};
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// The layout of a request. The response has the same layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstancesLayout {
    /// Row by row: `instances` and `predictions`.
    Instances,
    /// Column by column: `inputs` and `outputs`.
    Columns,
}

/// The features to which a name in a request refers.
#[derive(Clone)]
enum Target {
    /// The feature with this index.
    Feature(usize),
    /// The only feature of an input with shape `[N, 1]`, or of a parameter with shape `[1]`.
    Column(usize),
    /// All features of an input. They have consecutive indices.
    Input(Range<usize>),
}

impl Target {
    /// Finds the features to which a name refers. Marks these features as present in the row, or in the request if the
    /// request consists of columns. If the name is unknown, or if one of the features is already present, records an
    /// error and returns `None`.
    fn take(name: &str, reader: &mut Reader<'_>) -> Option<Target> {
        let signature = reader.signature();
        // A feature takes precedence over an input of the same name.
        if signature.feature(name).is_none()
            && let Some(input) = signature.inputs.iter().position(|input| input.name == name)
        {
            let belongs_to_input = |feature: &usize| signature.features[*feature].input == input;
            let all = 0..signature.features.len();
            let first = all.clone().find(belongs_to_input)?;
            let features = first..first + all.skip(first).take_while(belongs_to_input).count();
            let mut taken = true;
            for feature in features.clone() {
                taken &= reader.take(&signature.features[feature].name).is_some();
            }
            let is_parameter = signature.inputs[input].batch_axis.is_none();
            let target =
                if is_parameter { Target::Feature(first) } else { Target::Input(features) };
            return taken.then_some(target);
        }
        let feature = reader.take(name)?;
        let input = &signature.inputs[signature.features[feature].input];
        Some(match *input.row_shape() {
            [Some(1)] => Target::Column(feature),
            _ => Target::Feature(feature),
        })
    }

    /// Returns whether the target has one value for the whole request.
    fn is_parameter(&self, reader: &Reader<'_>) -> bool {
        match self {
            Target::Feature(feature) | Target::Column(feature) => reader.spec(*feature).parameter,
            Target::Input(_) => false,
        }
    }
}

/// Decodes a whole body.
pub struct BodyVisitor<'a, 's>(pub &'a mut Reader<'s>);

impl<'de> Visitor<'de> for BodyVisitor<'_, '_> {
    type Value = InstancesLayout;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `instances` or `inputs`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<InstancesLayout, A::Error> {
        let reader = self.0;
        let mut layout = None;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let read = match &*key {
                "instances" => InstancesLayout::Instances,
                "inputs" => InstancesLayout::Columns,
                "parameters" if reader.has_parameters() => {
                    map.next_value_seed(Seed(ParametersVisitor(&mut *reader)))?;
                    continue;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if layout.replace(read).is_some() {
                return Err(A::Error::custom(
                    "expected only one of `instances` and `inputs`, found two",
                ));
            }
            match read {
                InstancesLayout::Instances => {
                    map.next_value_seed(Seed(InstancesVisitor(&mut *reader)))?
                }
                InstancesLayout::Columns => {
                    map.next_value_seed(Seed(InputsVisitor(&mut *reader)))?
                }
            }
        }
        layout.ok_or_else(|| A::Error::custom("expected `instances` or `inputs`, found neither"))
    }
}

/// Decodes `parameters`: the features that have one value for the whole request, by name. `null` means none.
struct ParametersVisitor<'a, 's>(&'a mut Reader<'s>);

impl<'de> Visitor<'de> for ParametersVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of parameters")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.0;
        reader.start_parameters();
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let Some(target) = Target::take(&name, reader) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if !target.is_parameter(reader) {
                let name = excerpt(&name);
                let detail = format!(
                    "expected `{name}` in `instances` or `inputs`, found it in `parameters`"
                );
                reader.push_error(RequestError::naming(detail, &name));
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            map.next_value_seed(ValueSeed { reader: &mut *reader, row: 0, target })?;
        }
        reader.end_parameters();
        Ok(())
    }
}

/// Decodes a list of instances.
struct InstancesVisitor<'a, 's>(&'a mut Reader<'s>);

impl<'de> Visitor<'de> for InstancesVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of instances")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        let reader = self.0;
        loop {
            if reader.is_exhausted() {
                return json::skip_elements(&mut rows).map(|_| ());
            }
            if rows.next_element_seed(Seed(InstanceVisitor(&mut *reader)))?.is_none() {
                return Ok(());
            }
        }
    }
}

/// Decodes an instance, which is a row.
struct InstanceVisitor<'a, 's>(&'a mut Reader<'s>);

impl InstanceVisitor<'_, '_> {
    /// Decodes an instance that is a scalar: the value of the model's only feature. Records an error if the model has
    /// several features, or if its only feature is an array.
    fn only_feature<E>(self, value: Value<'_>) -> Result<(), E> {
        let reader = self.0;
        reader.start_row();
        match reader.row_features() {
            [feature] if feature.is_scalar() => reader.set(0, value),
            [_] => reader
                .feature_error(0, Mismatch::new(describe_value(reader.spec(0)), value.to_string())),
            _ => {
                let mismatch = Mismatch::new(describe_instance(reader), value.to_string());
                reader.push_error(RequestError::new(mismatch.to_string()));
            }
        }
        Ok(())
    }
}

/// Describes an instance: "a list or an object of 3 features".
fn describe_instance(reader: &Reader<'_>) -> String {
    format!("a list or an object of {} features", reader.row_features().len())
}

impl<'de> Visitor<'de> for InstanceVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an instance")
    }

    json::scalars!(only_feature -> ());

    fn visit_seq<A: SeqAccess<'de>>(self, values: A) -> Result<(), A::Error> {
        let reader = self.0;
        reader.start_row();
        let row = reader.len() - 1;
        let features = 0..reader.row_features().len();
        match reader.row_features() {
            [feature] if !feature.is_scalar() => {
                let read = ElementVisitor::whole(&mut reader.rows, row, 0).visit_seq(values)?;
                if let Err(mismatch) = read {
                    reader.feature_error_at(
                        row,
                        0,
                        cell::describe_mismatch(reader.spec(0), &mismatch),
                    );
                }
                Ok(())
            }
            _ => ListVisitor { reader, row, features }.visit_seq(values),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.0;
        reader.start_row();
        let row = reader.len() - 1;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            match Target::take(&name, reader) {
                Some(target) => {
                    map.next_value_seed(ValueSeed { reader: &mut *reader, row, target })?
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

/// Decodes a list with the values of consecutive features.
struct ListVisitor<'a, 's> {
    reader: &'a mut Reader<'s>,
    row: usize,
    features: Range<usize>,
}

impl<'de> Visitor<'de> for ListVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of {} features", self.features.len())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        let ListVisitor { reader, row, features } = self;
        let expected = features.len();
        let mut found = 0;
        for feature in features {
            if values.next_element_seed(CellSeed { reader: &mut *reader, row, feature })?.is_none()
            {
                break;
            }
            found += 1;
        }
        found += json::skip_elements(&mut values)?;
        if found != expected {
            let expected = match expected {
                1 => "1 feature".to_owned(),
                several => format!("{several} features"),
            };
            let mismatch = Mismatch::new(expected, found.to_string());
            reader.row_error(row, RequestError::new(mismatch.to_string()));
        }
        Ok(())
    }
}

/// Decodes the value of a [`Target`] in a row. If the row does not exist yet, adds it. This is the case for the first
/// column of `inputs`.
struct ValueSeed<'a, 's> {
    reader: &'a mut Reader<'s>,
    row: usize,
    target: Target,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let ValueSeed { reader, row, target } = self;
        if row == reader.len() && !target.is_parameter(reader) {
            reader.rows.add_row();
        }
        match target {
            Target::Feature(feature) => CellSeed { reader, row, feature }.deserialize(deserializer),
            Target::Column(feature) => {
                deserializer.deserialize_any(ColumnCellVisitor { reader, row, feature })
            }
            Target::Input(features) => {
                deserializer.deserialize_any(ListVisitor { reader, row, features })
            }
        }
    }
}

/// Decodes a row of a tensor of shape `[N, 1]`: its element, or a list that contains only this element.
struct ColumnCellVisitor<'a, 's> {
    reader: &'a mut Reader<'s>,
    row: usize,
    feature: usize,
}

impl ColumnCellVisitor<'_, '_> {
    fn set<E>(self, value: Value<'_>) -> Result<(), E> {
        let ColumnCellVisitor { reader, row, feature } = self;
        if let Err(mismatch) = reader.rows.set(row, feature, value) {
            reader.feature_error_at(row, feature, &mismatch);
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for ColumnCellVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, or a list of one value")
    }

    json::scalars!(set -> ());

    fn visit_seq<A: SeqAccess<'de>>(self, values: A) -> Result<(), A::Error> {
        let ColumnCellVisitor { reader, row, feature } = self;
        ListVisitor { reader, row, features: feature..feature + 1 }.visit_seq(values)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        json::skip_members(&mut members)?;
        let ColumnCellVisitor { reader, row, feature } = self;
        let mismatch = Mismatch::new(describe_value(reader.spec(feature)), "an object");
        reader.feature_error_at(row, feature, &mismatch);
        Ok(())
    }
}

/// Decodes `inputs`: an object with a column for each name, or a list of rows if the model has only one input.
struct InputsVisitor<'a, 's>(&'a mut Reader<'s>);

impl<'de> Visitor<'de> for InputsVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of columns, or the rows of the only input")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, rows: A) -> Result<(), A::Error> {
        let signature = self.0.signature();
        let inputs =
            signature.inputs.iter().filter(|input| !signature.is_given_once(input)).count();
        if inputs != 1 {
            let detail = format!("expected an object of {inputs} inputs, found an array");
            return Err(A::Error::custom(detail));
        }
        InstancesVisitor(self.0).visit_seq(rows)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.0;
        let mut rows = None;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let Some(target) = Target::take(&name, reader) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if target.is_parameter(reader) {
                map.next_value_seed(ValueSeed { reader: &mut *reader, row: 0, target })?;
                continue;
            }
            let column = ColumnVisitor { reader: &mut *reader, target, rows };
            let found = map.next_value_seed(Seed(column))?;
            if reader.is_exhausted() {
                return json::skip_members(&mut map).map(|_| ());
            }
            let expected = *rows.get_or_insert(found);
            if found != expected {
                let mismatch = Mismatch::new(format!("{expected} rows"), found.to_string());
                let name = excerpt(&name);
                reader.push_error(RequestError::new(format!("`{name}`: {mismatch}")));
            }
        }
        for feature in reader.missing() {
            reader.push_error(RequestError::missing("feature", &reader.spec(feature).name));
        }
        Ok(())
    }
}

/// Decodes a column, which is a list with a value for each row, and returns the number of values.
struct ColumnVisitor<'a, 's> {
    reader: &'a mut Reader<'s>,
    target: Target,
    /// Number of rows in the first column. `None` while the first column is decoded. In other columns, values beyond
    /// this number are counted, but not decoded.
    rows: Option<usize>,
}

impl<'de> Visitor<'de> for ColumnVisitor<'_, '_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array with a value for each row")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<usize, A::Error> {
        let ColumnVisitor { reader, target, rows } = self;
        let mut row = 0;
        loop {
            if rows.is_some_and(|rows| row >= rows) || reader.is_exhausted() {
                return Ok(row + json::skip_elements(&mut values)?);
            }
            let seed = ValueSeed { reader: &mut *reader, row, target: target.clone() };
            if values.next_element_seed(seed)?.is_none() {
                return Ok(row);
            }
            row += 1;
        }
    }
}
