//! Builds [`Tensors`] from rows of values.

use crate::convert::{fast_f32, store};
use crate::signature::Signature;
use crate::tensor::{Data, Tensor};
use crate::tensors::Tensors;
use crate::value::{Mismatch, Value};

/// A builder of input tensors, row by row.
///
/// Scalar features can be set in any order, in any row that has been added. The elements of an array
/// feature are appended one by one, row after row.
#[derive(Debug)]
pub struct Rows<'s> {
    signature: &'s Signature,
    rows: usize,
    inputs: Vec<Data>,
    /// Number of scalar features in each input; 0 for an input that is an array feature.
    scalar_counts: Vec<usize>,
    /// Shape of each feature's value. Dynamic axes get their length from the first value.
    shapes: Vec<Vec<Option<usize>>>,
}

impl<'s> Rows<'s> {
    pub fn new(signature: &'s Signature) -> Rows<'s> {
        let mut scalar_counts = vec![0; signature.inputs.len()];
        for feature in signature.features.iter().filter(|feature| feature.is_scalar()) {
            scalar_counts[feature.input] += 1;
        }
        Rows {
            signature,
            rows: 0,
            inputs: signature.inputs.iter().map(|input| Data::new(input.datatype)).collect(),
            scalar_counts,
            shapes: signature.features.iter().map(|feature| feature.shape.clone()).collect(),
        }
    }

    pub fn signature(&self) -> &'s Signature {
        self.signature
    }

    pub fn len(&self) -> usize {
        self.rows
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Returns the number of scalar features.
    pub fn scalar_features(&self) -> usize {
        self.scalar_counts.iter().sum()
    }

    /// Adds a row. Its scalar features are zero or empty strings until they are set.
    #[inline]
    pub fn add_row(&mut self) {
        self.rows += 1;
        for (data, scalars) in self.inputs.iter_mut().zip(&self.scalar_counts) {
            if *scalars > 0 {
                data.resize(scalars * self.rows);
            }
        }
    }

    /// Adds a row and sets all of its features. The signature must not have array features. Calls
    /// `value_of` with the index of each feature, in ascending order.
    ///
    /// Returns `None` if `value_of` returns `None`, or if only [`Rows::set`] can convert a value or report
    /// its error. The row is then incomplete, and the caller must remove it with [`Rows::truncate`].
    #[inline]
    pub fn add_scalars<'v>(
        &mut self,
        mut value_of: impl FnMut(usize) -> Option<Value<'v>>,
    ) -> Option<()> {
        let features = &self.signature.features;
        // Fast path: most models have a single input of floats, in which a row is contiguous.
        if let [Data::Float32(elements)] = &mut *self.inputs {
            for (feature, spec) in features.iter().enumerate() {
                elements.push(fast_f32(spec.kind, value_of(feature)?)?);
            }
            self.rows += 1;
            return Some(());
        }
        self.add_row();
        for feature in 0..features.len() {
            self.set(self.rows - 1, feature, value_of(feature)?).ok()?;
        }
        Some(())
    }

    /// Removes all rows.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Removes all rows from index `rows` on, including an incomplete row.
    ///
    /// All elements of array features are removed, so `rows` must be 0 if the signature has array features.
    pub fn truncate(&mut self, rows: usize) {
        self.rows = rows;
        for (data, scalars) in self.inputs.iter_mut().zip(&self.scalar_counts) {
            data.resize(rows * scalars);
        }
    }

    /// Sets the scalar feature with index `feature` in the row with index `row`.
    ///
    /// # Errors
    ///
    /// Returns an error if the value cannot be converted to the feature's kind and element type.
    #[inline]
    pub fn set(&mut self, row: usize, feature: usize, value: Value<'_>) -> Result<(), Mismatch> {
        let spec = &self.signature.features[feature];
        let index = row * self.scalar_counts[spec.input] + spec.column;
        store(&mut self.inputs[spec.input], index, spec.kind, value)
    }

    /// Appends an element to the array feature with index `feature`.
    ///
    /// # Errors
    ///
    /// Returns an error if the value cannot be converted to the feature's kind and element type.
    pub fn push(&mut self, feature: usize, value: Value<'_>) -> Result<(), Mismatch> {
        let spec = &self.signature.features[feature];
        let data = &mut self.inputs[spec.input];
        let index = data.len();
        data.resize(index + 1);
        store(data, index, spec.kind, value)
    }

    /// Appends a whole value to the array feature with index `feature`. Every element of the value is
    /// `element`, and its dynamic axes have length 1.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Rows::push`] and [`Rows::set_axis_len`].
    pub fn push_filled(&mut self, feature: usize, element: Value<'_>) -> Result<(), Mismatch> {
        let spec = &self.signature.features[feature];
        let mut count = 1;
        for (axis, len) in spec.shape.iter().enumerate() {
            let len = len.unwrap_or(1);
            self.set_axis_len(feature, axis, len)?;
            count *= len;
        }
        if count > 0 {
            self.push(feature, element)?;
            self.inputs[spec.input].repeat_last(count - 1);
        }
        Ok(())
    }

    /// Declares that axis `axis` of the current value has `len` entries. The value belongs to the array
    /// feature with index `feature`.
    ///
    /// # Errors
    ///
    /// Returns an error if the signature declares a different length. For a dynamic axis, returns an
    /// error if the first value had a different length.
    pub fn set_axis_len(
        &mut self,
        feature: usize,
        axis: usize,
        len: usize,
    ) -> Result<(), Mismatch> {
        match self.shapes[feature][axis] {
            None => self.shapes[feature][axis] = Some(len),
            Some(expected) if expected == len => {}
            Some(expected) => {
                return Err(Mismatch::new(format!("{expected} entries"), len.to_string()));
            }
        }
        Ok(())
    }

    /// Returns a tensor for each input.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no row, if an axis is empty, or if the number of elements of an input
    /// does not match its shape.
    pub fn finish(self) -> Result<Tensors, Mismatch> {
        let mut shapes: Vec<Vec<usize>> = vec![vec![]; self.inputs.len()];
        for (feature, shape) in self.signature.features.iter().zip(&self.shapes) {
            if !feature.is_scalar() {
                shapes[feature.input] = shape.iter().map(|dim| dim.unwrap_or(0)).collect();
            }
        }
        let specs = self.signature.inputs.iter().zip(&self.scalar_counts);
        let mut tensors = Vec::with_capacity(self.inputs.len());
        for (((spec, &scalars), data), array_shape) in specs.zip(self.inputs).zip(shapes) {
            let row_shape = match scalars {
                0 => array_shape,
                // An input of shape `[N]` has one scalar feature, and no axis for the features.
                _ if spec.shape.len() == 1 => vec![],
                _ => vec![scalars],
            };
            let shape: Vec<usize> = std::iter::once(self.rows).chain(row_shape).collect();
            spec.check(&shape)?;
            let expected = shape.iter().product::<usize>();
            if data.len() != expected {
                return Err(Mismatch::new(
                    format!("{expected} elements for input `{}`", spec.name),
                    data.len().to_string(),
                ));
            }
            tensors.push(Tensor::new(&shape, data));
        }
        Ok(Tensors::new(self.rows, tensors))
    }
}
