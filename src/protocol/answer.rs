//! Predictions as people read them: a classifier's label and the probability of each class, or
//! the values of the outputs.
//!
//! JSON has no NaN and no infinity ([RFC 8259](https://www.rfc-editor.org/rfc/rfc8259#section-6)):
//! both are `null` there. In CSV they are `NaN`, `inf` and `-inf`.

use crate::protocol::json;
use ml_app_model::{Elements, Signature, Task, Tensor, Tensors};
use std::io::Write;

/// Writes an output's value, or that of one of its columns.
type WriteValue<'a> = dyn Fn(&mut Vec<u8>, &Tensor, Option<usize>) + 'a;

/// The outputs of a model, to be written row by row.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    signature: &'a Signature,
    outputs: &'a Tensors,
}

impl<'a> Answer<'a> {
    /// `outputs` are those of the model with this signature.
    pub fn new(signature: &'a Signature, outputs: &'a Tensors) -> Answer<'a> {
        Answer { signature, outputs }
    }

    pub fn rows(&self) -> usize {
        self.outputs.rows()
    }

    pub fn signature(&self) -> &'a Signature {
        self.signature
    }

    /// `{"prediction": …, "probabilities": {…}}` of one row.
    pub fn object(&self, out: &mut Vec<u8>, row: usize) {
        self.members(out, &|out, tensor, column| element_or_row(out, tensor, row, column));
    }

    /// The same with an array over all rows in place of each value.
    pub fn columns_object(&self, out: &mut Vec<u8>) {
        self.members(out, &|out, tensor, column| {
            json::list(out, b"[]", self.rows(), |out, row| {
                element_or_row(out, tensor, row, column);
            });
        });
    }

    /// An array of objects for the given rows.
    pub fn array(&self, out: &mut Vec<u8>) {
        json::list(out, b"[]", self.rows(), |out, row| self.object(out, row));
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

    /// The text of one such column.
    pub fn cell(&self, out: &mut Vec<u8>, row: usize, column: usize) {
        let (output, element) = match (&self.signature.task, column) {
            (Task::Classification { label, .. }, 0) => (*label, None),
            (Task::Classification { scores, .. }, column) => (*scores, Some(column - 1)),
            (Task::Other, column) => (column, None),
        };
        let tensor = &self.outputs.tensors()[output];
        let width = json::width(tensor);
        let index = row * width + element.unwrap_or(0);
        if element.is_none() && width != 1 {
            return json::row(out, tensor, row);
        }
        match tensor.elements() {
            Elements::Float32(elements) if !elements[index].is_finite() => {
                text(out, elements[index])
            }
            Elements::Float16(elements) if !elements[index].is_finite() => {
                text(out, elements[index].to_f32())
            }
            Elements::Float64(elements) if !elements[index].is_finite() => {
                text(out, elements[index])
            }
            Elements::String(elements) => out.extend_from_slice(elements.get(index).as_bytes()),
            _ => json::element(out, tensor, index),
        }
    }

    fn members(&self, out: &mut Vec<u8>, value: &WriteValue<'_>) {
        let tensors = self.outputs.tensors();
        out.extend_from_slice(b"{\"prediction\":");
        match &self.signature.task {
            Task::Classification { label, scores, classes, meaning } => {
                value(out, &tensors[*label], None);
                out.push(b',');
                json::scalar(out, meaning.plural());
                out.push(b':');
                json::list(out, b"{}", classes.len(), |out, column| {
                    json::scalar(out, &classes[column]);
                    out.push(b':');
                    value(out, &tensors[*scores], Some(column));
                });
            }
            Task::Other if tensors.len() == 1 => value(out, &tensors[0], None),
            Task::Other => json::list(out, b"{}", tensors.len(), |out, output| {
                json::scalar(out, &self.signature.outputs[output].name);
                out.push(b':');
                value(out, &tensors[output], None);
            }),
        }
        out.push(b'}');
    }
}

fn element_or_row(out: &mut Vec<u8>, tensor: &Tensor, row: usize, column: Option<usize>) {
    match column {
        Some(column) => json::element(out, tensor, row * json::width(tensor) + column),
        None => json::row(out, tensor, row),
    }
}

fn text(out: &mut Vec<u8>, number: impl std::fmt::Display) {
    write!(out, "{number}").expect("a number can be written to memory");
}
