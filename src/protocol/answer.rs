//! Predictions as people read them: a classifier's label and the probability of each class, or
//! the values of the outputs.
//!
//! JSON has no NaN and no infinity ([RFC 8259](https://www.rfc-editor.org/rfc/rfc8259#section-6)):
//! both are `null` there. In CSV they are `NaN`, `inf` and `-inf`.

use crate::protocol::json::{self, Keys, View};
use ml_app_model::{Elements, Signature, Task, Tensors};
use std::io::Write;

/// The outputs of a model, to be written row by row.
#[derive(Debug)]
pub struct Answer<'a> {
    signature: &'a Signature,
    rows: usize,
    outputs: Vec<View<'a>>,
    /// Of the scores' classes, or of the outputs.
    keys: Keys,
}

impl<'a> Answer<'a> {
    /// `outputs` are those of the model with this signature.
    pub fn new(signature: &'a Signature, outputs: &'a Tensors) -> Answer<'a> {
        let keys = match &signature.task {
            Task::Classification { classes, .. } => Keys::new(classes.iter().map(|class| &**class)),
            Task::Other => Keys::new(signature.outputs.iter().map(|output| &*output.name)),
        };
        let views = outputs.tensors().iter().map(View::new).collect();
        Answer { signature, rows: outputs.rows(), outputs: views, keys }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn signature(&self) -> &'a Signature {
        self.signature
    }

    /// About as many bytes as an object takes.
    pub fn row_size(&self) -> usize {
        40 + self.keys.size() + self.outputs.iter().map(View::row_size).sum::<usize>()
    }

    /// `{"prediction": …, "probabilities": {…}}` of one row.
    pub fn object(&self, out: &mut Vec<u8>, row: usize) {
        self.members(out, |out, view, column| element_or_row(out, view, row, column));
    }

    /// The same with an array over all rows in place of each value.
    pub fn columns_object(&self, out: &mut Vec<u8>) {
        self.members(out, |out, view, column| {
            json::list(out, b"[]", self.rows, |out, row| element_or_row(out, view, row, column));
        });
    }

    /// An array of objects for the given rows.
    pub fn array(&self, out: &mut Vec<u8>) {
        json::list(out, b"[]", self.rows, |out, row| self.object(out, row));
    }

    /// Names of the columns that a table gains.
    pub fn columns(signature: &Signature) -> Vec<String> {
        match &signature.task {
            Task::Classification { classes, meaning, .. } => {
                let scores = classes.iter().map(|class| format!("{}_{class}", meaning.singular()));
                std::iter::once("prediction".to_owned()).chain(scores).collect()
            }
            Task::Other if signature.outputs.len() == 1 => vec!["prediction".to_owned()],
            Task::Other => signature
                .outputs
                .iter()
                .map(|output| format!("prediction_{}", output.name))
                .collect(),
        }
    }

    /// The cells of such columns.
    pub fn cells(&self) -> Vec<Cells<'a>> {
        let columns = 0..Answer::columns(self.signature).len();
        let cells = columns.map(|column| {
            let (view, element) = self.column(column);
            let (width, index) = (view.width, element.unwrap_or(0));
            let is_one = element.is_some() || width == 1;
            match view.elements {
                Elements::Float32(elements) if is_one => Cells::Float32(elements, width, index),
                Elements::Int64(elements) if is_one => Cells::Int64(elements, width, index),
                _ => Cells::Other,
            }
        });
        cells.collect()
    }

    /// An output, and which of the elements of its rows, if not all.
    fn column(&self, column: usize) -> (&View<'a>, Option<usize>) {
        let (output, element) = match (&self.signature.task, column) {
            (Task::Classification { label, .. }, 0) => (*label, None),
            (Task::Classification { scores, .. }, column) => (*scores, Some(column - 1)),
            (Task::Other, column) => (column, None),
        };
        (&self.outputs[output], element)
    }

    /// The text of one such column.
    pub fn cell(&self, out: &mut Vec<u8>, row: usize, column: usize) {
        let (view, element) = self.column(column);
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

    /// `value` writes an output's value, or that of one of its columns.
    #[inline]
    fn members(&self, out: &mut Vec<u8>, value: impl Fn(&mut Vec<u8>, &View<'_>, Option<usize>)) {
        out.extend_from_slice(b"{\"prediction\":");
        match &self.signature.task {
            Task::Classification { label, scores, classes, meaning } => {
                value(out, &self.outputs[*label], None);
                out.extend_from_slice(b",\"");
                out.extend_from_slice(meaning.plural().as_bytes());
                out.extend_from_slice(b"\":");
                json::list(out, b"{}", classes.len(), |out, column| {
                    out.extend_from_slice(self.keys.get(column));
                    value(out, &self.outputs[*scores], Some(column));
                });
            }
            Task::Other => match &*self.outputs {
                [view] => value(out, view, None),
                views => json::list(out, b"{}", views.len(), |out, output| {
                    out.extend_from_slice(self.keys.get(output));
                    value(out, &views[output], None);
                }),
            },
        }
        out.push(b'}');
    }
}

/// The cells of a column, row by row: an element of each row, so many elements apart.
#[derive(Debug, Clone, Copy)]
pub enum Cells<'a> {
    Float32(&'a [f32], usize, usize),
    Int64(&'a [i64], usize, usize),
    /// What may have commas and quotes in it, and what is rare.
    Other,
}

#[inline]
fn element_or_row(out: &mut Vec<u8>, view: &View<'_>, row: usize, column: Option<usize>) {
    match column {
        Some(column) => view.element(out, row * view.width + column),
        None => view.row(out, row),
    }
}

/// As in CSV.
pub fn float(out: &mut Vec<u8>, number: f32) {
    match number.is_finite() {
        true => json::float(out, number),
        false => text(out, number),
    }
}

fn text(out: &mut Vec<u8>, number: impl std::fmt::Display) {
    write!(out, "{number}").expect("a number can be written to memory");
}
