//! Instances in, predictions out: [KServe's v1][kserve], [TensorFlow Serving's][serving] and
//! [Vertex AI's][vertex] JSON.
//!
//! An instance is a list of the features in their order, the value itself where there is one feature,
//! or an object by the names of features or inputs. `inputs` in place of `instances` are columns by
//! name, or the one input as a whole; the answer then is `outputs`.
//!
//! [kserve]: https://kserve.github.io/website/latest/modelserving/data_plane/v1_protocol/
//! [serving]: https://www.tensorflow.org/tfx/serving/api_rest#predict_api
//! [vertex]: https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements#prediction

use crate::error::{Error, Fault};
use crate::protocol::features::{CellSeed, ElementSeed};
use crate::protocol::reader::{Reader, expected};
use crate::protocol::{Encoded, Protocol, json};
use ml_app_model::value::excerpt;
use ml_app_model::{Mismatch, Signature, Tensors, Value};
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

#[derive(Debug, Clone, Copy)]
pub struct Predict;

/// The shape of a question, and so of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `instances`, `predictions`: row by row.
    Instances,
    /// `inputs`, `outputs`: column by column.
    Columns,
}

impl Protocol for Predict {
    type Wish = Layout;

    fn decode(&self, body: &[u8], signature: &Signature) -> Result<(Tensors, Layout), Error> {
        let body = std::str::from_utf8(body).map_err(|_| {
            Error::Malformed(Fault::new("expected JSON in UTF-8, but found other bytes").into())
        })?;
        if body.trim().is_empty() {
            let detail = "expected an object with `instances` or `inputs`, but found an empty body";
            return Err(Error::Malformed(Fault::new(detail).into()));
        }
        let mut reader = Reader::new(signature);
        let mut source = serde_json::Deserializer::from_str(body);
        let read = BodySeed(&mut reader)
            .deserialize(&mut source)
            .and_then(|layout| source.end().map(|()| layout));
        match read {
            Ok(layout) => Ok((reader.into_tensors()?, layout)),
            Err(error) => {
                reader.push_malformed(json::fault(&error));
                Err(reader.faults.into())
            }
        }
    }

    fn encode(
        &self,
        layout: Layout,
        _: &[u8],
        signature: &Signature,
        outputs: Tensors,
    ) -> Result<Encoded, Error> {
        let (tensors, rows) = (outputs.tensors(), outputs.rows());
        let name = |out: &mut Vec<u8>, output: usize| {
            json::scalar(out, &signature.outputs[output].name);
            out.push(b':');
        };
        let mut body = vec![];
        match layout {
            Layout::Instances => {
                body.extend_from_slice(b"{\"predictions\":");
                json::list(&mut body, b"[]", rows, |out, row| match tensors {
                    [tensor] => json::row(out, tensor, row),
                    tensors => json::list(out, b"{}", tensors.len(), |out, output| {
                        name(out, output);
                        json::row(out, &tensors[output], row);
                    }),
                });
            }
            Layout::Columns => {
                body.extend_from_slice(b"{\"outputs\":");
                let column = |out: &mut Vec<u8>, output: usize| {
                    json::list(out, b"[]", rows, |out, row| json::row(out, &tensors[output], row));
                };
                match tensors.len() {
                    1 => column(&mut body, 0),
                    several => json::list(&mut body, b"{}", several, |out, output| {
                        name(out, output);
                        column(out, output);
                    }),
                }
            }
        }
        body.push(b'}');
        Ok(Encoded::json(body))
    }
}

/// What a name stands for.
#[derive(Clone)]
enum Target {
    Feature(usize),
    /// The features of an input.
    Input(Range<usize>),
}

impl Target {
    /// They are then given; `None` where that is a fault.
    fn take(name: &str, reader: &mut Reader<'_>) -> Option<Target> {
        let signature = reader.signature();
        let input = signature.inputs.iter().position(|input| input.name == name);
        match input {
            Some(input) if signature.feature(name).is_none() => {
                let of_input = |feature: usize| signature.features[feature].input == input;
                let first = (0..signature.features.len()).find(|feature| of_input(*feature))?;
                let count = (first..signature.features.len()).take_while(|f| of_input(*f)).count();
                let features = first..first + count;
                let taken = features
                    .clone()
                    .filter_map(|feature| reader.take(&signature.features[feature].name));
                (taken.count() == count).then_some(Target::Input(features))
            }
            _ => reader.take(name).map(Target::Feature),
        }
    }
}

struct BodySeed<'a, 's>(&'a mut Reader<'s>);

impl<'de> DeserializeSeed<'de> for BodySeed<'_, '_> {
    type Value = Layout;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Layout, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for BodySeed<'_, '_> {
    type Value = Layout;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `instances` or `inputs`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Layout, A::Error> {
        let reader = self.0;
        let mut layout = None;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let read = match &*key {
                "instances" => Layout::Instances,
                "inputs" => Layout::Columns,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if layout.replace(read).is_some() {
                return Err(A::Error::custom(
                    "expected `instances` or `inputs` once, but found a second",
                ));
            }
            match read {
                Layout::Instances => map.next_value_seed(InstancesSeed(&mut *reader))?,
                Layout::Columns => map.next_value_seed(InputsSeed(&mut *reader))?,
            }
        }
        layout
            .ok_or_else(|| A::Error::custom("expected `instances` or `inputs`, but found neither"))
    }
}

struct InstancesSeed<'a, 's>(&'a mut Reader<'s>);

impl<'de> DeserializeSeed<'de> for InstancesSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for InstancesSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of instances")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        let reader = self.0;
        loop {
            if reader.is_exhausted() {
                while rows.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(());
            }
            if rows.next_element_seed(InstanceSeed(&mut *reader))?.is_none() {
                return Ok(());
            }
        }
    }
}

