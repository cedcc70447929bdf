//! Instances in, predictions out: [KServe's v1][kserve], [TensorFlow Serving's][serving] and
//! [Vertex AI's][vertex] JSON.
//!
//! An instance is a list of the features in their order, the value itself where there is one feature,
//! or an object by the names of features or inputs. `inputs` in place of `instances` are columns by
//! name, or the one input as a whole; the answer then is `outputs`, tensors as they are. A prediction of
//! `predictions` is a number where its output is `[N, 1]`, as from scikit-learn's servers; TensorFlow
//! Serving has a list of one there.
//!
//! [kserve]: https://kserve.github.io/website/latest/modelserving/data_plane/v1_protocol/
//! [serving]: https://www.tensorflow.org/tfx/serving/api_rest#predict_api
//! [vertex]: https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements#prediction

use crate::error::{Error, Fault};
use crate::protocol::features::{CellSeed, ElementVisitor, in_feature};
use crate::protocol::json::{self, Keys, Seed, View, plain};
use crate::protocol::reader::{Reader, expected};
use crate::protocol::{Encoded, Protocol};
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

    fn decode(
        &self,
        body: &[u8],
        signature: &Signature,
        limit: usize,
    ) -> Result<(Tensors, Layout), Error> {
        let text = json::text(body, "an object with `instances` or `inputs`")?;
        decode_plain(text, signature).map_or_else(|| decode_any(text, signature, limit), Ok)
    }

    fn encode(
        &self,
        layout: Layout,
        _: &[u8],
        signature: &Signature,
        outputs: Tensors,
    ) -> Result<Encoded, Error> {
        let views: Vec<View<'_>> = outputs.tensors().iter().map(View::new).collect();
        let keys = Keys::new(signature.outputs.iter().map(|output| &*output.name));
        let row = views.iter().map(View::row_size).sum::<usize>() + keys.size();
        let mut body = Vec::with_capacity(32 + outputs.rows() * row);
        match layout {
            Layout::Instances => {
                body.extend_from_slice(b"{\"predictions\":");
                json::list(&mut body, b"[]", outputs.rows(), |out, row| match &*views {
                    [view] => view.row(out, row),
                    views => json::list(out, b"{}", views.len(), |out, output| {
                        out.extend_from_slice(keys.get(output));
                        views[output].row(out, row);
                    }),
                });
            }
            Layout::Columns => {
                body.extend_from_slice(b"{\"outputs\":");
                match &*views {
                    [view] => view.whole(&mut body),
                    views => json::list(&mut body, b"{}", views.len(), |out, output| {
                        out.extend_from_slice(keys.get(output));
                        views[output].whole(out);
                    }),
                }
            }
        }
        body.push(b'}');
        Ok(Encoded::json(body))
    }
}

fn decode_any(text: &str, signature: &Signature, limit: usize) -> Result<(Tensors, Layout), Error> {
    let mut reader = Reader::new(signature, limit);
    let read = json::read(text, BodyVisitor(&mut reader));
    reader.finish_json(read)
}

/// `instances` alone, each a list.
fn decode_plain(text: &str, signature: &Signature) -> Option<(Tensors, Layout)> {
    if !plain::has_plain_lists(signature) {
        return None;
    }
    plain::rows(text, signature, |scanner, rows| {
        scanner.take(b'{')?;
        scanner.key("instances")?;
        scanner.lists(rows)?;
        scanner.take(b'}').map(|()| Layout::Instances)
    })
}

/// What a name stands for.
#[derive(Clone)]
enum Target {
    Feature(usize),
    /// The only feature of an input `[N, 1]`.
    Column(usize),
    /// The features of an input.
    Input(Range<usize>),
}

impl Target {
    /// They are then given; `None` where that is a fault.
    fn take(name: &str, reader: &mut Reader<'_>) -> Option<Target> {
        let signature = reader.signature();
        if signature.feature(name).is_none()
            && let Some(input) = signature.inputs.iter().position(|input| input.name == name)
        {
            let of_input = |feature: &usize| signature.features[*feature].input == input;
            let all = 0..signature.features.len();
            let first = all.clone().find(of_input)?;
            let features = first..first + all.skip(first).take_while(of_input).count();
            let mut taken = true;
            for feature in features.clone() {
                taken &= reader.take(&signature.features[feature].name).is_some();
            }
            return taken.then_some(Target::Input(features));
        }
        let feature = reader.take(name)?;
        Some(match *signature.inputs[signature.features[feature].input].shape {
            [_, Some(1)] => Target::Column(feature),
            _ => Target::Feature(feature),
        })
    }
}

struct BodyVisitor<'a, 's>(&'a mut Reader<'s>);

impl<'de> Visitor<'de> for BodyVisitor<'_, '_> {
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
                    "expected only one of `instances` and `inputs`, found two",
                ));
            }
            match read {
                Layout::Instances => map.next_value_seed(Seed(InstancesVisitor(&mut *reader)))?,
                Layout::Columns => map.next_value_seed(Seed(InputsVisitor(&mut *reader)))?,
            }
        }
        layout.ok_or_else(|| A::Error::custom("expected `instances` or `inputs`, found neither"))
    }
}

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

