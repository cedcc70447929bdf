//! Builds [`Tensors`] from rows of values.

use crate::convert::{plain, store};
use crate::signature::Signature;
use crate::tensor::{Data, Tensor};
use crate::tensors::Tensors;
use crate::value::{Mismatch, Value};

/// A builder for the input tensors of some rows.
///
/// A scalar feature can be set in any row that was added, in any order. The elements of an array feature
/// are appended one by one, row after row.
#[derive(Debug)]
pub struct Rows<'s> {
    signature: &'s Signature,
    rows: usize,
    inputs: Vec<Data>,
    /// Number of scalar features in each input; 0 for an input that is an array feature.
    columns: Vec<usize>,
    /// Shape of each feature's value. Dynamic axes get their length from the first value.
    shapes: Vec<Vec<Option<usize>>>,
}

impl<'s> Rows<'s> {
    pub fn new(signature: &'s Signature) -> Rows<'s> {
        let mut columns = vec![0; signature.inputs.len()];
        for feature in signature.features.iter().filter(|feature| feature.is_scalar()) {
            columns[feature.input] += 1;
        }
        Rows {
            signature,
            rows: 0,
            inputs: signature.inputs.iter().map(|input| Data::new(input.datatype)).collect(),
            columns,
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
    pub fn width(&self) -> usize {
        self.columns.iter().sum()
    }

    /// Adds a row. Its scalars are zero until they are set.
    #[inline]
    pub fn add_row(&mut self) {
        self.rows += 1;
        for (data, columns) in self.inputs.iter_mut().zip(&self.columns) {
            if *columns > 0 {
                data.resize(columns * self.rows);
            }
        }
    }

    /// Adds a row of scalars: `value` is called with the index of each feature in turn.
    ///
    /// Returns `None` as soon as `value` does, or a value does not fit its feature. The row is incomplete
    /// then, and must be removed by [`Rows::truncate`].
    #[inline]
    pub fn add_scalars<'v>(
        &mut self,
        mut value: impl FnMut(usize) -> Option<Value<'v>>,
    ) -> Option<()> {
        let features = &self.signature.features;
        // Fast path: most models have a single input of floats, in which a row is contiguous.
        if let [Data::Float32(elements)] = &mut *self.inputs {
            for (feature, spec) in features.iter().enumerate() {
                elements.push(plain(spec.kind, value(feature)?)?);
            }
            self.rows += 1;
            return Some(());
        }
        self.add_row();
        for feature in 0..features.len() {
            self.set(self.rows - 1, feature, value(feature)?).ok()?;
        }
        Some(())
    }

    /// Removes all rows.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Keeps the first `rows` rows only, and removes an incomplete row.
    pub fn truncate(&mut self, rows: usize) {
        self.rows = rows;
        for (data, columns) in self.inputs.iter_mut().zip(&self.columns) {
            data.resize(rows * columns);
        }
    }

    /// Sets scalar feature number `feature` of row number `row`, both from 0.
    ///
    /// # Errors
    ///
    /// Returns an error if the value is not of the feature's kind, or does not fit its element type.
    #[inline]
    pub fn set(&mut self, row: usize, feature: usize, value: Value<'_>) -> Result<(), Mismatch> {
        let spec = &self.signature.features[feature];
        let index = row * self.columns[spec.input] + spec.column;
        store(&mut self.inputs[spec.input], index, spec.kind, value)
    }

    /// Appends an element to array feature number `feature`.
    ///
    /// # Errors
    ///
    /// Returns an error if the value is not of the feature's kind, or does not fit its element type.
    pub fn push(&mut self, feature: usize, value: Value<'_>) -> Result<(), Mismatch> {
        let spec = &self.signature.features[feature];
        let data = &mut self.inputs[spec.input];
        let index = data.len();
        data.resize(index + 1);
        store(data, index, spec.kind, value)
    }

    /// Appends a value to array feature number `feature` with `element` everywhere. Dynamic axes have
    /// length 1.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Rows::push`] and [`Rows::axis`].
    pub fn fill(&mut self, feature: usize, element: Value<'_>) -> Result<(), Mismatch> {
        let spec = &self.signature.features[feature];
        let mut count = 1;
        for (axis, len) in spec.shape.iter().enumerate() {
            let len = len.unwrap_or(1);
            self.axis(feature, axis, len)?;
            count *= len;
        }
        if count > 0 {
            self.push(feature, element)?;
            self.inputs[spec.input].repeat_last(count - 1);
        }
        Ok(())
    }

    /// Declares that axis `axis` of array feature number `feature` has `len` entries.
    ///
    /// # Errors
    ///
    /// Returns an error if the axis has another length in the signature or in the first value.
    pub fn axis(&mut self, feature: usize, axis: usize, len: usize) -> Result<(), Mismatch> {
        match self.shapes[feature][axis] {
            None => self.shapes[feature][axis] = Some(len),
            Some(expected) if expected == len => {}
            Some(expected) => {
                return Err(Mismatch::new(format!("{expected} entries"), len.to_string()));
            }
        }
        Ok(())
    }

    /// Returns the tensors.
    ///
    /// # Errors
    ///
    /// Returns an error if an input has more or fewer elements than its shape.
    pub fn finish(self) -> Result<Tensors, Mismatch> {
        let mut shapes: Vec<Vec<usize>> = vec![vec![]; self.inputs.len()];
        for (feature, shape) in self.signature.features.iter().zip(&self.shapes) {
            if !feature.is_scalar() {
                shapes[feature.input] = shape.iter().map(|dim| dim.unwrap_or(0)).collect();
            }
        }
        let specs = self.signature.inputs.iter().zip(&self.columns);
        let mut tensors = Vec::with_capacity(self.inputs.len());
        for (((spec, &columns), data), rest) in specs.zip(self.inputs).zip(shapes) {
            let rest = match columns {
                0 => rest,
                // An input of shape `[N]` has one column and no axis for it.
                _ if spec.shape.len() == 1 => vec![],
                _ => vec![columns],
            };
            let shape: Vec<usize> = std::iter::once(self.rows).chain(rest).collect();
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
