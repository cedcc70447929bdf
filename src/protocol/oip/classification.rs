//! The [classification extension][extension]. An element of a row is the score of a class. The extension returns the
//! classes with the greatest scores of each row, as strings.
//!
//! [extension]: https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_classification.md

use super::request::RequestedOutput;
use crate::protocol::json::TensorView;
use ml_app_model::{Elements, Signature, Task, Tensor, f16};
use std::fmt::Write;
use std::ops::Range;

/// The classes with the greatest elements of each row of an output. A class is the string `value:index`, or
/// `value:index:label` if the class has a label.
pub struct Classes<'a> {
    view: TensorView<'a>,
    labels: &'a [String],
    /// Number of rows.
    pub rows: usize,
    /// Number of classes per row.
    pub count: usize,
}

impl<'a> Classes<'a> {
    /// Returns at most `count` classes per row of `tensor`. The first axis of `tensor` has an entry for each row. The
    /// classes have labels if `requested` is the output with the scores of a classifier.
    pub fn new(
        tensor: &'a Tensor,
        count: usize,
        requested: &RequestedOutput,
        signature: &'a Signature,
    ) -> Classes<'a> {
        let labels: &[String] = match &signature.task {
            Task::Classification { scores, classes, .. } if *scores == requested.index => classes,
            _ => &[],
        };
        let view = TensorView::new(tensor);
        let rows = tensor.shape().first().copied().unwrap_or(1);
        Classes { view, labels, rows, count: count.min(view.width) }
    }

    /// Calls `write` with the string of each class, row by row. Collecting the strings of many rows instead would use
    /// much memory.
    pub fn each(&self, mut write: impl FnMut(&str)) {
        let (mut order, mut text) = (vec![], String::new());
        let Classes { view, .. } = self;
        for start in (0..view.count()).step_by(view.width.max(1)) {
            let row = numbers(view.elements, start..start + view.width);
            order.clear();
            order.extend(0..view.width);
            // Sort in descending order. NaN comes last, and equal elements keep their order.
            order.sort_by(|a: &usize, b: &usize| {
                let nan_last = || row[*a].is_nan().cmp(&row[*b].is_nan());
                row[*b].partial_cmp(&row[*a]).unwrap_or_else(nan_last)
            });
            for index in order.iter().copied().take(self.count) {
                text.clear();
                self.format_class(&mut text, row[index], start, index);
                write(&text);
            }
        }
    }

    /// Formats a class: the element as JSON, its index in the row, and its label if it has one. `start` is the index
    /// of the row's first element.
    fn format_class(&self, text: &mut String, number: f64, start: usize, index: usize) {
        let written = if number.is_finite() {
            let mut value = vec![];
            self.view.element(&mut value, start + index);
            write!(text, "{}:{index}", String::from_utf8_lossy(&value))
        } else {
            write!(text, "{number}:{index}")
        };
        written.expect("writing to a string does not fail");
        if let Some(label) = self.labels.get(index) {
            text.push(':');
            text.push_str(label);
        }
    }
}

/// Converts the elements in a range to numbers that can be compared.
fn numbers(elements: Elements<'_>, range: Range<usize>) -> Vec<f64> {
    fn map<T: Copy>(elements: &[T], number: impl Fn(T) -> f64) -> Vec<f64> {
        elements.iter().map(|element| number(*element)).collect()
    }
    match elements {
        Elements::Bool(elements) => map(&elements[range], |flag| f64::from(u8::from(flag))),
        Elements::Uint8(elements) => map(&elements[range], f64::from),
        Elements::Uint16(elements) => map(&elements[range], f64::from),
        Elements::Uint32(elements) => map(&elements[range], f64::from),
        Elements::Uint64(elements) => map(&elements[range], |integer| integer as f64),
        Elements::Int8(elements) => map(&elements[range], f64::from),
        Elements::Int16(elements) => map(&elements[range], f64::from),
        Elements::Int32(elements) => map(&elements[range], f64::from),
        Elements::Int64(elements) => map(&elements[range], |integer| integer as f64),
        Elements::Float32(elements) => map(&elements[range], f64::from),
        Elements::Float16(elements) => map(&elements[range], f16::to_f64),
        Elements::Float64(elements) => elements[range].to_vec(),
        Elements::String(_) => vec![],
    }
}
