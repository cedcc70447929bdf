//! Builds [`Tensors`] from rows of values.

use crate::convert::{fast_f32, store};
use crate::signature::{Signature, TensorSpec};
use crate::tensor::{Data, Tensor};
use crate::tensors::Tensors;
use crate::value::{Mismatch, Value};

/// A builder of input tensors, row by row.
///
/// [`Rows::set`] sets the scalar features of all rows added so far, in any order. The elements of an array feature are
/// appended one by one, row after row. A request may give a parameter's value several times: in any number of rows, and
/// outside the rows. All values of a parameter must be equal.
#[derive(Debug)]
pub struct Rows<'s> {
    signature: &'s Signature,
    rows: usize,
    /// Elements of each input, row after row.
    inputs: Vec<Data>,
    /// Number of scalar features that a row has in each input. The number is 0 for an input that is an array feature or
    /// a parameter.
    scalar_counts: Vec<usize>,
    /// Shape of each feature's value. The length of a dynamic axis is `None` until the feature's first value sets it.
    shapes: Vec<Vec<Option<usize>>>,
    /// Number of features before the parameters, which are the last features of the signature.
    row_features: usize,
    /// For each parameter, the number of elements of the current value that have been read.
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

    /// Adds a row. The row's scalar features are zero or empty strings until [`Rows::set`] sets them.
    #[inline]
    pub fn add_row(&mut self) {
        self.rows += 1;
        for (data, scalars) in self.inputs.iter_mut().zip(&self.scalar_counts) {
            if *scalars > 0 {
                data.resize(scalars * self.rows);
            }
        }
    }

    /// Starts a value of the feature with index `feature`. Must be called before the elements of a parameter's value.
    /// If the parameter already has a value, the elements of the new value are compared with the elements of the first
    /// value. Has no effect if the feature is not a parameter.
    pub fn start_value(&mut self, feature: usize) {
        if let Some(parameter) = feature.checked_sub(self.row_features) {
            self.read[parameter] = 0;
        }
    }

    /// Returns the indices of the parameters that have no value.
    pub fn missing_parameters(&self) -> impl Iterator<Item = usize> {
        (self.row_features..self.shapes.len()).filter(|feature| !self.has_value(*feature))
    }

    /// Returns whether a parameter has a value.
    fn has_value(&self, parameter: usize) -> bool {
        let spec = &self.signature.features[parameter];
        let has_lens = || self.shapes[parameter].iter().all(Option::is_some);
        // An empty array has lengths but no elements. The array is a value too.
        !self.inputs[spec.input].is_empty() || spec.shape.contains(&None) && has_lens()
    }

    /// Appends an element to the first value of a parameter. For later values, compares the element with the element at
    /// the same index of the first value.
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

    /// Adds a row of values. Calls `value_of` with the index of each feature in turn. The signature must have no array
    /// features and no parameters.
    ///
    /// Returns `None` if `value_of` returns `None`, or if the fast path cannot convert a value. The row is then
    /// incomplete: the caller must remove the row with [`Rows::truncate`]. The caller can then set the values with
    /// [`Rows::set`], which converts every valid value and reports the errors of the others.
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
    /// Also removes all elements of array features and parameters, in all rows. So `rows` must be 0 if the signature
    /// has array features or parameters.
    pub fn truncate(&mut self, rows: usize) {
        self.rows = rows;
        for (data, scalars) in self.inputs.iter_mut().zip(&self.scalar_counts) {
            data.resize(rows * scalars);
        }
        self.read.fill(0);
    }

    /// Sets the scalar feature with index `feature` in the row with index `row`. If the feature is a parameter, `row`
    /// is ignored.
    ///
    /// # Errors
    ///
    /// Returns an error if the value cannot be converted to the feature's kind and element type. Also returns an error
    /// if the feature is a parameter and the value differs from the parameter's first value.
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
    /// Returns an error if the value cannot be converted to the feature's kind and element type. Also returns an error
    /// if the feature is a parameter and the element differs from the element at the same index of the parameter's
    /// first value.
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

    /// Appends a whole value to the array feature with index `feature`. Every element of the value is `element`, and
    /// the value has the shape of the feature's example. Does nothing if the feature is a parameter that has a value.
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
    /// Returns an error if the signature declares a different length for the axis. If the axis is dynamic, returns an
    /// error if the axis of the feature's first value had a different length.
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
    /// Returns an error if there is no row, if a parameter has no value, or if the number of elements of an input does
    /// not match the shape of the input.
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
                // An input of shape `[N]` holds one scalar feature and has no axis for features.
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

/// Returns the tensor of an input in the layout of the graph. `value_shape` is the shape of the input's value in one
/// row. `data` contains the elements row after row. If the input is a parameter, `data` contains a single value.
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
