//! Encodes predictions for people to read. The prediction of a classifier is the label and a score for each class. Any
//! other prediction consists of the values of the outputs. [`PredictionShape`] selects these values.
//!
//! JSON cannot express NaN and the infinities ([RFC 8259](https://www.rfc-editor.org/rfc/rfc8259#section-6)), so they
//! become `null`. In CSV, they are `NaN`, `inf` and `-inf`.

use crate::protocol::json::{self, Keys, TensorView};
use ml_app_model::{
    ClassScores, Elements, PREDICTION, Prediction, PredictionShape, Signature, Source, Tensors,
};
use std::io::Write;

/// The start of each object: `{"prediction":`. It is a constant of bytes, because appending one constant is faster than
/// appending three parts.
const OPENING: [u8; PREDICTION.len() + 4] = {
    let mut opening = [b'"'; PREDICTION.len() + 4];
    opening[0] = b'{';
    let mut index = 0;
    while index < PREDICTION.len() {
        opening[index + 2] = PREDICTION.as_bytes()[index];
        index += 1;
    }
    opening[PREDICTION.len() + 3] = b':';
    opening
};

/// The outputs of a model, ready to be encoded row by row.
#[derive(Debug)]
pub struct Predictions<'a> {
    signature: &'a Signature,
    shape: PredictionShape<'a>,
    rows: usize,
    outputs: Vec<TensorView<'a>>,
    /// The keys of the outputs if the prediction has several outputs. Otherwise the keys of the classes, if there are
    /// any.
    keys: Keys,
}

impl<'a> Predictions<'a> {
    /// Prepares the outputs of a model for encoding. `signature` is the signature of this model.
    pub fn new(signature: &'a Signature, outputs: &'a Tensors) -> Predictions<'a> {
        let shape = PredictionShape::new(signature);
        let keys = match (shape.prediction, shape.scores) {
            (Prediction::Outputs(outputs), _) => {
                Keys::new(outputs.iter().map(|output| &*output.name))
            }
            (_, Some(scores)) => Keys::new(scores.classes.iter().map(|class| &**class)),
            (Prediction::Output(_), None) => Keys::new(std::iter::empty()),
        };
        let views = outputs.tensors().iter().map(TensorView::new).collect();
        Predictions { signature, shape, rows: outputs.rows(), outputs: views, keys }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn signature(&self) -> &'a Signature {
        self.signature
    }

    /// Returns an estimate of the size of one row's object, in bytes.
    pub(crate) fn row_size(&self) -> usize {
        40 + self.keys.size() + self.outputs.iter().map(TensorView::row_size).sum::<usize>()
    }

    /// Appends `{"prediction": …, "probabilities": {…}}` for a row.
    pub fn object(&self, out: &mut Vec<u8>, row: usize) {
        self.members(out, |out, view, element| element_or_row(out, view, row, element));
    }

    /// Appends one object in which each value is an array of the values of all rows.
    pub(crate) fn columns_object(&self, out: &mut Vec<u8>) {
        self.members(out, |out, view, element| {
            json::list(out, b"[]", self.rows, |out, row| element_or_row(out, view, row, element));
        });
    }

    /// Appends an array with an object for each row.
    pub(crate) fn array(&self, out: &mut Vec<u8>) {
        json::list(out, b"[]", self.rows, |out, row| self.object(out, row));
    }

    /// Returns the names of the columns that predictions add to a table, such as `prediction`,
    /// `probability_yes`.
    pub(crate) fn columns(signature: &Signature) -> Vec<String> {
        PredictionShape::new(signature).columns()
    }

    /// Returns the cells of each column, in the order of [`Predictions::columns`].
    pub(crate) fn cells(&self) -> Vec<Cells<'a>> {
        let columns = 0..Predictions::columns(self.signature).len();
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

    /// Appends the text of a cell, without quotes. `column` is an index in [`Predictions::columns`].
    pub(crate) fn cell(&self, out: &mut Vec<u8>, row: usize, column: usize) {
        let Source { output, element } = self.shape.source(column);
        let view = &self.outputs[output];
        let index = row * view.width + element.unwrap_or(0);
        if element.is_none() && view.width != 1 {
            return view.row(out, row);
        }
        match view.elements {
            Elements::Float32(elements) => float(out, elements[index]),
            Elements::Float16(elements) if !elements[index].is_finite() => {
                non_finite(out, elements[index].to_f32())
            }
            Elements::Float64(elements) if !elements[index].is_finite() => {
                non_finite(out, elements[index])
            }
            Elements::String(elements) => out.extend_from_slice(elements.get(index).as_bytes()),
            _ => view.element(out, index),
        }
    }

    /// Appends an object with the members of a prediction. The caller's function `value` appends the value of each
    /// member. The last argument of `value` is the index of one element in a row of the output, or `None` for the whole
    /// row.
    #[inline]
    fn members(
        &self,
        out: &mut Vec<u8>,
        value: impl Fn(&mut Vec<u8>, &TensorView<'_>, Option<usize>),
    ) {
        out.extend_from_slice(&OPENING);
        match self.shape.prediction {
            Prediction::Output(output) => value(out, &self.outputs[output], None),
            Prediction::Outputs(outputs) => {
                json::list(out, b"{}", outputs.len(), |out, output| {
                    out.extend_from_slice(self.keys.get(output));
                    value(out, &self.outputs[output], None);
                });
            }
        }
        if let Some(ClassScores { meaning, output, classes }) = &self.shape.scores {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(meaning.plural().as_bytes());
            out.extend_from_slice(b"\":");
            json::list(out, b"{}", classes.len(), |out, column| {
                out.extend_from_slice(self.keys.get(column));
                value(out, &self.outputs[*output], Some(column));
            });
        }
        out.push(b'}');
    }
}

/// Appends one element of a row, or the whole row if `element` is `None`.
#[inline]
fn element_or_row(out: &mut Vec<u8>, view: &TensorView<'_>, row: usize, element: Option<usize>) {
    match element {
        Some(element) => view.element(out, row * view.width + element),
        None => view.row(out, row),
    }
}

/// The cells of a table's column. The cell of row `r` is element `r * width + index` of an output.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cells<'a> {
    /// Elements, width, index.
    Float32(&'a [f32], usize, usize),
    /// Elements, width, index.
    Int64(&'a [i64], usize, usize),
    /// Rare types, and strings that may need quotes. [`Predictions::cell`] writes them.
    Other,
}

/// Appends a float in the format of CSV.
pub(crate) fn float(out: &mut Vec<u8>, number: f32) {
    if number.is_finite() {
        json::float(out, number);
    } else {
        non_finite(out, number);
    }
}

/// Appends NaN or an infinity: `NaN`, `inf` or `-inf`.
fn non_finite(out: &mut Vec<u8>, number: impl std::fmt::Display) {
    write!(out, "{number}").expect("writing to memory does not fail");
}
