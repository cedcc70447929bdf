//! Arrays with an element type and a shape: the inputs and outputs of a model.

use crate::datatype::Datatype;
use crate::value::Mismatch;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use tract_onnx::prelude::{DatumType, TractResult, f16};
use tract_onnx::tract_hir::internal::tract_ndarray::ArrayD;

/// An array in row-major order. Wraps a tensor of tract, so that no elements are copied when a model runs.
#[derive(Clone, PartialEq)]
pub struct Tensor {
    datatype: Datatype,
    values: tract_onnx::prelude::Tensor,
    /// The labels of a string tensor whose `values` are indices of labels. `None` for all other tensors.
    labels: Option<Arc<[String]>>,
}

macro_rules! data {
    ($($variant:ident($element:ty)),+ $(,)?) => {
        /// Owned elements of one type, from which a [`Tensor`] can be made.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Data { $($variant(Vec<$element>),)+ String(Vec<String>) }

        /// Borrowed elements of a [`Tensor`].
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub enum Elements<'a> { $($variant(&'a [$element]),)+ String(Strings<'a>) }

        impl Data {
            /// Returns an empty list of elements.
            pub fn new(datatype: Datatype) -> Data {
                match datatype {
                    $(Datatype::$variant => Data::$variant(vec![]),)+
                    Datatype::String => Data::String(vec![]),
                }
            }

            pub fn datatype(&self) -> Datatype {
                match self {
                    $(Data::$variant(_) => Datatype::$variant,)+
                    Data::String(_) => Datatype::String,
                }
            }

            pub fn len(&self) -> usize {
                match self {
                    $(Data::$variant(elements) => elements.len(),)+
                    Data::String(elements) => elements.len(),
                }
            }

            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Truncates the list to `len` elements, or extends it with zeros or empty strings.
            pub(crate) fn resize(&mut self, len: usize) {
                match self {
                    $(Data::$variant(elements) => elements.resize(len, Default::default()),)+
                    Data::String(elements) => elements.resize(len, String::new()),
                }
            }

            /// Appends the last element `count` times.
            pub(crate) fn repeat_last(&mut self, count: usize) {
                fn repeat_last<T: Clone>(elements: &mut Vec<T>, count: usize) {
                    if let Some(last) = elements.last().cloned() {
                        elements.resize(elements.len() + count, last);
                    }
                }
                match self {
                    $(Data::$variant(elements) => repeat_last(elements, count),)+
                    Data::String(elements) => repeat_last(elements, count),
                }
            }

            /// Returns whether the element at `index` equals the only element of `other`. Two NaNs are equal.
            pub(crate) fn equals_at(&self, index: usize, other: &Data) -> bool {
                fn equal<T: PartialOrd>(element: Option<&T>, other: &[T]) -> bool {
                    let [other] = other else { return false };
                    let is_nan = |value: &T| value.partial_cmp(value).is_none();
                    element.is_some_and(|element| {
                        element == other || is_nan(element) && is_nan(other)
                    })
                }
                match (self, other) {
                    $((Data::$variant(elements), Data::$variant(other)) => {
                        equal(elements.get(index), other)
                    })+
                    (Data::String(elements), Data::String(other)) => {
                        equal(elements.get(index), other)
                    }
                    _ => false,
                }
            }

            fn into_tract(self, shape: &[usize]) -> TractResult<tract_onnx::prelude::Tensor> {
                match self {
                    $(Data::$variant(elements) => {
                        tract_onnx::prelude::Tensor::from_shape(shape, &elements)
                    })+
                    Data::String(elements) => Ok(ArrayD::from_shape_vec(shape, elements)?.into()),
                }
            }
        }

        impl Tensor {
            pub fn elements(&self) -> Elements<'_> {
                let values = self.values.try_as_plain_ram().expect("elements in memory");
                let typed = match self.datatype {
                    $(Datatype::$variant => values.as_slice().map(Elements::$variant),)+
                    Datatype::String => match &self.labels {
                        None => values.as_slice().map(Strings::Each).map(Elements::String),
                        Some(labels) => values.as_slice().map(|indices| {
                            Elements::String(Strings::Labels { labels, indices })
                        }),
                    },
                };
                typed.expect("elements of the tensor's type")
            }
        }
    };
}

