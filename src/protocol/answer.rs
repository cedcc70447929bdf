//! Predictions as people read them: a classifier's label and the probability of each class, or
//! the values of the outputs.
//!
//! JSON has no NaN and no infinity ([RFC 8259](https://www.rfc-editor.org/rfc/rfc8259#section-6)):
//! both are `null` there. In CSV they are `NaN`, `inf` and `-inf`.

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
        self.members(out, &|out, tensor, column| self.element_or_row(out, tensor, row, column));
    }

    /// The same with an array over all rows in place of each value.
    pub fn columns_object(&self, out: &mut Vec<u8>) {
        self.members(out, &|out, tensor, column| {
            list(out, b"[]", self.rows(), |out, row| {
                self.element_or_row(out, tensor, row, column);
            });
        });
    }

    /// An array of objects for the given rows.
    pub fn array(&self, out: &mut Vec<u8>) {
        list(out, b"[]", self.rows(), |out, row| self.object(out, row));
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
        let width = width(tensor);
        let index = row * width + element.unwrap_or(0);
        if element.is_none() && width != 1 {
            return self.element_or_row(out, tensor, row, None);
        }
        match tensor.elements() {
            Elements::Float32(elements) if !elements[index].is_finite() => {
                text(out, elements[index])
            }
            Elements::Float64(elements) if !elements[index].is_finite() => {
                text(out, elements[index])
            }
            Elements::String(elements) => out.extend_from_slice(elements.get(index).as_bytes()),
            _ => self.element(out, tensor, index),
        }
    }

    fn members(&self, out: &mut Vec<u8>, value: &WriteValue<'_>) {
        let tensors = self.outputs.tensors();
        out.extend_from_slice(b"{\"prediction\":");
        match &self.signature.task {
            Task::Classification { label, scores, classes, meaning } => {
                value(out, &tensors[*label], None);
                out.push(b',');
                json(out, meaning.plural());
                out.push(b':');
                list(out, b"{}", classes.len(), |out, column| {
                    json(out, &classes[column]);
                    out.push(b':');
                    value(out, &tensors[*scores], Some(column));
                });
            }
            Task::Other if tensors.len() == 1 => value(out, &tensors[0], None),
            Task::Other => list(out, b"{}", tensors.len(), |out, output| {
                json(out, &self.signature.outputs[output].name);
                out.push(b':');
                value(out, &tensors[output], None);
            }),
        }
        out.push(b'}');
    }

    /// One column of a row, or the row: a scalar if it has one element and no axes of its own
    /// beyond one, else nested arrays.
    fn element_or_row(
        &self,
        out: &mut Vec<u8>,
        tensor: &Tensor,
        row: usize,
        column: Option<usize>,
    ) {
        let width = width(tensor);
        match column {
            Some(column) => self.element(out, tensor, row * width + column),
            None if tensor.shape().len() <= 2 && width == 1 => self.element(out, tensor, row),
            None => self.nested(out, tensor, &tensor.shape()[1..], row * width),
        }
    }

    fn nested(&self, out: &mut Vec<u8>, tensor: &Tensor, shape: &[usize], start: usize) {
        match shape {
            [] => self.element(out, tensor, start),
            [len, rest @ ..] => {
                let stride: usize = rest.iter().product();
                list(out, b"[]", *len, |out, index| {
                    self.nested(out, tensor, rest, start + index * stride);
                });
            }
        }
    }

    fn element(&self, out: &mut Vec<u8>, tensor: &Tensor, index: usize) {
        match tensor.elements() {
            Elements::Bool(elements) => json(out, &elements[index]),
            Elements::Uint8(elements) => json(out, &elements[index]),
            Elements::Uint16(elements) => json(out, &elements[index]),
            Elements::Uint32(elements) => json(out, &elements[index]),
            Elements::Uint64(elements) => json(out, &elements[index]),
            Elements::Int8(elements) => json(out, &elements[index]),
            Elements::Int16(elements) => json(out, &elements[index]),
            Elements::Int32(elements) => json(out, &elements[index]),
            Elements::Int64(elements) => json(out, &elements[index]),
            // serde_json writes what is not finite as null.
            Elements::Float32(elements) => json(out, &elements[index]),
            Elements::Float64(elements) => json(out, &elements[index]),
            Elements::String(elements) => json(out, elements.get(index)),
        }
    }
}

fn width(tensor: &Tensor) -> usize {
    tensor.shape().iter().skip(1).product()
}

fn list(out: &mut Vec<u8>, brackets: &[u8; 2], len: usize, item: impl Fn(&mut Vec<u8>, usize)) {
    out.push(brackets[0]);
    for index in 0..len {
        if index > 0 {
            out.push(b',');
        }
        item(out, index);
    }
    out.push(brackets[1]);
}

fn json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("a scalar can be written to memory");
}

fn text(out: &mut Vec<u8>, number: impl std::fmt::Display) {
    write!(out, "{number}").expect("a number can be written to memory");
}
