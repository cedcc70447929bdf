//! Builds [`Tensors`] from rows of values.

use crate::convert::{fast_f32, store};
use crate::signature::{Signature, TensorSpec};
use crate::tensor::{Data, Tensor};
use crate::tensors::Tensors;
use crate::value::{Mismatch, Value};

/// A builder of input tensors, row by row.
///
/// Scalar features can be set in any order, in any row that has been added. The elements of an array
/// feature are appended one by one, row after row. A parameter may have a value in any number of rows, and
/// outside the rows, but all its values must be equal.
#[derive(Debug)]
pub struct Rows<'s> {
    signature: &'s Signature,
    rows: usize,
    inputs: Vec<Data>,
    /// Number of scalar features that a row has in each input; 0 for an array feature or a parameter.
    scalar_counts: Vec<usize>,
    /// Shape of each feature's value. Dynamic axes get their length from the first value.
    shapes: Vec<Vec<Option<usize>>>,
    /// Number of features before the parameters.
    row_features: usize,
    /// For each parameter: the number of elements of its current value that have been read.
    read: Vec<usize>,
}

impl<'s> Rows<'s> {
    pub fn new(signature: &'s Signature) -> Rows<'s> {
        let row_features = signature.row_features();
        let (in_rows, parameters) = signature.features.split_at(row_features);
        let mut scalar_counts = vec![0; signature.inputs.len()];
        for feature in in_rows.iter().filter(|feature| feature.is_scalar()) {
            scalar_counts[feature.input] += 1;
        }
        Rows {
            signature,
            rows: 0,
            inputs: signature.inputs.iter().map(|input| Data::new(input.datatype)).collect(),
            scalar_counts,
            shapes: signature.features.iter().map(|feature| feature.shape.clone()).collect(),
            row_features,
            read: vec![0; parameters.len()],
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

    /// Returns the number of scalar features of a row.
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

    /// Starts a value of the feature with index `feature`, if the feature is a parameter. Its elements
    /// are then compared with those of its first value.
    pub fn start_value(&mut self, feature: usize) {
        if let Some(parameter) = feature.checked_sub(self.row_features) {
            self.read[parameter] = 0;
        }
    }

    /// Returns the indices of the required parameters that have no value.
    pub fn missing_parameters(&self) -> impl Iterator<Item = usize> {
        (self.row_features..self.shapes.len()).filter(|feature| !self.has_value(*feature))
    }

    /// Returns whether a parameter has a value.
    fn has_value(&self, parameter: usize) -> bool {
        let spec = &self.signature.features[parameter];
        let has_lens = || self.shapes[parameter].iter().all(Option::is_some);
        // An empty array has lengths, but no elements. The check of its shape reports it.
        !self.inputs[spec.input].is_empty() || spec.shape.contains(&None) && has_lens()
    }

    /// Appends an element to the value of a parameter, or compares it with its first value.
    fn push_parameter(&mut self, feature: usize, value: Value<'_>) -> Result<(), Mismatch> {
        let spec = &self.signature.features[feature];
        let data = &mut self.inputs[spec.input];
        let read = &mut self.read[feature - self.row_features];
        let index = *read;
        *read += 1;
        if index >= data.len() {
            data.resize(index + 1);
            return store(data, index, spec.kind, value);
        }
        let mut element = Data::new(spec.datatype);
        element.resize(1);
        store(&mut element, 0, spec.kind, value)?;
        if data.equals_at(index, &element) {
            return Ok(());
        }
        let expected = "the same value in all rows, because it is a parameter of the request";
        Err(Mismatch::new(expected, value.to_string()))
    }

    /// Adds a row of values, if the signature has no array features and no parameters. Calls `value_of` with the index of
    /// each feature in turn.
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
    /// All elements of array features and parameters are removed, so `rows` must be 0 if the signature has
    /// any of these.
    pub fn truncate(&mut self, rows: usize) {
        self.rows = rows;
        for (data, scalars) in self.inputs.iter_mut().zip(&self.scalar_counts) {
            data.resize(rows * scalars);
        }
        self.read.fill(0);
    }

    /// Sets the scalar feature with index `feature` in the row with index `row`. The row does not matter for
    /// a parameter.
    ///
    /// # Errors
    ///
    /// Returns an error if the value cannot be converted to the feature's kind and element type.
    #[inline]
    pub fn set(&mut self, row: usize, feature: usize, value: Value<'_>) -> Result<(), Mismatch> {
        let spec = &self.signature.features[feature];
        if spec.parameter {
            self.start_value(feature);
            return self.push_parameter(feature, value);
        }
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
        if spec.parameter {
            return self.push_parameter(feature, value);
        }
        let data = &mut self.inputs[spec.input];
        let index = data.len();
        data.resize(index + 1);
        store(data, index, spec.kind, value)
    }

    /// Appends a whole value to the array feature with index `feature`. Every element of the value is
    /// `element`, and its shape is the shape of the feature's example.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Rows::push`] and [`Rows::set_axis_len`].
    pub fn push_filled(&mut self, feature: usize, element: Value<'_>) -> Result<(), Mismatch> {
        let spec = &self.signature.features[feature];
        self.start_value(feature);
        if spec.parameter && self.has_value(feature) {
            return Ok(());
        }
        let mut count = 1;
        for (axis, &len) in spec.example_shape.iter().enumerate() {
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

    /// Returns a tensor for each input, in the layout of the graph.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no row, if a parameter has no value, if an axis is empty, or if the
    /// number of elements of an input does not match its shape.
    pub fn finish(self) -> Result<Tensors, Mismatch> {
        if self.rows == 0 {
            return Err(Mismatch::new("at least one row", "none"));
        }
        let signature = self.signature;
        if let Some(missing) = self.missing_parameters().next() {
            let name = &signature.features[missing].name;
            return Err(Mismatch::new(format!("a value of the parameter `{name}`"), "none"));
        }
        let mut shapes: Vec<Vec<usize>> = vec![vec![]; self.inputs.len()];
        for (feature, shape) in signature.features.iter().zip(&self.shapes) {
            if !feature.is_scalar() {
                shapes[feature.input] = shape.iter().map(|dim| dim.unwrap_or(0)).collect();
            }
        }
        let specs = signature.inputs.iter().zip(&self.scalar_counts);
        let mut tensors = Vec::with_capacity(self.inputs.len());
        for (((spec, &scalars), data), array_shape) in specs.zip(self.inputs).zip(shapes) {
            let has_axes = spec.shape.len() > usize::from(spec.batch_axis.is_some());
            let value_shape = match (scalars, array_shape.is_empty()) {
                (_, false) => array_shape,
                // A scalar feature is all of an input of shape `[N]`, which has no axis for features.
                (_, true) if !has_axes => vec![],
                // A parameter of shape `[1]`.
                (0, true) => vec![1],
                (scalars, true) => vec![scalars],
            };
            tensors.push(input_tensor(signature, spec, self.rows, value_shape, data)?);
        }
        Ok(Tensors::new(self.rows, tensors))
    }
}

/// Returns the tensor of an input in the layout of the graph. `value_shape` is the shape of the value in one
/// row, and `data` has the elements row after row; a parameter has only one value.
fn input_tensor(
    signature: &Signature,
    spec: &TensorSpec,
    rows: usize,
    value_shape: Vec<usize>,
    data: Data,
) -> Result<Tensor, Mismatch> {
    let is_stacked = signature.is_stacked(spec);
    let mut shape = value_shape;
    match spec.batch_axis {
        Some(axis) => shape.insert(axis, rows),
        None if is_stacked => {
            spec.check(&shape)?;
            if rows > 1 {
                shape.insert(0, rows);
            }
        }
        None => {}
    }
    if !is_stacked {
        spec.check(&shape)?;
    }
    let expected = shape.iter().product::<usize>();
    if data.len() != expected {
        return Err(Mismatch::new(
            format!("{expected} elements for input `{}`", spec.name),
            data.len().to_string(),
        ));
    }
    Ok(match spec.batch_axis {
        Some(axis) if axis > 0 => {
            let rows = shape.remove(axis);
            shape.insert(0, rows);
            Tensor::new(&shape, data).move_axis(0, axis)
        }
        _ => Tensor::new(&shape, data),
    })
}