data! {
    Bool(bool), Uint8(u8), Uint16(u16), Uint32(u32), Uint64(u64), Int8(i8), Int16(i16), Int32(i32),
    Int64(i64), Float16(f16), Float32(f32), Float64(f64),
}

/// The elements of a string tensor.
#[derive(Clone, Copy)]
pub enum Strings<'a> {
    /// One string for each element.
    Each(&'a [String]),
    /// One index into `labels` for each element.
    Labels { labels: &'a [String], indices: &'a [i64] },
}

impl<'a> Strings<'a> {
    /// Returns the string of the element at `index`.
    ///
    /// # Panics
    ///
    /// Panics if `index` is out of range.
    pub fn get(&self, index: usize) -> &'a str {
        match self {
            Strings::Each(strings) => &strings[index],
            Strings::Labels { labels, indices } => &labels[indices[index] as usize],
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Strings::Each(strings) => strings.len(),
            Strings::Labels { indices, .. } => indices.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = &'a str> {
        (0..self.len()).map(|index| self.get(index))
    }
}

impl PartialEq for Strings<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Strings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(target_endian = "big")]
compile_error!("binary protocols send tensors as they are in memory, which must be little-endian");

impl Tensor {
    /// Makes a tensor of the given shape.
    ///
    /// # Panics
    ///
    /// Panics if the number of elements in `data` does not match the shape.
    pub fn new(shape: &[usize], data: Data) -> Tensor {
        let datatype = data.datatype();
        let values = data.into_tract(shape).expect("the shape has as many elements");
        Tensor { datatype, values, labels: None }
    }

    /// Reads little-endian elements in row-major order. A boolean takes one byte.
    ///
    /// # Errors
    ///
    /// Returns an error if the number of bytes does not match the shape, or if a boolean is neither 0
    /// nor 1.
    ///
    /// # Panics
    ///
    /// Panics if the datatype is a string, which has no fixed size.
    pub fn from_le_bytes(
        datatype: Datatype,
        shape: &[usize],
        bytes: &[u8],
    ) -> Result<Tensor, Mismatch> {
        let size = datatype.size().expect("a datatype of fixed size");
        let Some(expected) = shape.iter().try_fold(size, |len, dim| len.checked_mul(*dim)) else {
            let expected = format!("a shape of at most {} elements", usize::MAX / size);
            return Err(Mismatch::new(expected, format!("{shape:?}")));
        };
        if expected != bytes.len() {
            let found = format!("{} bytes", bytes.len());
            return Err(Mismatch::new(format!("{expected} bytes"), found));
        }
        if datatype == Datatype::Bool
            && let Some(byte) = bytes.iter().find(|byte| **byte > 1)
        {
            return Err(Mismatch::new("a boolean as 0 or 1", byte.to_string()));
        }
        let mut values = tract_onnx::prelude::Tensor::zero_dt(datum_type(datatype), shape)
            .expect("a type of fixed size");
        values
            .try_as_plain_ram_mut()
            .expect("elements in memory")
            .as_bytes_mut()
            .copy_from_slice(bytes);
        Ok(Tensor { datatype, values, labels: None })
    }

    /// Returns the elements as little-endian bytes in row-major order. A boolean takes one byte. Returns `None` for
    /// strings.
    pub fn le_bytes(&self) -> Option<&[u8]> {
        self.datatype.size()?;
        Some(self.values.try_as_plain_ram().expect("elements in memory").as_bytes())
    }

    /// Converts an output of tract. If `labels` is not `None`, the elements of the output are indices into `labels`.
    pub(crate) fn from_tract(
        values: tract_onnx::prelude::Tensor,
        datatype: Datatype,
        labels: Option<Arc<[String]>>,
    ) -> TractResult<Tensor> {
        let expected = match labels {
            Some(_) => DatumType::I64,
            None => datum_type(datatype),
        };
        // tract may return an `int64` output as `TDim`, its type for dimensions.
        let values = if values.datum_type() == expected {
            values
        } else {
            values.cast_to_dt(expected)?.into_owned()
        };
        values.try_as_plain_ram()?;
        Ok(Tensor { datatype, values, labels })
    }

