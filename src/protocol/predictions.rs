//! Encodes predictions for people to read. The prediction of a classifier is the label and a score for each class. Any
//! other prediction consists of the values of the outputs. [`PredictionShape`] selects these values.
//!
//! JSON cannot express NaN and the infinities ([RFC 8259](https://www.rfc-editor.org/rfc/rfc8259#section-6)), so they
//! become `null`. A CSV cell with a scalar contains `NaN`, `inf` or `-inf`. A CSV cell with an array contains JSON, so
//! the elements of the array become `null`.

use crate::protocol::json::{self, Keys, TensorView};
use ml_app_model::{
    ClassScores, Elements, PREDICTION, Prediction, PredictionShape, REQUEST_OUTPUTS, RowOutputs,
    Signature, Source,
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
    /// The keys of the outputs if the prediction has several outputs. For a classifier, the keys of the classes.
    keys: Keys,
    /// The keys of the outputs that belong to the whole request.
    request_keys: Keys,
}

impl<'a> Predictions<'a> {
    /// Prepares the outputs of the model that has this signature.
    pub fn new(signature: &'a Signature, outputs: &'a RowOutputs) -> Predictions<'a> {
        let shape = PredictionShape::new(signature);
        let names = |outputs: &[usize]| {
            Keys::new(outputs.iter().map(|output| &*signature.outputs[*output].name))
        };
        let keys = match (&shape.prediction, shape.scores) {
            (Prediction::Outputs(outputs), _) => names(outputs),
            (_, Some(scores)) => Keys::new(scores.classes.iter().map(|class| &**class)),
            (Prediction::Output(_), None) => Keys::new(std::iter::empty()),
        };
        let request_keys = names(&shape.request_outputs);
        let views = TensorView::of_outputs(signature, outputs);
        Predictions { signature, shape, rows: outputs.rows(), outputs: views, keys, request_keys }
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
        out.push(b'}');
    }

    /// Appends a row's line of NDJSON, without the line end: the object of the row, and the outputs of the request.
    /// Outputs of the request that are arrays are on the first line only. If there is a single prediction for the whole
    /// request, it is on the first line, and every other line is `{}`.
    pub fn line(&self, out: &mut Vec<u8>, row: usize) {
        if !self.shape.is_single {
            self.members(out, |out, view, element| element_or_row(out, view, row, element));
            self.request_outputs(out, row == 0);
            out.push(b'}');
        } else if row == 0 {
            self.object(out, row);
        } else {
            out.extend_from_slice(b"{}");
        }
    }

    /// Appends the response for a single row.
    pub(crate) fn row(&self, out: &mut Vec<u8>) {
        self.members(out, |out, view, element| element_or_row(out, view, 0, element));
        self.request_outputs(out, true);
        out.push(b'}');
    }

    /// Appends the response for columns: one object in which each value is an array of the values of all rows.
    pub(crate) fn columns_object(&self, out: &mut Vec<u8>) {
        if self.shape.is_single {
            return self.object(out, 0);
        }
        self.members(out, |out, view, element| {
            json::list(out, b"[]", self.rows, |out, row| element_or_row(out, view, row, element));
        });
        self.request_outputs(out, true);
        out.push(b'}');
    }

    /// Appends the response for rows: an array with an object for each row. If there are outputs of the request,
    /// appends an object with the array as the member `predictions`, or only the prediction of the request.
    pub(crate) fn array(&self, out: &mut Vec<u8>) {
        if self.shape.is_single {
            return self.object(out, 0);
        }
        let has_outputs = !self.shape.request_outputs.is_empty();
        if has_outputs {
            out.extend_from_slice(b"{\"predictions\":");
        }
        json::list(out, b"[]", self.rows, |out, row| self.object(out, row));
        if has_outputs {
            self.request_outputs(out, true);
            out.push(b'}');
        }
    }

    /// Returns the names of the columns that predictions add to a table, such as `prediction`,
    /// `probability_yes`.
    pub(crate) fn columns(signature: &Signature) -> Vec<String> {
        PredictionShape::new(signature).columns(signature)
    }

    /// Returns the cells of each column, in the order of [`Predictions::columns`].
    pub(crate) fn cells(&self) -> Vec<Cells<'a>> {
        let cells = self.shape.sources().into_iter().map(|source| {
            let view = &self.outputs[source.output];
            let (stride, index) = (view.stride, source.element.unwrap_or(0));
            let is_scalar = source.element.is_some() || view.width == 1;
            match view.elements {
                Elements::Float32(elements) if is_scalar => Cells::Float32(elements, stride, index),
                Elements::Int64(elements) if is_scalar => Cells::Int64(elements, stride, index),
                _ => Cells::Other(source),
            }
        });
        cells.collect()
    }

    /// Appends the text of a cell, without quotes. An array that belongs to the request is written in the first row
    /// only.
    pub(crate) fn cell(&self, out: &mut Vec<u8>, row: usize, source: Source) {
        let Source { output, element } = source;
        let view = &self.outputs[output];
        if element.is_none() && view.width != 1 {
            if view.stride == view.width || row == 0 {
                view.row(out, row);
            }
            return;
        }
        let index = row * view.stride + element.unwrap_or(0);
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

    /// Appends an object with the members of a prediction, without its closing brace. `value` appends a whole output if
    /// its last argument is `None`, and otherwise the element of the output at this index.
    #[inline]
    fn members(
        &self,
        out: &mut Vec<u8>,
        value: impl Fn(&mut Vec<u8>, &TensorView<'_>, Option<usize>),
    ) {
        out.extend_from_slice(&OPENING);
        match &self.shape.prediction {
            Prediction::Output(output) => value(out, &self.outputs[*output], None),
            Prediction::Outputs(outputs) => {
                json::list(out, b"{}", outputs.len(), |out, index| {
                    out.extend_from_slice(self.keys.get(index));
                    value(out, &self.outputs[outputs[index]], None);
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
    }

    /// Appends the member with the outputs that belong to the request, if there are any. `with_arrays` is false to
    /// leave out outputs that are arrays.
    fn request_outputs(&self, out: &mut Vec<u8>, with_arrays: bool) {
        let outputs = self.shape.request_outputs.iter().enumerate();
        let mut outputs = outputs
            .map(|(key, output)| (key, &self.outputs[*output]))
            .filter(|(_, view)| with_arrays || view.is_scalar())
            .peekable();
        if outputs.peek().is_none() {
            return;
        }
        out.extend_from_slice(b",\"");
        out.extend_from_slice(REQUEST_OUTPUTS.as_bytes());
        out.extend_from_slice(b"\":");
        for (position, (key, view)) in outputs.enumerate() {
            out.push(if position == 0 { b'{' } else { b',' });
            out.extend_from_slice(self.request_keys.get(key));
            view.row(out, 0);
        }
        out.push(b'}');
    }
}

/// Appends one element of a row, or the whole row if `element` is `None`.
#[inline]
fn element_or_row(out: &mut Vec<u8>, view: &TensorView<'_>, row: usize, element: Option<usize>) {
    match element {
        Some(element) => view.element(out, row * view.stride + element),
        None => view.row(out, row),
    }
}

/// The cells of a table's column. The cell of row `r` is element `r * stride + index` of an output.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cells<'a> {
    /// Elements, stride, index.
    Float32(&'a [f32], usize, usize),
    /// Elements, stride, index.
    Int64(&'a [i64], usize, usize),
    /// Rare types, and strings that may need quotes. [`Predictions::cell`] writes them.
    Other(Source),
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