struct InstanceVisitor<'a, 's>(&'a mut Reader<'s>);

impl InstanceVisitor<'_, '_> {
    /// The value of the only feature.
    fn only<E>(self, value: Value<'_>) -> Result<(), E> {
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
        Ok(())
    }
}

/// "a list or an object of 3 features".
fn instance(signature: &Signature) -> String {
    format!("a list or an object of {} features", signature.features.len())
}

impl<'de> Visitor<'de> for InstanceVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an instance")
    }

    json::scalars!(only -> ());

    fn visit_seq<A: SeqAccess<'de>>(self, values: A) -> Result<(), A::Error> {
        let reader = self.0;
        reader.start_row();
        let row = reader.len() - 1;
        let features = 0..reader.signature().features.len();
        match reader.signature().features.as_slice() {
            [feature] if !feature.is_scalar() => {
                let read = ElementVisitor::whole(&mut reader.rows, row, 0).visit_seq(values)?;
                if let Err(mismatch) = read {
                    reader.fault_at(row, 0, in_feature(reader.spec(0), &mismatch));
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

/// The values of some features, in their order.
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
            reader.row_fault(row, Fault::new(mismatch.to_string()));
        }
        Ok(())
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
            Target::Column(feature) => {
                deserializer.deserialize_any(ColumnCellVisitor { reader, row, feature })
            }
            Target::Input(features) => {
                deserializer.deserialize_any(ListVisitor { reader, row, features })
            }
        }
    }
}

/// A row of a tensor `[N, 1]`: its element, alone or in a list.
struct ColumnCellVisitor<'a, 's> {
    reader: &'a mut Reader<'s>,
    row: usize,
    feature: usize,
}

impl ColumnCellVisitor<'_, '_> {
    fn set<E>(self, value: Value<'_>) -> Result<(), E> {
        let ColumnCellVisitor { reader, row, feature } = self;
        if let Err(mismatch) = reader.rows.set(row, feature, value) {
            reader.fault_at(row, feature, &mismatch);
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for ColumnCellVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, or a list of one")
    }

    json::scalars!(set -> ());

    fn visit_seq<A: SeqAccess<'de>>(self, values: A) -> Result<(), A::Error> {
        let ColumnCellVisitor { reader, row, feature } = self;
        ListVisitor { reader, row, features: feature..feature + 1 }.visit_seq(values)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        json::skip_members(&mut members)?;
        let ColumnCellVisitor { reader, row, feature } = self;
        let mismatch = Mismatch::new(expected(reader.spec(feature)), "an object");
        reader.fault_at(row, feature, &mismatch);
        Ok(())
    }
}

/// Columns by name, or the one input.
struct InputsVisitor<'a, 's>(&'a mut Reader<'s>);

impl<'de> Visitor<'de> for InputsVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of columns, or the rows of the one input")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, rows: A) -> Result<(), A::Error> {
        let inputs = self.0.signature().inputs.len();
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
            let column = ColumnVisitor { reader: &mut *reader, target, rows };
            let found = map.next_value_seed(Seed(column))?;
            if reader.is_exhausted() {
                return json::skip_members(&mut map).map(|_| ());
            }
            let expected = *rows.get_or_insert(found);
            if found != expected {
                let mismatch = Mismatch::new(format!("{expected} rows"), found.to_string());
                let name = excerpt(&name);
                reader.push_fault(Fault::new(format!("`{name}`: {mismatch}")));
            }
        }
        for feature in reader.missing() {
            reader.push_fault(Fault::missing("feature", &reader.spec(feature).name));
        }
        Ok(())
    }
}

/// The values of all rows; gives how many there are. Those past `rows` are only counted.
struct ColumnVisitor<'a, 's> {
    reader: &'a mut Reader<'s>,
    target: Target,
    rows: Option<usize>,
}

impl<'de> Visitor<'de> for ColumnVisitor<'_, '_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of a value for each row")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::json::plain::Random;
    use crate::source::Source;

    #[test]
    fn both_roads_read_the_same_instances() {
        let model = Source::Embedded.load().expect("the embedded model loads");
        let signature = model.signature();
        let (mut random, mut read) = (Random::default(), 0);
        for _ in 0..20_000 {
            let mut list = || {
                let values: Vec<String> =
                    signature.features.iter().map(|_| random.integer()).collect();
                format!("[{}]", values.join(","))
            };
            let text = format!("{{\"instances\":[{},{}]}}", list(), list());
            let text = random.damaged(text);
            if let Some(plain) = decode_plain(&text, signature) {
                assert_eq!(decode_any(&text, signature, usize::MAX).ok(), Some(plain), "{text}");
                read += 1;
            }
        }
        assert!(read > 1_000, "{read}");
    }
}