struct InstanceSeed<'a, 's>(&'a mut Reader<'s>);

impl InstanceSeed<'_, '_> {
    /// The value of the only feature.
    fn only(self, value: Value<'_>) {
        let reader = self.0;
        reader.start_row();
        match reader.signature().features.as_slice() {
            [feature] if feature.is_scalar() => reader.set(0, value),
            [_] => reader.fault(0, &Mismatch::new(expected(reader.spec(0)), value.to_string())),
            _ => {
                let mismatch = Mismatch::new(instance(reader.signature()), value.to_string());
                reader.push_fault(Fault::new(mismatch.to_string()));
            }
        }
    }
}

/// "a list or an object of 3 features".
fn instance(signature: &Signature) -> String {
    format!("a list or an object of {} features", signature.features.len())
}

impl<'de> DeserializeSeed<'de> for InstanceSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for InstanceSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an instance")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<(), E> {
        self.only(Value::Bool(flag));
        Ok(())
    }

    fn visit_i64<E>(self, integer: i64) -> Result<(), E> {
        self.only(Value::Integer(integer.into()));
        Ok(())
    }

    fn visit_u64<E>(self, integer: u64) -> Result<(), E> {
        self.only(Value::Integer(integer.into()));
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.only(Value::Number(number));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.only(Value::String(text));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.only(Value::Missing);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, values: A) -> Result<(), A::Error> {
        let reader = self.0;
        reader.start_row();
        let row = reader.len() - 1;
        let features = 0..reader.signature().features.len();
        match reader.signature().features.as_slice() {
            [feature] if !feature.is_scalar() => {
                let read = ElementSeed::whole(&mut reader.rows, row, 0).visit_seq(values)?;
                if let Err(mismatch) = read {
                    let found = format!("a fault in it: {mismatch}");
                    reader.fault_at(row, 0, &Mismatch::new(expected(reader.spec(0)), found));
                }
                Ok(())
            }
            _ => ListSeed { reader, row, features }.visit_seq(values),
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
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            }
        }
        reader.end_row();
        Ok(())
    }
}

/// The values of some features, in their order.
struct ListSeed<'a, 's> {
    reader: &'a mut Reader<'s>,
    row: usize,
    features: Range<usize>,
}

impl<'de> Visitor<'de> for ListSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of {} features", self.features.len())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        let ListSeed { reader, row, features } = self;
        let expected = features.len();
        let mut found = 0;
        for feature in features {
            if values.next_element_seed(CellSeed { reader: &mut *reader, row, feature })?.is_none()
            {
                break;
            }
            found += 1;
        }
        while values.next_element::<IgnoredAny>()?.is_some() {
            found += 1;
        }
        if found != expected {
            let mismatch = Mismatch::new(format!("{expected} features"), found.to_string());
            reader.row_fault(row, Fault::new(mismatch.to_string()));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for ListSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

/// A row's value of what has a name; the row may be new.
struct ValueSeed<'a, 's> {
    reader: &'a mut Reader<'s>,
    row: usize,
    target: Target,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let ValueSeed { reader, row, target } = self;
        if row == reader.len() {
            reader.rows.add_row();
        }
        match target {
            Target::Feature(feature) => CellSeed { reader, row, feature }.deserialize(deserializer),
            Target::Input(features) => ListSeed { reader, row, features }.deserialize(deserializer),
        }
    }
}

/// Columns by name, or the one input.
struct InputsSeed<'a, 's>(&'a mut Reader<'s>);

impl<'de> DeserializeSeed<'de> for InputsSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for InputsSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of columns, or the rows of the one input")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, rows: A) -> Result<(), A::Error> {
        let inputs = self.0.signature().inputs.len();
        if inputs != 1 {
            let detail = format!("expected an object of {inputs} inputs, but found an array");
            return Err(A::Error::custom(detail));
        }
        InstancesSeed(self.0).visit_seq(rows)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.0;
        let mut rows = None;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let Some(target) = Target::take(&name, reader) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let found = map.next_value_seed(ColumnSeed { reader: &mut *reader, target, rows })?;
            let expected = *rows.get_or_insert(found);
            if found != expected {
                let mismatch = Mismatch::new(format!("{expected} rows"), found.to_string());
                let name = excerpt(&name);
                reader.push_fault(Fault::new(format!("`{name}`: {mismatch}")));
            }
        }
        for feature in reader.missing() {
            let mismatch = Mismatch::new("a column", "none of this name");
            reader.fault(feature, &mismatch);
        }
        Ok(())
    }
}

/// The values of all rows; gives how many there are. Those past `rows` are only counted.
struct ColumnSeed<'a, 's> {
    reader: &'a mut Reader<'s>,
    target: Target,
    rows: Option<usize>,
}

impl<'de> DeserializeSeed<'de> for ColumnSeed<'_, '_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ColumnSeed<'_, '_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of a value for each row")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<usize, A::Error> {
        let ColumnSeed { reader, target, rows } = self;
        let mut row = 0;
        loop {
            if rows.is_some_and(|rows| row >= rows) || reader.is_exhausted() {
                while values.next_element::<IgnoredAny>()?.is_some() {
                    row += 1;
                }
                return Ok(row);
            }
            let seed = ValueSeed { reader: &mut *reader, row, target: target.clone() };
            if values.next_element_seed(seed)?.is_none() {
                return Ok(row);
            }
            row += 1;
        }
    }
}