    pub(crate) fn into_tract(self) -> tract_onnx::prelude::Tensor {
        self.values
    }

    pub fn shape(&self) -> &[usize] {
        self.values.shape()
    }

    /// Returns the shape of the value in one row of a tensor whose first axis is the batch axis. If the tensor has the
    /// shape `[N]` or `[N, 1]`, the value is a scalar and the result is empty.
    #[inline]
    pub fn row_shape(&self) -> &[usize] {
        match self.shape() {
            [] | [_] | [_, 1] => &[],
            [_, axes @ ..] => axes,
        }
    }

    /// Returns the shape of the value of a tensor without a batch axis. If the tensor has the shape `[]` or `[1]`, the
    /// value is a scalar and the result is empty.
    pub fn value_shape(&self) -> &[usize] {
        match self.shape() {
            [1] => &[],
            shape => shape,
        }
    }

    pub fn datatype(&self) -> Datatype {
        self.datatype
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns a copy of the given entries along an axis.
    pub(crate) fn slice(&self, axis: usize, entries: Range<usize>) -> Tensor {
        let values = self.values.slice(axis, entries.start, entries.end);
        Tensor { values: values.expect("the entries exist"), labels: self.labels.clone(), ..*self }
    }

    /// Concatenates tensors along an axis. Returns `None` if the tensors differ in the length of a different axis.
    pub(crate) fn concat(axis: usize, parts: &[&Tensor]) -> Option<Tensor> {
        let values: Vec<_> = parts.iter().map(|part| &part.values).collect();
        let values = tract_onnx::prelude::Tensor::stack_tensors(axis, &values).ok()?;
        let first = parts.first()?;
        Some(Tensor { values, labels: first.labels.clone(), ..**first })
    }

    /// Moves an axis to another position. The elements are moved only if the positions differ.
    pub(crate) fn move_axis(self, from: usize, to: usize) -> Tensor {
        if from == to {
            return self;
        }
        let values = self.values.move_axis(from, to).expect("the axes exist");
        Tensor { values, ..self }
    }

    /// Makes the batch axis `axis` the first axis. If `axis` is `None`, the tensor becomes a single row.
    pub fn rows_first(self, axis: Option<usize>) -> Tensor {
        match axis {
            Some(axis) => self.move_axis(axis, 0),
            None => self.insert_first_axis(),
        }
    }

    /// Inserts a first axis of length 1.
    pub(crate) fn insert_first_axis(mut self) -> Tensor {
        let shape = [&[1], self.shape()].concat();
        self.values.set_shape(&shape).expect("the same number of elements");
        self
    }

    /// Removes the first axis, which has length 1.
    pub(crate) fn remove_first_axis(mut self) -> Tensor {
        let shape = self.shape()[1..].to_vec();
        self.values.set_shape(&shape).expect("a first axis of length 1");
        self
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.shape(), self.elements())
    }
}

/// Returns tract's type for an element type.
fn datum_type(datatype: Datatype) -> DatumType {
    match datatype {
        Datatype::Bool => DatumType::Bool,
        Datatype::Uint8 => DatumType::U8,
        Datatype::Uint16 => DatumType::U16,
        Datatype::Uint32 => DatumType::U32,
        Datatype::Uint64 => DatumType::U64,
        Datatype::Int8 => DatumType::I8,
        Datatype::Int16 => DatumType::I16,
        Datatype::Int32 => DatumType::I32,
        Datatype::Int64 => DatumType::I64,
        Datatype::Float32 => DatumType::F32,
        Datatype::Float16 => DatumType::F16,
        Datatype::Float64 => DatumType::F64,
        Datatype::String => DatumType::String,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_of_labels_are_read_as_strings() {
        let indices = tract_onnx::prelude::tensor1(&[1_i64, 0]);
        let labels = Arc::from(["no".to_owned(), "yes".to_owned()]);
        let labels = Tensor::from_tract(indices, Datatype::String, Some(labels)).expect("indices");
        let strings = Tensor::new(&[2], Data::String(vec!["yes".into(), "no".into()]));
        assert_eq!(labels.elements(), strings.elements());
    }
}
