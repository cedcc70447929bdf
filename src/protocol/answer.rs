//! Encodes predictions in the shape that people read: a classifier's label and the probability of each
//! class, or the values of the outputs. [`PredictionShape`] says which values these are.
//!
//! JSON has no NaN and no infinity ([RFC 8259](https://www.rfc-editor.org/rfc/rfc8259#section-6)):
//! both are `null`. In CSV they are `NaN`, `inf` and `-inf`.

use crate::protocol::json::{self, Keys, View};
use ml_app_model::{Content, Elements, PredictionShape, Signature, Source, Tensors};
use std::io::Write;

/// The outputs of a model, ready to be encoded row by row.
#[derive(Debug)]
pub struct Answer<'a> {
    signature: &'a Signature,
    shape: PredictionShape<'a>,
    rows: usize,
    outputs: Vec<View<'a>>,
    /// The escaped names of the members, followed by the names in the member that is an object.
    keys: Keys,
    /// Number of members.
    members: usize,
}

impl<'a> Answer<'a> {
    /// Takes the outputs of the model that has this signature.
    pub fn new(signature: &'a Signature, outputs: &'a Tensors) -> Answer<'a> {
        let shape = PredictionShape::new(signature);
        let members = shape.members().map(|member| member.name);
        let names = shape.members().filter_map(|member| match member.content {
            Content::Value(_) => None,
            Content::Named(named) => Some(named.names()),
        });
        let keys = Keys::new(members.chain(names.flatten()));
        let views = outputs.tensors().iter().map(View::new).collect();
        let members = shape.members().count();
        Answer { signature, shape, rows: outputs.rows(), outputs: views, keys, members }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn signature(&self) -> &'a Signature {
        self.signature
    }

    /// Returns an estimate of an object's size in bytes.
    pub fn row_size(&self) -> usize {
        10 + self.keys.size() + self.outputs.iter().map(View::row_size).sum::<usize>()
    }

    /// Appends `{"prediction": …, "probabilities": {…}}` for a row.
    pub fn object(&self, out: &mut Vec<u8>, row: usize) {
        self.members(out, |out, source| self.value(out, row, source));
    }

    /// Appends one such object with an array over all rows for each value.
    pub fn columns_object(&self, out: &mut Vec<u8>) {
        self.members(out, |out, source| {
            json::list(out, b"[]", self.rows, |out, row| self.value(out, row, source));
        });
    }

    /// Appends an array with an object for each row.
    pub fn array(&self, out: &mut Vec<u8>) {
        json::list(out, b"[]", self.rows, |out, row| self.object(out, row));
    }

    /// Returns the names of the columns that predictions add to a table, such as `prediction`,
    /// `probability_yes`.
    pub fn columns(signature: &Signature) -> Vec<String> {
        let mut columns = vec![];
        for member in PredictionShape::new(signature).members() {
            match member.content {
                Content::Value(_) => columns.push(member.singular.to_owned()),
                Content::Named(named) => {
                    columns.extend(named.names().map(|name| format!("{}_{name}", member.singular)));
                }
            }
        }
        columns
    }

    /// Returns the cells of each of the [`Answer::columns`].
    pub fn cells(&self) -> Vec<Cells<'a>> {
        let columns = 0..Answer::columns(self.signature).len();
        let cells = columns.map(|column| {
            let Source { output, element } = self.shape.source(column);
            let view = &self.outputs[output];
            let (width, index) = (view.width, element.unwrap_or(0));
            let is_scalar = element.is_some() || width == 1;
            match view.elements {
                Elements::Float32(elements) if is_scalar => Cells::Float32(elements, width, index),
                Elements::Int64(elements) if is_scalar => Cells::Int64(elements, width, index),
                _ => Cells::Other,
            }
        });
        cells.collect()
    }

    /// Appends the text of a cell in one of the [`Answer::columns`], without quotes.
    pub fn cell(&self, out: &mut Vec<u8>, row: usize, column: usize) {
        let Source { output, element } = self.shape.source(column);
        let view = &self.outputs[output];
        let index = row * view.width + element.unwrap_or(0);
        if element.is_none() && view.width != 1 {
            return view.row(out, row);
        }
        match view.elements {
            Elements::Float32(elements) => float(out, elements[index]),
            Elements::Float16(elements) if !elements[index].is_finite() => {
                text(out, elements[index].to_f32())
            }
            Elements::Float64(elements) if !elements[index].is_finite() => {
                text(out, elements[index])
            }
            Elements::String(elements) => out.extend_from_slice(elements.get(index).as_bytes()),
            _ => view.element(out, index),
        }
    }

    /// Appends an object with the members of a prediction; `value` appends the value of a source.
    #[inline]
    fn members(&self, out: &mut Vec<u8>, value: impl Fn(&mut Vec<u8>, Source)) {
        out.push(b'{');
        for (index, member) in self.shape.members().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(self.keys.get(index));
            match member.content {
                Content::Value(source) => value(out, source),
                Content::Named(named) => json::list(out, b"{}", named.len(), |out, index| {
                    out.extend_from_slice(self.keys.get(self.members + index));
                    value(out, named.source(index));
                }),
            }
        }
        out.push(b'}');
    }

    #[inline]
    fn value(&self, out: &mut Vec<u8>, row: usize, Source { output, element }: Source) {
        let view = &self.outputs[output];
        match element {
            Some(element) => view.element(out, row * view.width + element),
            None => view.row(out, row),
        }
    }
}

/// The cells of a table's column. The cell of row `r` is element `r * width + index` of an output.
#[derive(Debug, Clone, Copy)]
pub enum Cells<'a> {
    /// Elements, width, index.
    Float32(&'a [f32], usize, usize),
    /// Elements, width, index.
    Int64(&'a [i64], usize, usize),
    /// Rare types, and text that may need quotes: written by [`Answer::cell`].
    Other,
}

/// Appends a number as it is written in CSV.
pub fn float(out: &mut Vec<u8>, number: f32) {
    if number.is_finite() {
        json::float(out, number);
    } else {
        text(out, number);
    }
}

fn text(out: &mut Vec<u8>, number: impl std::fmt::Display) {
    write!(out, "{number}").expect("writing to memory does not fail");
}
